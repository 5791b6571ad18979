"""
Brings what is owed to the endpoints of apps.

Rule 1: only apps with a due queue are worked on; this process' own writes wake at once, others are found by looking.
Rule 2: a queue is claimed before it is worked on, and as many are claimed as can be worked on at once.
Rule 3: apps take turns. Those whose endpoint is slow, unreachable or not known yet share a part of all calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Protocol

import structlog

from users_server.core.apps import App
from users_server.core.clock import Clock
from users_server.core.outbox import OutboxStore, QueueClaim
from users_server.errors import BackendError, ConfigError, NotFound, StoreUnavailable
from users_server.services.periodic import PeriodicTask
from users_server.services.webhooks.app_work import AppWork
from users_server.services.webhooks.calls import CallsEndpoints
from users_server.services.webhooks.deadlines import ended_by
from users_server.services.webhooks.delivering import Endpoint, Progress, QueueWorker
from users_server.services.webhooks.figures import WebhookFigures
from users_server.services.webhooks.retries import RetrySchedule
from users_server.services.webhooks.settings import WebhookSettings
from users_server.services.webhooks.settling import Settler

log = structlog.stdlib.get_logger(__name__)

GATHER_SECONDS = 0.01
"""How long what is due of an app gathers before it is claimed: one call of the store for many queues."""

POLL_SECONDS = 1.0
POLL_PAGES = 10
POLL_PAGE = 100
MAX_DELIVERIES = 16
"""How many deliveries of one queue are claimed at once."""

OLD_QUEUES = 16
"""How many queues of an app that is unreachable are looked through, at each call, for what is too old."""

MAX_APPS = 10_000
"""How many apps are remembered beside those that are worked on."""

SETTLE_SECONDS = 1.0
"""How long it may take, when the process stops, to tell the store what was delivered and let go of claims."""

NO_ENDPOINT = "The app has no web hook endpoint any more"


BROKEN_SECONDS = 30.0
"""How long an app rests whose key cannot be opened."""


class WebhookStore(OutboxStore, Protocol):
    """The outbox, and the apps that it is for."""

    async def get_app(self, app_id: str) -> App | None:
        """As :meth:`users_server.core.interfaces.AppStore.get_app`."""


class KnowsApps(Protocol):
    """The part of :class:`users_server.services.apps.AppService` that is used."""

    async def get(self, app_id: str) -> App: ...

    def webhook_key(self, app: App) -> str: ...


class Dispatcher:
    """Delivers until it is stopped. Memory is bounded by the settings, whatever waits in the store."""

    def __init__(
        self,
        store: WebhookStore,
        apps: KnowsApps,
        client: CallsEndpoints,
        settings: WebhookSettings,
        clock: Clock,
        figures: WebhookFigures,
    ) -> None:
        self._store = store
        self._apps = apps
        self._settings = settings
        self._clock = clock
        self._figures = figures
        self._worker = QueueWorker(
            client,
            RetrySchedule(settings.give_up_hours * 3600),
            clock,
            figures,
            timeout_seconds=settings.timeout_seconds,
            answered_again=self._hasten_later,
        )
        self._settler = Settler(store)
        self._works: dict[str, AppWork] = {}
        self._queued: tuple[deque[AppWork], deque[AppWork]] = (deque(), deque())
        self._in_flight = 0
        self._unproven_in_flight = 0
        self._turn = False
        self._polled_to = ""
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._working: set[asyncio.Task[None]] = set()
        self._poller = PeriodicTask("webhook-poller", self._poll, interval_seconds=POLL_SECONDS)

    async def start(self) -> None:
        """Begin with what is due now."""
        self._is_running = True
        await self._poller.start()

    async def stop(self, patience_seconds: float) -> None:
        """Deliver what can be delivered within the time, then let go of everything. Idempotent."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience_seconds
        await self._poller.stop()
        while loop.time() < end and await self._has_work(end):
            await asyncio.wait(self._tasks, timeout=end - loop.time(), return_when=asyncio.FIRST_COMPLETED)
        self._is_running = False
        self._worker.stop()
        for task in tuple(self._working):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SETTLE_SECONDS)
        await self._settler.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _has_work(self, deadline: float) -> bool:
        """Whether something is under way, after a last look at the store if nothing was."""
        if not self._tasks and self._is_running:
            with contextlib.suppress(StoreUnavailable):
                await ended_by(deadline, self._poll())
        return bool(self._tasks)

    def wake(self, apps: Iterable[str]) -> None:
        """Something was written for these apps, or they have changed."""
        for app_id in apps:
            work = self._work_of(app_id)
            work.wakes += 1
            work.has_more = True
            self._enqueue(work)
        self._pump()

    def handle_app_change(self, app_id: str, app: App | None) -> None:
        """An app was changed or removed: what was learnt of another endpoint than its present one counts no more."""
        if app is None:
            self.wake([app_id])
        elif (work := self._works.get(app_id)) is not None and work.failures and work.url != app.webhook_endpoint:
            work.forget_failures()
            self._hasten_later(work)

    def look_soon(self) -> None:
        """Something was written by others, nobody says for which apps."""
        if self._is_running:
            self._spawn(self._poll())

    async def _poll(self) -> None:
        """Find what other processes have written, and what is due again."""
        for _ in range(POLL_PAGES):
            now = self._clock.now_ms()
            found = await self._store.due_apps(now=now, after=self._polled_to, limit=POLL_PAGE)
            self._polled_to = found[-1] if len(found) == POLL_PAGE else ""
            for app_id in found:
                work = self._work_of(app_id)
                work.has_more = True
                self._enqueue(work)
            self._pump()
            if not self._polled_to:
                break
        self._forget_idle()
        self._figures.resting = sum(work.failures > 0 for work in self._works.values())

    def _work_of(self, app_id: str) -> AppWork:
        work = self._works.get(app_id)
        if work is None:
            work = self._works[app_id] = AppWork(app_id, self._settings.max_in_flight_per_app)
        return work

    def _forget_idle(self) -> None:
        excess = len(self._works) - MAX_APPS
        if excess > 0:
            idle = [app_id for app_id, work in self._works.items() if work.is_idle]
            for app_id in idle[:excess]:
                del self._works[app_id]

    def _enqueue(self, work: AppWork) -> None:
        if work.lane is not None and work.lane != work.is_proven:
            self._queued[work.lane].remove(work)
            work.lane = None
        if work.can_claim(self._clock.monotonic()):
            work.lane = work.is_proven
            self._queued[work.lane].append(work)

    def _pump(self) -> None:
        """Let the apps that wait have their turns, as long as calls may be made."""
        while self._is_running and (work := self._next()) is not None:
            work.lane = None
            slots = self._slots_for(work)
            work.has_more, work.is_claiming = False, True
            self._take(work, slots)
            self._spawn(self._claim(work, slots, work.is_proven))

    def _next(self) -> AppWork | None:
        """The app whose turn it is; both kinds of apps have theirs."""
        self._turn = not self._turn
        for is_proven in (self._turn, not self._turn):
            if self._queued[is_proven] and self._room(is_proven) > 0:
                return self._queued[is_proven].popleft()
        return None

    def _room(self, is_proven: bool) -> int:
        room = self._settings.max_in_flight - self._in_flight
        if is_proven:
            return room
        return min(room, max(1, self._settings.max_in_flight * 3 // 4) - self._unproven_in_flight)

    def _slots_for(self, work: AppWork) -> int:
        waiting = len(self._queued[0]) + len(self._queued[1]) + 1
        room = self._room(work.is_proven)
        return max(1, min(work.allowance - work.in_flight, room // waiting))

    def _take(self, work: AppWork, slots: int) -> None:
        work.in_flight += slots
        self._in_flight += slots
        if not work.is_proven:
            self._unproven_in_flight += slots

    def _give_back(self, work: AppWork, slots: int, was_proven: bool) -> None:
        work.in_flight -= slots
        self._in_flight -= slots
        if not was_proven:
            self._unproven_in_flight -= slots

    async def _claim(self, work: AppWork, slots: int, was_proven: bool) -> None:
        """Claim queues of an app and let them be worked on."""
        claims: Sequence[QueueClaim] = ()
        endpoint, until, wakes = None, 0, 0
        try:
            await asyncio.sleep(GATHER_SECONDS)
            work.has_more, wakes = False, work.wakes
            until = self._clock.now_ms() + self._worker.claim_ms
            endpoint = self._endpoint_of(await self._apps.get(work.id))
            work.url = endpoint.url if endpoint is not None else ""
            if work.failures and endpoint is not None:
                claims = await self._claim_one(work, until)
            else:
                claims = await self._claim_queues(work, until, slots)
            work.has_more = work.has_more or len(claims) >= slots
        except NotFound:
            await self._forget_app(work.id)
        except BackendError as error:
            log.debug("web hooks of an app wait", app=work.id, reason=error.reason)
        except ConfigError:
            work.rest_until = self._clock.monotonic() + BROKEN_SECONDS
            log.exception("the web hook key of an app cannot be read", app=work.id)
        finally:
            work.is_claiming = False
            self._give_back(work, slots - len(claims), was_proven)
            for claim in claims:
                self._spawn(self._work(work, endpoint, Progress(claim, until), wakes, was_proven))
            self._enqueue(work)
            self._pump()

    async def _claim_queues(self, work: AppWork, until: int, most: int) -> Sequence[QueueClaim]:
        now = self._clock.now_ms()
        return await self._store.claim_queues(
            work.id, now=now, until=until, max_queues=most, max_deliveries=MAX_DELIVERIES
        )

    async def _claim_one(self, work: AppWork, until: int) -> Sequence[QueueClaim]:
        """A queue of an unreachable endpoint, to be tried. Whatever is too old in others is given up beside."""
        chosen: list[QueueClaim] = []
        others: list[Progress] = []
        for claim in await self._claim_queues(work, until, OLD_QUEUES):
            progress = Progress(claim, until)
            if self._worker.bury_old(progress) and not chosen and not progress.dead:
                chosen.append(claim)
            else:
                others.append(progress)
        await asyncio.gather(*(self._settler.settle(progress.outcome()) for progress in others))
        work.has_more = work.has_more or bool(others)
        return chosen

    async def _forget_app(self, app_id: str) -> None:
        """The store has the last word: that there is no such app may have been remembered from before it was made."""
        if await self._store.get_app(app_id) is None:
            await self._store.forget_app_deliveries(app_id)
            log.info("web hooks of an app that is gone were removed", app=app_id)

    def _endpoint_of(self, app: App) -> Endpoint | None:
        return Endpoint(app.webhook_endpoint, self._apps.webhook_key(app)) if app.webhook_endpoint else None

    async def _work(
        self, work: AppWork, endpoint: Endpoint | None, progress: Progress, wakes: int, was_proven: bool
    ) -> None:
        try:
            if endpoint is None:
                self._worker.bury_all(progress, NO_ENDPOINT)
            else:
                await self._deliver(work, endpoint, progress)
            await self._settler.settle(progress.outcome())
        finally:
            self._give_back(work, 1, was_proven)
            if progress.failed is None:
                is_full = len(progress.claim.deliveries) >= MAX_DELIVERIES
                work.has_more = work.has_more or is_full or not progress.is_complete or work.wakes != wakes
            self._enqueue(work)
            self._pump()

    async def _deliver(self, work: AppWork, endpoint: Endpoint, progress: Progress) -> None:
        """As :meth:`QueueWorker.work`; when the process stops, this returns at once, and what was done is settled."""
        working = asyncio.current_task()
        assert working is not None  # noqa: S101 - for the type checker
        self._working.add(working)
        try:
            await self._worker.work(work, endpoint, progress)
        except asyncio.CancelledError:
            progress.due_at = self._clock.now_ms()
        finally:
            self._working.discard(working)

    def _hasten_later(self, work: AppWork) -> None:
        self._spawn(self._hasten(work))

    async def _hasten(self, work: AppWork) -> None:
        """The endpoint answers again: nothing of it needs to wait any longer."""
        await self._store.hasten_queues(work.id, now=self._clock.now_ms())
        self.wake([work.id])

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BackendError):
            log.warning("a part of the work on web hooks failed", reason=error.reason)
        elif error is not None:
            log.error("a part of the work on web hooks failed", exc_info=error)
