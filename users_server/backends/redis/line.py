"""A line to one server: a link that is made anew whenever it is cut, and what waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import structlog

from users_server.backends.redis.keys import ChannelKeys
from users_server.backends.redis.link import Link, RedisError, refuse_errors
from users_server.backends.redis.requests import Reply, Request, away, give_up
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.clock import Clock
from users_server.errors import BrokerUnavailable
from users_server.services.settings import BrokerSettings

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.05
STABLE_SECONDS = 1.0
"""A link that held so long was a good one: the next pause is the first one again."""

LOOK_SECONDS = 0.1
"""How often, while the line is cut, what waits is looked through for what has waited too long."""

RESUMED_AT_ONCE = 200
"""Channels that are subscribed again and read in one go."""

_random = random.SystemRandom()


class Subscriber(Protocol):
    """Whoever gets the messages of one Pub/Sub channel; :class:`users_server.backends.redis.feeds.Feed` is one."""

    @property
    def keys(self) -> ChannelKeys:
        """``live`` is the Pub/Sub channel."""

    def resume(self, link: Link) -> None:
        """The channel is being subscribed on ``link``."""

    def handle(self, message: bytes) -> None:
        """A message came."""

    def interrupt(self) -> None:
        """The channel is not subscribed any more."""


class LineOwner(Protocol):
    """Whom a line tells what happens."""

    def line_is_up(self, line: Line) -> None:
        """Commands can be sent, and the channels are being subscribed."""

    def line_is_down(self, line: Line) -> None:
        """The link is cut."""

    def line_is_held(self, line: Line, error: str) -> None:
        """
        The server refused a command with ``error``, and the line sends nothing more.

        Somebody must wait for :meth:`Line.hold`, take what waits, give it to this line or another one, and call
        :meth:`Line.release`.
        """

    def feed_has_moved(self, line: Line) -> None:
        """The server says that some channel is not its own."""


class Line:
    """
    Commands are sent in the order in which they were given, also over a cut.

    When Redis refuses one for a while, nothing more is sent until all that was sent is answered; then what was
    refused goes first, so that the order holds.

    Args:
        name: For logs.
        connect: Connects the link and logs in.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[Link], Awaitable[None]],
        owner: LineOwner,
        scripts: Scripts,
        settings: BrokerSettings,
        clock: Clock,
        statistics: RedisStatistics,
        *,
        is_sharded: bool = False,
    ) -> None:
        self.name = name
        self._connect = connect
        self._owner = owner
        self._scripts = scripts
        self._settings = settings
        self._clock = clock
        self._statistics = statistics
        self._subscribe_verb = b"SSUBSCRIBE" if is_sharded else b"SUBSCRIBE"
        self._unsubscribe_verb = b"SUNSUBSCRIBE" if is_sharded else b"UNSUBSCRIBE"
        self._names_at_once = 1 if is_sharded else RESUMED_AT_ONCE
        self._feeds: dict[bytes, Subscriber] = {}
        self._queue: deque[Request] = deque()
        self._refused: list[tuple[Request, str]] = []
        self._link: Link | None = None
        self._newest: Link | None = None
        self._is_flowing = False
        self._is_held = False
        self._cut = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_up = False
        self._has_reported = False
        self.identity = b""

    @property
    def is_up(self) -> bool:
        return self._link is not None

    @property
    def is_held(self) -> bool:
        return self._is_held

    @property
    def waiting(self) -> int:
        return len(self._queue) + len(self._refused)

    @property
    def feeds(self) -> list[Subscriber]:
        return list(self._feeds.values())

    def start(self) -> None:
        """Begin to connect, and never give up."""
        self._spawn(self._run(), "redis-line")
        self._spawn(self._look(), "redis-waiting")

    async def stop(self, *, drain_seconds: float = 0.0) -> list[Request]:
        """End the line; what was not sent is returned. Waits up to ``drain_seconds`` for what was sent."""
        link = self._link
        if link is not None and drain_seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await link.drained()
        self._stopping.set()
        self._cut.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._newest is not None:
            await self._newest.end()
        return [request for request, _ in self.take_all()]

    async def hold(self) -> None:
        """Send nothing more; return when all that was sent is answered, or the line is cut."""
        self._is_held = True
        if self._link is not None:
            await self._link.drained()

    def take_all(self) -> list[tuple[Request, str]]:
        """Remove what waits, in order, each with the error with which it was refused, or nothing."""
        waiting = [*self._refused, *((request, "") for request in self._queue)]
        self._refused.clear()
        self._queue.clear()
        return waiting

    def release(self) -> None:
        """Send again, first what waits."""
        self._is_held = False
        if self._is_flowing:
            queue, self._queue = self._queue, deque()
            for request in queue:
                self.send(request)

    def send(self, request: Request) -> None:
        """Send now, or when the line is up and the channels are subscribed again."""
        link = self._link
        if link is None or not self._is_flowing or self._is_held:
            self._queue.append(request)
        else:
            link.send(request)

    def send_bound(self, request: Request) -> None:
        """Send now or fail."""
        if self._link is None:
            give_up(request)
        else:
            self._link.send(request)

    def has(self, feed: Subscriber) -> bool:
        """Whether the channel is subscribed here."""
        return self._feeds.get(feed.keys.live) is feed

    def attach(self, feed: Subscriber) -> None:
        """Subscribe to a channel, and again after each cut."""
        self._feeds[feed.keys.live] = feed
        if self._link is not None:
            self._link.subscribe(self._subscribe_verb, [feed.keys.live], self._not_subscribed)
            feed.resume(self._link)

    def detach(self, feed: Subscriber) -> None:
        """Subscribe no more."""
        if self._feeds.pop(feed.keys.live, None) is None:
            return
        feed.interrupt()
        if self._link is not None:
            self._link.subscribe(self._unsubscribe_verb, [feed.keys.live])

    def drop(self) -> None:
        """Cut the line; it comes back by itself."""
        if self._link is not None:
            self._link.abort()

    def handle_message(self, name: bytes, message: bytes) -> None:
        feed = self._feeds.get(name)
        if feed is not None:
            try:
                feed.handle(message)
            except Exception:
                # anybody may publish on a channel of Redis: it must not end the line
                log.exception("a message from Redis was dropped", server=self.name)

    def handle_unsubscribed(self, name: bytes) -> None:
        feed = self._feeds.get(name)
        if feed is not None:
            feed.interrupt()
            self._owner.feed_has_moved(self)

    def handle_refusal(self, request: Request | None, error: str) -> None:
        if self._link is None:
            return  # it is not up yet, and whoever asked has the answer
        if request is not None:
            self._refused.append((request, error))
        if not self._is_held:
            self._is_held = True
            self._spawn(self._look(), "redis-waiting")
            self._owner.line_is_held(self, error)

    def handle_closed(self, repeatable: list[Request]) -> None:
        if self._link is None:
            return  # it never was up: only its own questions were on it
        self._link = None
        self._is_flowing = False
        self._statistics.repeated += len(repeatable)
        self._queue.extendleft(reversed([*(request for request, _ in self._refused), *repeatable]))
        self._refused.clear()
        for feed in self._feeds.values():
            feed.interrupt()
        self._cut.set()
        if not self._stopping.is_set():
            log.warning("the line to Redis is cut", server=self.name)
            self._has_reported = True
            self._spawn(self._look(), "redis-waiting")
            self._owner.line_is_down(self)

    def _not_subscribed(self, error: str) -> None:
        if error.startswith(("MOVED", "CLUSTERDOWN", "ASK", "TRYAGAIN")):
            self._owner.feed_has_moved(self)
        else:
            log.error("Redis refused a subscription", server=self.name, error=error)
            self.drop()

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            if await self._bring_up():
                since = self._clock.monotonic()
                await self._cut.wait()
                if self._clock.monotonic() - since >= STABLE_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
            try:
                async with asyncio.timeout(pause * _random.uniform(0.5, 1.0)):
                    await self._stopping.wait()
            except TimeoutError:
                pause = min(pause * 2, self._settings.max_reconnect_seconds)

    async def _bring_up(self) -> bool:
        link = self._newest = Link(self, self._clock, self._settings.command_timeout_seconds)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_seconds * 2):
                await self._connect(link)
                await self._prepare(link)
        except (OSError, RedisError, BrokerUnavailable, UnicodeError) as error:
            link.abort()
            self._report(error)
            return False
        except Exception:
            link.abort()
            # whatever it is: a line never gives up
            log.exception("the line to Redis cannot be made", server=self.name)
            return False
        except BaseException:
            link.abort()
            raise
        if not link.is_open:
            return False  # it was lost while its last answer was on the way to us
        self._up(link)
        return True

    async def _prepare(self, link: Link) -> None:
        answers = [link.call("INFO", "server")]
        answers += [link.call("SCRIPT", "LOAD", script.text) for script in self._scripts.all]
        information, *_ = [refuse_errors(await answer) for answer in answers]
        link.identity = _run_id(information)

    def _up(self, link: Link) -> None:
        if self._was_up:
            self._statistics.reconnects += 1
        if self._has_reported:
            log.info("the line to Redis is back", server=self.name)
        self._was_up, self._has_reported = True, False
        self.identity = link.identity
        self._cut.clear()
        self._link = link
        self._owner.line_is_up(self)
        if self._feeds:
            self._spawn(self._resume(link, self.feeds), "redis-resume")
        else:
            self._flow(link)

    def _report(self, error: Exception) -> None:
        """Once an outage."""
        if not self._has_reported:
            log.warning("Redis cannot be reached", server=self.name, error=str(error) or type(error).__name__)
        self._has_reported = True

    async def _resume(self, link: Link, feeds: list[Subscriber]) -> None:
        """
        Subscribe to everything again, and only then let flow what waits.

        So the subscribers of this node get what it published while the line was cut.
        """
        for part in _parts(feeds, RESUMED_AT_ONCE):
            present = [feed for feed in part if self._feeds.get(feed.keys.live) is feed]
            for group in _parts(present, self._names_at_once):
                link.subscribe(self._subscribe_verb, [feed.keys.live for feed in group], self._not_subscribed)
            for feed in present:
                feed.resume(link)
            if not await link.drained():
                return
        self._flow(link)

    def _flow(self, link: Link) -> None:
        """Send what waits, and from now on everything at once."""
        if link is not self._link:
            return
        self._is_flowing = True
        if not self._is_held:
            self.release()

    async def _look(self) -> None:
        """Until commands flow, give up what has waited too long."""
        while not self._is_flowing or self._is_held:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._clock.monotonic()
            late = [request for request in self._queue if request.deadline is not None and request.deadline <= now]
            if late:
                gone = set(late)
                self._queue = deque(request for request in self._queue if request not in gone)
                self._statistics.late += len(late)
            for request in late:
                give_up(request)

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _parts(feeds: list[Subscriber], size: int) -> Iterator[list[Subscriber]]:
    return (feeds[start : start + size] for start in range(0, len(feeds), size))


def _run_id(information: Reply) -> bytes:
    """From INFO: what a server calls itself from its start to its end."""
    text = information if isinstance(information, bytes) else str(information).encode()
    for line in text.splitlines():
        if line.startswith(b"run_id:"):
            return line[7:23]
    raise away("Redis did not say its run_id")
