"""Nodes that share a bus, and what their handlers got."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.backends.redis import RedisBus
from users_server.core.clock import SystemClock
from users_server.core.interfaces import Broker, PresenceManager
from users_server.core.messages import Gap, HistoryRule, Member, Notice, PresenceChange, Publication, Revocation
from users_server.services.settings import BrokerSettings

WAIT_SECONDS = 15.0

RULE = HistoryRule(size=100, seconds=60)

T = TypeVar("T")


class Recorder:
    """A handler that keeps what it gets, in order."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.interruptions = 0
        self._changed = asyncio.Event()

    def handle_publication(self, publication: Publication) -> None:
        self._keep(publication)

    def handle_presence(self, change: PresenceChange) -> None:
        self._keep(change)

    def handle_gap(self, gap: Gap) -> None:
        self._keep(gap)

    def handle_revocation(self, revocation: Revocation) -> None:
        self._keep(revocation)

    def handle_notice(self, notice: Notice) -> None:
        self._keep(notice)

    def handle_interruption(self) -> None:
        self.interruptions += 1
        self._changed.set()

    def of(self, kind: type[T]) -> list[T]:
        """What came of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def data(self) -> list[object]:
        """Of all publications."""
        return [publication.data for publication in self.of(Publication)]

    async def until(self, condition: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
        """Return when ``condition()`` is true, which only what this handler gets may make so."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_data(self, *expected: object) -> None:
        """Return when exactly these publications have come, in this order."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: len(self.data) >= len(expected))
        assert self.data == list(expected)

    def _keep(self, event: object) -> None:
        self.events.append(event)
        self._changed.set()


@dataclasses.dataclass
class BusNode:
    """One node's end of a bus."""

    broker: Broker
    presence: PresenceManager
    handler: Recorder


class Buses(Protocol):
    """Makes nodes that share one bus."""

    def nodes(self, count: int = 1) -> contextlib.AbstractAsyncContextManager[list[BusNode]]: ...


class MemoryBuses:
    """One node for all: nothing joins two processes."""

    @contextlib.asynccontextmanager
    async def nodes(self, count: int = 1) -> AsyncIterator[list[BusNode]]:
        clock = SystemClock()
        broker = MemoryBroker(MemoryHistory(clock), clock)
        node = BusNode(broker, MemoryPresence(broker), Recorder())
        await broker.start(node.handler)
        try:
            yield [node] * count
        finally:
            await broker.stop()


class RedisBuses:
    """Nodes on one Redis. ``settings`` are of the URL and with short times."""

    def __init__(self, url: str, **settings: object) -> None:
        self.settings = BrokerSettings(url=url, **settings)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def nodes(self, count: int = 1) -> AsyncIterator[list[BusNode]]:
        async with contextlib.AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.node()) for _ in range(count)]

    @contextlib.asynccontextmanager
    async def node(self, **changes: object) -> AsyncIterator[RedisNode]:
        bus = RedisBus(dataclasses.replace(self.settings, **changes), "node", SystemClock())  # type: ignore[arg-type]
        handler = Recorder()
        await bus.broker.start(handler)
        try:
            yield RedisNode(bus.broker, bus.presence, handler, bus)
        finally:
            await bus.broker.stop()


@dataclasses.dataclass
class RedisNode(BusNode):
    bus: RedisBus


async def until(condition: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
    """Return when ``condition()`` is true, which other tasks of this process may make so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


async def until_async(condition: Callable[[], Awaitable[bool]], *, seconds: float = WAIT_SECONDS) -> None:
    """As :func:`until`, for what must be asked for."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.02)


def publication(data: object, channel: str = "room", app: str = "app") -> Publication:
    return Publication(app, channel, "said", data)


def member(name: str, user_id: str = "", info: object = None, ref: str = "") -> Member:
    return Member(name, user_id or name, info, ref)
