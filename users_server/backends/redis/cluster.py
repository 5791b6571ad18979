"""A Redis Cluster: one line to each master, and the map from slots to them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from users_server.backends.redis.keys import SLOTS
from users_server.backends.redis.line import Line, Subscriber
from users_server.backends.redis.link import RedisError
from users_server.backends.redis.location import Address, RedisLocation
from users_server.backends.redis.requests import Reply, Request, give_up
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.servers import DRAIN_SECONDS, ServersOwner, ask, direct_connector
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.clock import Clock
from users_server.errors import BrokerUnavailable
from users_server.services.settings import BrokerSettings

log = structlog.stdlib.get_logger(__name__)

PAUSE_SECONDS = 0.1
"""Before the map is asked for again when it did not help, or when a node of it is away."""


class ClusterServers:
    """
    :class:`users_server.backends.redis.servers.Servers` of ``redis+cluster://``.

    When a server says that a slot is not its own, or a line is cut, the map is read again; what waited on a line that
    has lost its slots, and the channels that were subscribed there, go to their new ones in the same order.
    """

    def __init__(
        self,
        location: RedisLocation,
        owner: ServersOwner,
        scripts: Scripts,
        settings: BrokerSettings,
        clock: Clock,
        statistics: RedisStatistics,
        *,
        is_sharded: bool,
    ) -> None:
        self._location = location
        self._owner = owner
        self._scripts = scripts
        self._settings = settings
        self._clock = clock
        self._statistics = statistics
        self._is_sharded = is_sharded
        self._lines: dict[Address, Line] = {}
        self._masters: list[Address | None] = [None] * SLOTS
        self._homeless: list[Request] = []
        self._feeds: dict[bytes, tuple[Subscriber, Line | None]] = {}
        self._wake = asyncio.Event()
        self._is_stale = True
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._has_reported = False
        self._failure = ""

    def start(self) -> None:
        self._wake.set()
        self._spawn(self._keep_map(), "redis-cluster")

    async def stop(self) -> None:
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()
        lines = list(self._lines.values())
        waiting = await asyncio.gather(*(line.stop(drain_seconds=DRAIN_SECONDS) for line in lines))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for request in [*self._homeless, *(request for requests in waiting for request in requests)]:
            give_up(request)
        self._homeless.clear()
        self._statistics.is_connected = False

    async def connected(self, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self.is_connected:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BrokerUnavailable from None

    def send(self, request: Request) -> None:
        line = self._line_of(request.slot)
        if line is None:
            self._homeless.append(request)
        else:
            line.send(request)

    def send_bound(self, request: Request) -> None:
        line = self._line_of(request.slot)
        if line is None:
            give_up(request)
        else:
            line.send_bound(request)

    def attach(self, feed: Subscriber) -> None:
        line = self._line_of(feed.keys.slot)
        self._feeds[feed.keys.live] = (feed, line)
        if line is not None:
            line.attach(feed)

    def detach(self, feed: Subscriber) -> None:
        _, line = self._feeds.pop(feed.keys.live, (feed, None))
        if line is not None:
            line.detach(feed)

    @property
    def is_connected(self) -> bool:
        return bool(self._lines) and all(line.is_up for line in self._lines.values()) and None not in self._masters

    @property
    def waiting(self) -> int:
        return len(self._homeless) + sum(line.waiting for line in self._lines.values())

    @property
    def identities(self) -> frozenset[bytes]:
        return frozenset(line.identity for line in self._lines.values() if line.is_up)

    def line_is_up(self, line: Line) -> None:
        self._tell_of_change()
        self._owner.servers_changed()

    def line_is_down(self, line: Line) -> None:
        self._tell_of_change()
        self._doubt()

    def feed_has_moved(self, line: Line) -> None:
        self._doubt()

    def line_is_held(self, line: Line, error: str) -> None:
        if error.startswith("ASK "):
            self._wake.set()
        else:
            self._doubt()

    def _doubt(self) -> None:
        """The map may be wrong."""
        self._is_stale = True
        self._wake.set()

    def _line_of(self, slot: int | None) -> Line | None:
        if slot is None:
            return next((line for line in self._lines.values() if line.is_up), None)
        address = self._masters[slot]
        return None if address is None else self._lines.get(address)

    def _line_at(self, address: Address) -> Line:
        """The line to ``address``, which is made if there is none."""
        line = self._lines.get(address)
        if line is None:
            connect = direct_connector(self._location, self._settings, self._clock, address)
            line = Line(
                f"{address[0]}:{address[1]}",
                connect,
                self,
                self._scripts,
                self._settings,
                self._clock,
                self._statistics,
                is_sharded=self._is_sharded,
            )
            self._lines[address] = line
            line.start()
        return line

    async def _keep_map(self) -> None:
        """Whenever something speaks for it, read the map and send everything where it belongs now."""
        while not self._is_stopping:
            await self._wake.wait()
            self._wake.clear()
            was_stale, self._is_stale = self._is_stale, False
            masters = await self._read_map() if was_stale else self._masters
            if masters is not None:
                is_changed = masters != self._masters
                for address in {address for address in masters if address is not None}:
                    self._line_at(address)
                lines = [line for line in self._lines.values() if is_changed or line.is_held]
                await asyncio.gather(*(line.hold() for line in lines))
                self._apply(lines, masters)
            if masters is None or not self.is_connected:
                self._doubt()
            if was_stale:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _read_map(self) -> list[Address | None] | None:
        """The master of each slot; :obj:`None` if nobody can say."""
        up = [address for address, line in self._lines.items() if line.is_up]
        for address in dict.fromkeys([*up, *self._location.addresses, *self._lines]):
            try:
                reply = await ask(address, self._location, self._settings, self._clock, "CLUSTER", "SLOTS")
            except (OSError, RedisError, BrokerUnavailable) as error:
                self._failure = str(error) or type(error).__name__
                continue
            return _masters(reply, address)
        if not self._has_reported:
            self._has_reported = True
            log.warning("no node of the Redis Cluster can be asked", servers=self._location.hosts, error=self._failure)
        return None

    def _apply(self, lines: Sequence[Line], masters: list[Address | None]) -> None:
        """Everything that waits on ``lines``, which are held, goes its new way, in order."""
        self._has_reported = False
        waiting = [(line, line.take_all()) for line in lines]
        self._masters = masters
        self._drop_unready(waiting)
        self._move_feeds()
        homeless, self._homeless = self._homeless, []
        for request in homeless:
            self.send(request)
        for _, requests in waiting:
            for request, refusal in requests:
                self._send_again(request, refusal)
        for line in lines:
            line.release()
        self._end_unused(masters)
        self._tell_of_change()

    def _drop_unready(self, waiting: Sequence[tuple[Line, list[tuple[Request, str]]]]) -> None:
        """Connect anew to servers that have forgotten their scripts, or are no masters."""
        for line, requests in waiting:
            kinds = {refusal.partition(" ")[0] for _, refusal in requests if refusal}
            if kinds - _ABOUT_SLOTS:
                line.drop()

    def _move_feeds(self) -> None:
        for name, (feed, old) in list(self._feeds.items()):
            new = self._line_of(feed.keys.slot)
            if new is not old or (new is not None and not new.has(feed)):
                if old is not None:
                    old.detach(feed)
                self._feeds[name] = (feed, new)
                if new is not None:
                    new.attach(feed)

    def _send_again(self, request: Request, refusal: str) -> None:
        kind, _, rest = refusal.partition(" ")
        address = _address(rest) if kind == "ASK" else None
        if address is None:
            self.send(request)
        else:
            request.is_asking = True
            self._line_at(address).send(request)

    def _end_unused(self, masters: list[Address | None]) -> None:
        """End lines to servers that are no masters any more."""
        used = set(masters)
        for address, line in list(self._lines.items()):
            if address not in used and not line.waiting:
                del self._lines[address]
                self._spawn(self._end(line), "redis-cluster-end")

    async def _end(self, line: Line) -> None:
        for request in await line.stop():
            self.send(request)

    def _tell_of_change(self) -> None:
        self._statistics.is_connected = self.is_connected
        self._changed.set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_ABOUT_SLOTS = frozenset({"ASK", "MOVED", "TRYAGAIN", "CLUSTERDOWN", "OUTOFORDER"})


def _masters(reply: Reply, asked: Address) -> list[Address | None]:
    """From CLUSTER SLOTS. A server that does not know its own address is where it was asked."""
    masters: list[Address | None] = [None] * SLOTS
    for first, last, master, *_ in reply:
        host = master[0].decode() if master[0] else asked[0]
        masters[first : last + 1] = [(host, int(master[1]))] * (last - first + 1)
    return masters


def _address(redirection: str) -> Address | None:
    """From ``SLOT HOST:PORT``."""
    host, separator, port = redirection.partition(" ")[2].rpartition(":")
    return (host, int(port)) if separator and host and port.isdigit() else None
