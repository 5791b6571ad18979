"""Which server a command goes to: the one server, or the master that the Sentinels name. For a Cluster: cluster.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import structlog

from users_server.backends.redis.line import Line, Subscriber
from users_server.backends.redis.link import Link, RedisError, open_link, refuse_errors
from users_server.backends.redis.location import Address, RedisLocation
from users_server.backends.redis.requests import Reply, Request, give_up
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.clock import Clock
from users_server.errors import BrokerUnavailable
from users_server.services.settings import BrokerSettings

log = structlog.stdlib.get_logger(__name__)

PAUSE_SECONDS = 0.05

DRAIN_SECONDS = 1.0
"""For how long a stop waits for what was sent."""


class ServersOwner(Protocol):
    """Whom they tell what happens."""

    def servers_changed(self) -> None:
        """A line came up, maybe to another server or another start of it."""


class Servers(Protocol):
    """The servers of one URL, as one."""

    def start(self) -> None:
        """Begin to connect, and never give up."""

    async def stop(self) -> None:
        """Send what waits, as far as it goes within a short time, and end."""

    async def connected(self, timeout_seconds: float) -> None:
        """Return when they can be used. Raises :class:`BrokerUnavailable`."""

    def send(self, request: Request) -> None:
        """In the order of the calls for each slot; what cannot be sent waits."""

    def send_bound(self, request: Request) -> None:
        """Send now or fail: it never waits for a line that is cut."""

    def attach(self, feed: Subscriber) -> None:
        """Subscribe."""

    def detach(self, feed: Subscriber) -> None:
        """Subscribe no more. Idempotent."""

    @property
    def is_connected(self) -> bool:
        """Whether all of them can be used."""

    @property
    def waiting(self) -> int:
        """Commands that wait."""

    @property
    def identities(self) -> frozenset[bytes]:
        """What those that are connected call themselves from their start to their end."""


class SingleServer:
    """:class:`Servers` of ``redis://`` and ``redis+sentinel://``."""

    def __init__(
        self,
        location: RedisLocation,
        owner: ServersOwner,
        scripts: Scripts,
        settings: BrokerSettings,
        clock: Clock,
        statistics: RedisStatistics,
    ) -> None:
        self._owner = owner
        self._statistics = statistics
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        connect = (sentinel_connector if location.kind == "sentinel" else direct_connector)(location, settings, clock)
        self._line = Line(location.hosts, connect, self, scripts, settings, clock, statistics)

    def start(self) -> None:
        self._line.start()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for request in await self._line.stop(drain_seconds=DRAIN_SECONDS):
            give_up(request)
        self._statistics.is_connected = False

    async def connected(self, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._up.wait()
        except TimeoutError:
            raise BrokerUnavailable from None

    def send(self, request: Request) -> None:
        self._line.send(request)

    def send_bound(self, request: Request) -> None:
        self._line.send_bound(request)

    def attach(self, feed: Subscriber) -> None:
        self._line.attach(feed)

    def detach(self, feed: Subscriber) -> None:
        self._line.detach(feed)

    @property
    def is_connected(self) -> bool:
        return self._line.is_up

    @property
    def waiting(self) -> int:
        return self._line.waiting

    @property
    def identities(self) -> frozenset[bytes]:
        return frozenset({self._line.identity}) if self._line.is_up else frozenset()

    def line_is_up(self, line: Line) -> None:
        self._statistics.is_connected = True
        self._up.set()
        self._owner.servers_changed()

    def line_is_down(self, line: Line) -> None:
        self._statistics.is_connected = False
        self._up.clear()

    def line_is_held(self, line: Line, error: str) -> None:
        self._task = asyncio.create_task(self._try_again(line, error), name="redis-again")

    async def _try_again(self, line: Line, error: str) -> None:
        """The server is another one, or is not ready, or has forgotten its scripts: connect anew."""
        await line.hold()
        waiting = line.take_all()
        if {refusal.partition(" ")[0] for _, refusal in waiting if refusal} == {"OUTOFORDER"}:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            log.warning("Redis refuses for a while", error=error[:200])
            line.drop()
        for request, _ in waiting:
            line.send(request)
        line.release()

    def feed_has_moved(self, line: Line) -> None:
        line.drop()


def direct_connector(
    location: RedisLocation, settings: BrokerSettings, clock: Clock, address: Address | None = None
) -> Callable[[Link], Awaitable[None]]:
    """To one address, by default the first of ``location``."""
    target = address or location.addresses[0]

    async def connect(link: Link) -> None:
        await open_link(target, location, link, settings.connect_timeout_seconds)

    return connect


def sentinel_connector(
    location: RedisLocation, settings: BrokerSettings, clock: Clock
) -> Callable[[Link], Awaitable[None]]:
    """To the master that one of the Sentinels names, if it says so itself."""

    async def connect(link: Link) -> None:
        failure: Exception = OSError("no Sentinel answers")
        for address in location.addresses:
            try:
                master = await _ask_sentinel(address, location, settings, clock)
                await open_link(master, location, link, settings.connect_timeout_seconds)
                role = refuse_errors(await link.call("ROLE"))
                if role[0] == b"master":
                    return
                failure = RedisError("the server that Sentinel names is not a master yet")
            except (OSError, RedisError, BrokerUnavailable) as error:
                failure = error
            link.abort()
            if link.was_opened:
                break  # a link cannot be opened twice; the line tries again with a new one
        raise failure

    return connect


async def _ask_sentinel(address: Address, location: RedisLocation, settings: BrokerSettings, clock: Clock) -> Address:
    """Where the master is, as the Sentinel at ``address`` knows it. It may have the password of Redis, or none."""
    with_password = replace(location, database=0)
    question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", location.service)
    try:
        answer = await ask(address, replace(with_password, username="", password=""), settings, clock, *question)
    except RedisError as error:
        if not location.password or not str(error).startswith("NOAUTH"):
            raise
        answer = await ask(address, with_password, settings, clock, *question)
    if not answer:
        raise RedisError(f"Sentinel knows no service {location.service}")
    return answer[0].decode(), int(answer[1])


async def ask(
    address: Address, location: RedisLocation, settings: BrokerSettings, clock: Clock, *question: str
) -> Reply:
    """
    One question on a connection of its own.

    Raises what :func:`open_link` raises; an error of Redis is raised too.
    """
    link = Link(_Nobody(), clock, settings.command_timeout_seconds)
    try:
        await open_link(address, location, link, settings.connect_timeout_seconds)
        return refuse_errors(await link.call(*question))
    finally:
        await link.end()


class _Nobody:
    """Owns a link on which nothing comes but answers."""

    def handle_message(self, name: bytes, message: bytes) -> None:
        return None

    def handle_unsubscribed(self, name: bytes) -> None:
        return None

    def handle_refusal(self, request: Request | None, error: str) -> None:
        return None

    def handle_closed(self, repeatable: list[Request]) -> None:
        return None
