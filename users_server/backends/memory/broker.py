"""What happens in one process, in the order in which it happened."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass

from users_server.core.acceptance import DONE, Accepted, Refused
from users_server.core.clock import Clock
from users_server.core.interfaces import History, PublicationHandler
from users_server.core.messages import (
    HistoryPage,
    HistoryRule,
    Notice,
    PresenceChange,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.core.tasks import Tasks
from users_server.errors import BrokerUnavailable, Overloaded, StoreUnavailable

log = logging.getLogger(__name__)

EXPIRE_SECONDS = 30.0
"""How often the history is told to drop what is too old."""

STUCK_SECONDS = 10.0
"""A publication that waits longer than this for the history makes :meth:`MemoryBroker.check` fail."""

NO_POSITION: Accepted[StreamPosition | None] = Accepted(None)


@dataclass(slots=True)
class _Waiting:
    """A publication whose turn has not come: the history is at work on it, or on one before it."""

    publication: Publication
    kept: asyncio.Future[StreamPosition] | None
    result: asyncio.Future[StreamPosition | None]
    since: float


class MemoryBroker:
    """
    :class:`users_server.core.interfaces.Broker` without a network: the handler is called inline.

    Only a history that needs time (a database) makes publications wait: those of its channel are delivered in their
    order, each when it is durable.

    Args:
        max_waiting: How many publications may wait for the history; beyond that they are refused.
    """

    def __init__(self, history: History, clock: Clock, *, max_waiting: int = 10_000) -> None:
        self._history = history
        self._clock = clock
        self._max_waiting = max_waiting
        self._handler: PublicationHandler | None = None
        self._subscribed: set[tuple[str, str]] = set()
        self._lines: dict[tuple[str, str], deque[_Waiting]] = {}
        self._waiting_count = 0
        self._tasks = Tasks()

    @property
    def is_started(self) -> bool:
        return self._handler is not None

    async def start(self, handler: PublicationHandler) -> None:
        try:
            await self._history.open()
        except StoreUnavailable as error:
            raise BrokerUnavailable("The history is away") from error
        self._handler = handler
        self._tasks.spawn(self._expire())

    async def stop(self) -> None:
        while self._lines:
            await asyncio.wait([line[-1].result for line in self._lines.values()])
        self._handler = None
        self._subscribed.clear()
        await self._tasks.close()

    def subscribe(self, app: str, channel: str) -> Awaitable[None]:
        if self._handler is None:
            return self.refusal()
        self._subscribed.add((app, channel))
        return DONE

    def unsubscribe(self, app: str, channel: str) -> None:
        self._subscribed.discard((app, channel))

    def publish(self, publication: Publication, history: HistoryRule | None = None) -> Awaitable[StreamPosition | None]:
        handler = self._handler
        if handler is None:
            return self.refusal()
        key = (publication.app, publication.channel)
        if history is None and not self._lines:
            if key in self._subscribed:
                handler.handle_publication(publication)
            return NO_POSITION
        if self._waiting_count >= self._max_waiting:
            return Refused(Overloaded("Too many publications wait for the history"))
        kept = None if history is None else self._history.append(publication, history)
        if key not in self._lines:
            if kept is None:
                self._deliver(publication, None)
                return NO_POSITION
            if isinstance(kept, Accepted):
                self._deliver(publication, kept.value)
                return kept
        return self._wait(key, publication, None if kept is None else asyncio.ensure_future(kept))

    async def history(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        if self._handler is None:
            await self.refusal()
        try:
            return await self._history.read(app, channel, since=since, limit=limit)
        except StoreUnavailable as error:
            raise BrokerUnavailable("The history is away") from error

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        if self._handler is None:
            return self.refusal()
        self._handler.handle_revocation(revocation)
        return DONE

    def notify(self, notice: Notice) -> Awaitable[None]:
        if self._handler is None:
            return self.refusal()
        self._handler.handle_notice(notice)
        return DONE

    async def check(self) -> None:
        if self._handler is None:
            await self.refusal()
        oldest = min((line[0].since for line in self._lines.values()), default=None)
        if oldest is not None and self._clock.monotonic() - oldest > STUCK_SECONDS:
            raise BrokerUnavailable("The history does not answer")

    def bring_presence(self, change: PresenceChange) -> None:
        """For the presence manager beside this broker: bring a change to the handler, if the channel is subscribed."""
        if self._handler is not None and (change.app, change.channel) in self._subscribed:
            self._handler.handle_presence(change)

    def refusal(self) -> Refused:
        """For the presence manager beside this broker: what a broker answers that is not started."""
        return Refused(BrokerUnavailable("The broker is not started"))

    def _wait(
        self, key: tuple[str, str], publication: Publication, kept: asyncio.Future[StreamPosition] | None
    ) -> Awaitable[StreamPosition | None]:
        result: asyncio.Future[StreamPosition | None] = asyncio.get_running_loop().create_future()
        result.add_done_callback(_look_at)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = deque()
            self._tasks.spawn(self._work(key, line))
        line.append(_Waiting(publication, kept, result, self._clock.monotonic()))
        self._waiting_count += 1
        return asyncio.shield(result)

    async def _work(self, key: tuple[str, str], line: deque[_Waiting]) -> None:
        """Deliver what waits in one channel, each as soon as it and all before it are kept."""
        while line:
            waiting = line[0]
            try:
                position = None if waiting.kept is None else await waiting.kept
            except StoreUnavailable as error:
                refusal = BrokerUnavailable("The history is away")
                refusal.__cause__ = error
                waiting.result.set_exception(refusal)
            except Exception as error:
                log.exception("the history failed")
                refusal = BrokerUnavailable("The history failed")
                refusal.__cause__ = error
                waiting.result.set_exception(refusal)
            else:
                self._deliver(waiting.publication, position)
                waiting.result.set_result(position)
            line.popleft()
            self._waiting_count -= 1
        del self._lines[key]

    def _deliver(self, publication: Publication, position: StreamPosition | None) -> None:
        if self._handler is None or (publication.app, publication.channel) not in self._subscribed:
            return
        if position is not None:
            p = publication
            publication = Publication(p.app, p.channel, p.event, p.data, p.by, position, p.to_user, p.except_connection)
        self._handler.handle_publication(publication)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            try:
                await self._history.expire()
            except StoreUnavailable:
                log.warning("the history could not be tidied: the database is away")


def _look_at(future: asyncio.Future[StreamPosition | None]) -> None:
    """Whoever published may have gone; an error that nobody asks for is no news then."""
    if not future.cancelled():
        future.exception()
