"""
What this process writes into the outbox: group commit, and nothing lost while the store is away.

Rule 1: steps are written in the order in which they came; those that wait while one write is under way go together.
Rule 2: an announcement is written while its caller waits, or it is not owed. What ends one is kept until it is written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from users_server.core.clock import Clock
from users_server.core.outbox import Announce, Execute, OutboxStore, Retract, Step
from users_server.errors import Overloaded, StoreUnavailable
from users_server.services.webhooks.figures import WebhookFigures

log = structlog.stdlib.get_logger(__name__)

BATCH = 500
RETRY_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class _Entry:
    """A step on its way. ``written`` is what the caller of an announcement waits for."""

    app: str
    step: Step
    written: asyncio.Future[None] | None = None
    is_tried: bool = False
    is_withdrawn: bool = False


class OutboxWriter:
    """
    Writes steps, one write at a time.

    Args:
        max_unwritten: How many announcements may wait; the next raises :class:`Overloaded`.
        on_written: Is told the apps that something may be owed to now.
    """

    def __init__(
        self,
        store: OutboxStore,
        clock: Clock,
        figures: WebhookFigures,
        *,
        max_unwritten: int,
        on_written: Callable[[Iterable[str]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._figures = figures
        self._max_unwritten = max_unwritten
        self._on_written = on_written
        self._waiting: deque[_Entry] = deque()
        self._announcing = 0
        self._is_away = False
        self._has_news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Calling it twice has no effect."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="webhook-writer")

    async def stop(self, patience_seconds: float) -> int:
        """Take no more announcements, write what waits, and say how many steps could not be written. Idempotent."""
        self._stopping.set()
        self._has_news.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task}, timeout=patience_seconds)
            task.cancel()
            await asyncio.wait({task})
        self._refuse_announcements()
        return len(self._waiting)

    async def announce(self, step: Announce, app: str) -> None:
        """
        Write ``step``; durable when this returns.

        If this is cancelled, the announcement is retracted.

        Raises:
            StoreUnavailable: It is not owed.
            Overloaded: Too many wait already, or the server stops.
        """
        if self._stopping.is_set() or self._announcing >= self._max_unwritten:
            raise Overloaded
        if self._is_away:
            raise StoreUnavailable
        entry = _Entry(app, step, asyncio.get_running_loop().create_future())
        assert entry.written is not None  # noqa: S101 - for the type checker
        self._announcing += 1
        self._add(entry)
        try:
            await entry.written
        except asyncio.CancelledError:
            if entry.is_tried:
                self._add(_Entry(app, _retraction(step, self._clock.now_ms())))
            else:
                entry.is_withdrawn = True
            raise
        finally:
            self._announcing -= 1

    def owe(self, step: Execute | Retract, app: str) -> None:
        """Write ``step`` as soon as the store takes it. Never waits, never raises, and nothing is refused."""
        self._add(_Entry(app, step))

    def _add(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._figures.unwritten = len(self._waiting)
        self._has_news.set()

    async def _run(self) -> None:
        while True:
            await self._has_news.wait()
            batch = self._next_batch()
            if batch:
                await self._write(batch)
            elif self._stopping.is_set():
                return
            else:
                self._has_news.clear()

    def _next_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        while self._waiting and len(batch) < BATCH:
            entry = self._waiting.popleft()
            if not entry.is_withdrawn:
                entry.is_tried = True
                batch.append(entry)
        return batch

    async def _write(self, batch: Sequence[_Entry]) -> None:
        try:
            await self._store.write_outbox([entry.step for entry in batch])
        except asyncio.CancelledError:
            self._keep(batch)
            raise
        except Exception as error:
            # a bug of a store must not end this loop, or nothing would ever be written again
            if not self._is_away:
                log.warning("web hooks wait for the store", exc_info=not isinstance(error, StoreUnavailable))
            self._is_away = True
            self._keep(batch)
            await asyncio.sleep(RETRY_SECONDS)
            return
        if self._is_away:
            log.info("web hooks are written again")
        self._is_away = False
        self._figures.unwritten = len(self._waiting)
        for entry in batch:
            if entry.written is not None:
                self._figures.announced += 1
                if not entry.written.done():
                    entry.written.set_result(None)
        self._on_written({entry.app for entry in batch if not _is_will_alone(entry.step)})

    def _keep(self, batch: Sequence[_Entry]) -> None:
        """After a write that failed, or perhaps did not: announcements of it are taken back, all else is repeated."""
        now = self._clock.now_ms()
        kept = [
            _Entry(entry.app, _retraction(entry.step, now)) if isinstance(entry.step, Announce) else entry
            for entry in batch
        ]
        for entry in batch:
            _refuse(entry)
        self._waiting.extendleft(reversed(kept))
        self._refuse_announcements()

    def _refuse_announcements(self) -> None:
        """Those that nobody has tried to write are not owed: nothing of them is kept."""
        for entry in self._waiting:
            _refuse(entry)
        self._waiting = deque(entry for entry in self._waiting if not isinstance(entry.step, Announce))
        self._figures.unwritten = len(self._waiting)


def _refuse(entry: _Entry) -> None:
    if entry.written is not None and not entry.written.done():
        entry.written.set_exception(StoreUnavailable())


def _retraction(step: Announce, now_ms: int) -> Retract:
    return Retract(step.delivery.id if step.delivery else None, step.will.id if step.will else None, now_ms)


def _is_will_alone(step: Step) -> bool:
    return isinstance(step, Announce) and step.delivery is None
