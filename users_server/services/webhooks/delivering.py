"""Making the deliveries of one claimed queue, one after the other, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from users_server.core.clock import Clock
from users_server.core.outbox import Delivery, QueueClaim, QueueOutcome
from users_server.services.webhooks.app_work import AppWork
from users_server.services.webhooks.calls import UNAVAILABLE_STATUSES, CallFailed, CallsEndpoints, make_headers
from users_server.services.webhooks.figures import WebhookFigures
from users_server.services.webhooks.retries import RetrySchedule, after_failure, given_up

log = structlog.stdlib.get_logger(__name__)

MARGIN_MS = 3_000
"""What a claim holds beyond the last call that is begun under it, to tell the store."""

TOO_OLD = "The endpoint could not be reached for as long as deliveries are kept"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an app's web hooks go now, and what signs them. Both are left out of ``repr``: a URL may hold a secret."""

    url: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one call. ``error`` is empty if it was taken; ``is_unreachable`` is about the whole endpoint."""

    error: str = ""
    is_unreachable: bool = False


@dataclass(slots=True)
class Progress:
    """What was done so far with a claim; from here :class:`QueueOutcome` is made."""

    claim: QueueClaim
    until: int
    delivered: list[str] = field(default_factory=list)
    failed: Delivery | None = None
    dead: list[Delivery] = field(default_factory=list)
    due_at: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the claim is left."""
        return len(self.delivered) + len(self.dead) == len(self.claim.deliveries)

    def outcome(self) -> QueueOutcome:
        return QueueOutcome(self.claim, tuple(self.delivered), self.failed, tuple(self.dead), self.due_at)


class QueueWorker:
    """
    Delivers what claims have.

    Args:
        answered_again: Called when an endpoint that was unreachable answers.
    """

    def __init__(
        self,
        client: CallsEndpoints,
        schedule: RetrySchedule,
        clock: Clock,
        figures: WebhookFigures,
        *,
        timeout_seconds: float,
        answered_again: Callable[[AppWork], None],
    ) -> None:
        self._client = client
        self._schedule = schedule
        self._clock = clock
        self._figures = figures
        self._timeout_seconds = timeout_seconds
        self._answered_again = answered_again
        self._is_stopping = False

    @property
    def claim_ms(self) -> int:
        """
        How long a claim is to hold. No call begins that could end after it, so that nobody makes the same call beside.

        It is short, because the queues of a process that died wait for so long.
        """
        return round(self._timeout_seconds * 2000) + 2 * MARGIN_MS

    def stop(self) -> None:
        """Begin no further call."""
        self._is_stopping = True

    async def work(self, app: AppWork, endpoint: Endpoint, progress: Progress) -> None:
        """Deliver in order until one fails, all are delivered, or there is no time for another call."""
        for delivery in progress.claim.deliveries:
            now = self._clock.now_ms()
            if self._is_stopping or now + self._timeout_seconds * 1000 + MARGIN_MS > progress.until:
                progress.due_at = now
                return
            attempt = await self._call(app, endpoint, delivery)
            if not attempt.error:
                progress.delivered.append(delivery.id)
                self._figures.delivered += 1
                continue
            self._figures.failed += 1
            if not self._note_failure(progress, after_failure(delivery, attempt.error)) or attempt.is_unreachable:
                return

    def bury_old(self, progress: Progress) -> bool:
        """
        Give up the first deliveries that are too old, without trying them. Whether any is left to be tried.

        For an endpoint that does not answer: its calls are too few to find out one by one what is over.
        """
        now = progress.due_at = self._clock.now_ms()
        for delivery in progress.claim.deliveries:
            if not self._schedule.is_too_old(delivery, now):
                break
            progress.dead.append(given_up(delivery, now, delivery.last_error or TOO_OLD))
        self._count_dead(progress)
        return not progress.is_complete

    def bury_all(self, progress: Progress, error: str) -> None:
        """Give all of the claim up, for this reason."""
        now = progress.due_at = self._clock.now_ms()
        progress.dead = [given_up(delivery, now, error) for delivery in progress.claim.deliveries]
        self._count_dead(progress)

    def _note_failure(self, progress: Progress, failed: Delivery) -> bool:
        """Whether the next one may be tried, since this one is given up."""
        now = progress.due_at = self._clock.now_ms()
        if self._schedule.is_too_old(failed, now):
            progress.dead.append(given_up(failed, now))
            self._figures.dead += 1
            log.warning("web hook given up", app=failed.app, delivery=failed.id, error=failed.last_error)
            return True
        progress.failed = failed
        progress.due_at = self._schedule.next_attempt_at(failed, now)
        return False

    def _count_dead(self, progress: Progress) -> None:
        self._figures.dead += len(progress.dead)
        if progress.dead:
            first = progress.dead[0]
            log.warning("web hooks given up", app=first.app, deliveries=len(progress.dead), error=first.last_error)

    async def _call(self, app: AppWork, endpoint: Endpoint, delivery: Delivery) -> Attempt:
        started = self._clock.monotonic()
        self._figures.in_flight += 1
        try:
            attempt = await self._post(endpoint, delivery)
        finally:
            now = self._clock.monotonic()
            self._figures.in_flight -= 1
            self._figures.latency.observe(now - started)
        if attempt.is_unreachable:
            if app.note_unreachable(started, now):
                log.warning("a web hook endpoint cannot be reached", app=app.id, error=attempt.error)
        elif app.note_answer(started, now):
            log.info("a web hook endpoint answers again", app=app.id)
            self._answered_again(app)
        return attempt

    async def _post(self, endpoint: Endpoint, delivery: Delivery) -> Attempt:
        headers = make_headers(delivery, endpoint.key, now_ms=self._clock.now_ms())
        body = delivery.body.encode()
        try:
            status = await self._client.post(endpoint.url, body, headers, timeout_seconds=self._timeout_seconds)
        except CallFailed as error:
            return Attempt(error.message, is_unreachable=True)
        except asyncio.CancelledError:
            raise
        except Exception:
            # one delivery that a bug stumbles over must not end the others
            log.exception("a web hook could not be sent", app=delivery.app, delivery=delivery.id)
            return Attempt("The server could not send it")
        if 200 <= status < 300:
            return Attempt()
        return Attempt(f"The endpoint answered {status}", is_unreachable=status in UNAVAILABLE_STATUSES)
