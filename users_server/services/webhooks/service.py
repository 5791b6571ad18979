"""Web hooks of one process: what the protocols announce, and all that works behind it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
import structlog

from users_server.core.apps import App
from users_server.core.clock import Clock
from users_server.core.messages import JSON
from users_server.core.outbox import Announce, Delivery, Execute, Retract
from users_server.services.periodic import LAST_WORK_SECONDS, PeriodicTask
from users_server.services.webhooks.calls import CallsEndpoints
from users_server.services.webhooks.deadlines import ended_by, seconds_until
from users_server.services.webhooks.dispatcher import Dispatcher, KnowsApps, WebhookStore
from users_server.services.webhooks.figures import WebhookFigures
from users_server.services.webhooks.outbox_writer import OutboxWriter
from users_server.services.webhooks.settings import WebhookSettings
from users_server.services.webhooks.wills import WillKeeper

log = structlog.stdlib.get_logger(__name__)

TRIM_SECONDS = 60.0
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class _Announced:
    """What is to be written when an announcement is over."""

    app: str
    delivery_id: str | None
    will_id: str | None


class WebhookService:
    """
    :class:`users_server.protocols.base.Webhooks`.

    ``figures`` says what has happened so far.
    """

    def __init__(
        self,
        store: WebhookStore,
        apps: KnowsApps,
        client: CallsEndpoints,
        settings: WebhookSettings,
        clock: Clock,
        node_id: str,
    ) -> None:
        self.figures = WebhookFigures()
        self._store = store
        self._settings = settings
        self._clock = clock
        self._node_id = node_id
        self._open: dict[str, _Announced] = {}
        self._dispatcher = Dispatcher(store, apps, client, settings, clock, self.figures)
        self._writer = OutboxWriter(
            store, clock, self.figures, max_unwritten=settings.max_unwritten, on_written=self._dispatcher.wake
        )
        self._wills = WillKeeper(
            store,
            clock,
            node_id,
            self.figures,
            lease_seconds=settings.node_lease_seconds,
            executed=self._dispatcher.look_soon,
        )
        self._trimmer = PeriodicTask("webhook-trimmer", self._trim, interval_seconds=TRIM_SECONDS)

    async def start(self) -> None:
        """
        Begin. When this returns, what processes of this machine left behind when they died is owed.

        Raises:
            StoreUnavailable: Call :meth:`stop` all the same.
        """
        self._writer.start()
        await self._wills.start()
        await self._dispatcher.start()
        await self._trimmer.start()

    async def stop(self, patience_seconds: float) -> None:
        """
        Write what waits, and deliver what can be delivered, all within the time. Idempotent.

        To be called when no client is connected any more. What is not delivered stays in the store.
        """
        deadline = asyncio.get_running_loop().time() + patience_seconds
        await self._trimmer.stop()
        unwritten = await self._writer.stop(seconds_until(deadline))
        if unwritten:
            log.warning("the store is away: announcements end when this process is taken for dead", steps=unwritten)
        asking_until = min(deadline, asyncio.get_running_loop().time() + LAST_WORK_SECONDS)
        if not await ended_by(asking_until, self._wills.stop()):
            log.warning("web hooks of this process are left to the next one: the store does not answer")
            deadline = asking_until
        await self._dispatcher.stop(seconds_until(deadline))

    async def announce(
        self, app: App, queue: str, now: Mapping[str, JSON] | None, at_end: Mapping[str, JSON] | None
    ) -> str | None:
        """See :class:`users_server.protocols.base.Webhooks`."""
        if not app.webhook_endpoint or (now is None and at_end is None):
            return None
        announcement = secrets.token_hex(16)
        created_on = self._clock.now_ms()
        # no full stop in an id: the signature joins it to the rest by one
        delivery, will = (
            None if body is None else Delivery(f"{announcement}-{when}", app.id, queue, _text(body), created_on)
            for when, body in (("now", now), ("end", at_end))
        )
        await self._writer.announce(Announce(delivery, will, self._node_id), app.id)
        self._open[announcement] = _Announced(app.id, delivery.id if delivery else None, will.id if will else None)
        self.figures.open = len(self._open)
        return announcement

    def end(self, announcement: str) -> None:
        """See :class:`users_server.protocols.base.Webhooks`."""
        announced = self._close(announcement)
        if announced is not None and announced.will_id is not None:
            self._writer.owe(Execute(announced.will_id, self._clock.now_ms()), announced.app)

    def retract(self, announcement: str) -> None:
        """See :class:`users_server.protocols.base.Webhooks`."""
        announced = self._close(announcement)
        if announced is not None:
            step = Retract(announced.delivery_id, announced.will_id, self._clock.now_ms())
            self._writer.owe(step, announced.app)

    def handle_app_change(self, app_id: str, app: App | None) -> None:
        """An app was changed, or removed (:obj:`None`): what waits for it is looked at."""
        self._dispatcher.handle_app_change(app_id, app)

    def _close(self, announcement: str) -> _Announced | None:
        announced = self._open.pop(announcement, None)
        self.figures.open = len(self._open)
        return announced

    async def _trim(self) -> None:
        settings = self._settings
        now = self._clock.now_ms()
        died, removed = await self._store.trim_deliveries(
            dead_before=now - round(settings.keep_dead_days * DAY_MS),
            most_waiting=settings.max_waiting_per_app,
            most_dead=settings.max_dead_per_app,
            now=now,
        )
        self.figures.dead += died
        if died:
            log.warning("web hooks given up, because more wait than are kept", deliveries=died)
        if removed:
            log.info("web hooks that had been given up were removed", deliveries=removed)
        self.figures.waiting = (await self._store.list_deliveries(limit=1)).count


def _text(body: Mapping[str, JSON]) -> str:
    return orjson.dumps(dict(body)).decode()
