"""
What other programs publish on a Pub/Sub channel, handled once by all nodes together.

Every node hears everything; the one that has listened for the longest time without a break leads, and handles what it
hears. It writes down what it has handled, so that the next one goes on from there: that one has heard the same since
a time when the leader was alive. A leader that shows no sign of life for three seconds is none any more.

The guarantee. A message that a node hears whose line is not cut is handled, in the order of the channel, once. It is
handled twice if a leader dies after handling it and before that was written down, which takes one round trip. It is
lost if no node listens while it is published (Pub/Sub keeps nothing), if only nodes heard it that died before they
led, if more waits than ``max_waiting``, or if Redis loses its data while the leader dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from users_server.backends.redis.alignment import handled_of
from users_server.backends.redis.keys import ChannelKeys, Keys, slot_of
from users_server.backends.redis.link import Link, RedisError, refuse_errors
from users_server.backends.redis.location import RedisLocation
from users_server.backends.redis.requests import Call, Reply
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.servers import Servers
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.acceptance import Pending
from users_server.core.clock import Clock
from users_server.errors import BrokerUnavailable
from users_server.services.settings import BrokerSettings

log = structlog.stdlib.get_logger(__name__)

LEAD_SECONDS = 3.0
BEAT_SECONDS = 1.0
REMEMBERED = 256
"""Handled messages that are written down, and heard ones that are kept, to find the place again."""

MAX_HEARD_BYTES = 64 * 1024 * 1024
"""Of messages that wait."""


class RedisInput:
    """:class:`users_server.core.interfaces.ExternalInput`."""

    def __init__(
        self,
        location: RedisLocation,
        settings: BrokerSettings,
        node: bytes,
        clock: Clock,
        make_servers: Callable[..., Servers],
    ) -> None:
        self._settings = settings
        self._node = node
        self._clock = clock
        self._keys = Keys(settings.prefix)
        self._scripts = Scripts(is_sharded=False)
        self._servers = make_servers(
            location, self, self._scripts, settings, clock, RedisStatistics(), is_sharded=False
        )
        self._channels: list[_Listener] = []
        self._is_started = False

    async def listen(self, channel: str, handle: Callable[[bytes], Awaitable[None]]) -> None:
        """As the interface says. Returns when the channel is subscribed, or after a while if Redis is away."""
        if not self._is_started:
            self._is_started = True
            self._servers.start()
        listener = _Listener(
            channel, handle, self._servers, self._keys, self._scripts, self._settings, self._node, self._clock
        )
        self._channels.append(listener)
        listener.start()
        self._servers.attach(listener)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                await listener.is_heard.wait()

    async def close(self) -> None:
        for listener in self._channels:
            await listener.stop()
        self._channels.clear()
        if self._is_started:
            self._is_started = False
            await self._servers.stop()

    def servers_changed(self) -> None:
        """Nothing: each channel is told by its line."""


@dataclass(slots=True)
class _Message:
    """Attributes: line: which of the lines to Redis, counted, it came on."""

    number: int
    digest: bytes
    body: bytes
    line: int


class _Listener:
    """One channel."""

    def __init__(
        self,
        channel: str,
        handle: Callable[[bytes], Awaitable[None]],
        servers: Servers,
        keys: Keys,
        scripts: Scripts,
        settings: BrokerSettings,
        node: bytes,
        clock: Clock,
    ) -> None:
        name = channel.encode()
        self.keys = ChannelKeys(name, slot_of(name))
        self._channel = channel
        self._handle = handle
        self._servers = servers
        base = keys.input(channel)
        self._names = (base + b":members", base + b":beats", base + b":handled", base + b":era")
        self._slot = slot_of(base)
        self._script, self._max_waiting = scripts.candidate, settings.max_waiting
        self._node = node
        self._clock = clock
        self._link: Link | None = None
        self._line = 0
        self._registered_line = 0
        self._heard: deque[_Message] = deque()
        self._heard_bytes = 0
        self._count = 0
        self._next = 0
        self._owed = 0
        self._done: list[bytes] = []
        self._era: bytes | None = None
        self._is_leader = False
        self._leads_until = 0.0
        self._is_handling = False
        self._has_lost = False
        self._beat = asyncio.Event()
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.is_heard = asyncio.Event()

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._keep_beating(), name="redis-input-beat"),
            asyncio.create_task(self._keep_working(), name="redis-input"),
        ]

    async def stop(self) -> None:
        """Let another node lead at once."""
        self._servers.detach(self)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(BrokerUnavailable, RedisError):
            await self._send_beat(self._done, is_new=False)
            for name in self._names[:2]:
                await self._ask("ZREM", name, self._node)

    def resume(self, link: Link) -> None:
        self._link = link
        self._line += 1
        self._beat.set()

    def interrupt(self) -> None:
        self._link = None
        self._leads_until = 0.0

    def handle(self, message: bytes) -> None:
        digest = hashlib.blake2b(message, digest_size=8).digest()
        self._heard.append(_Message(self._count, digest, message, self._line))
        self._count += 1
        self._heard_bytes += len(message)
        while self._is_too_much():
            self._forget(self._heard.popleft())
        self._work.set()

    def _is_too_much(self) -> bool:
        count = len(self._heard)
        if count > REMEMBERED and self._heard[0].number < self._next:
            return True
        return count > max(self._max_waiting, REMEMBERED) or (count > 1 and self._heard_bytes > MAX_HEARD_BYTES)

    def _forget(self, message: _Message) -> None:
        self._heard_bytes -= len(message.body)
        if message.number >= self._next:
            self._next = message.number + 1
            if self._is_leader and not self._has_lost:
                self._has_lost = True
                log.warning("too much waits; messages of other programs are lost", channel=self._channel)

    async def _keep_working(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while (message := self._first()) and self._may_handle(message):
                self._is_handling = True
                try:
                    await self._handle(message.body)
                except Exception:
                    log.exception("a message of another program was not handled", channel=self._channel)
                finally:
                    self._is_handling = False
                self._next = max(self._next, message.number + 1)
                self._done.append(message.digest)
                self._beat.set()
            if self._first() is None:
                self._has_lost = False

    def _may_handle(self, message: _Message) -> bool:
        return message.number < self._owed or (self._is_leader and self._clock.monotonic() < self._leads_until)

    def _first(self) -> _Message | None:
        """The first that is not handled."""
        if not self._heard or self._next >= self._count:
            return None
        return self._heard[max(0, self._next - self._heard[0].number)]

    async def _keep_beating(self) -> None:
        while True:
            try:
                await self._once()
            except BrokerUnavailable:
                pass  # the line says so itself
            except RedisError as error:
                self._report(error)
            except Exception:
                log.exception("the nodes cannot agree who handles a channel", channel=self._channel)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._beat.wait()
            self._beat.clear()

    def _report(self, error: RedisError) -> None:
        log.error("the nodes cannot agree who handles a channel", channel=self._channel, error=str(error))

    async def _once(self) -> None:
        line, link = self._line, self._link
        if link is None or (self._is_handling and line != self._registered_line):
            return  # what is being handled is written down first
        if line != self._registered_line and not await link.drained():
            return  # it is heard only when the subscription is made
        done, self._done = self._done, []
        asked_at = self._clock.monotonic()
        is_new = line != self._registered_line
        try:
            is_leader, era, handled = await self._send_beat(done, is_new=is_new)
        except (BrokerUnavailable, RedisError):
            self._done = [*done, *self._done]
            raise
        if line != self._line or self._link is None:
            return  # cut meanwhile: register again
        self._registered_line = line
        self.is_heard.set()
        if era != self._era:
            self._begin_era(era, line)
        if not self._is_leader or is_new:
            heard = list(self._heard)
            count = handled_of([message.digest for message in heard], handled)
            if count:
                self._next = max(self._next, heard[count - 1].number + 1)
        self._is_leader = bool(is_leader)
        self._leads_until = asked_at + LEAD_SECONDS if is_leader else 0.0
        self._work.set()

    def _begin_era(self, era: bytes, line: int) -> None:
        """Redis knows nothing of what was handled before. Only whoever led knows what he has not handled yet."""
        before = [message.number + 1 for message in self._heard if message.line < line]
        if self._era is not None and before and self._is_leader:
            self._owed = before[-1]
        elif self._era is not None and before:
            self._next = max(self._next, before[-1])
        self._era = era

    async def _send_beat(self, done: list[bytes], *, is_new: bool) -> Reply:
        lifetime = round(LEAD_SECONDS * 1000)
        call = self._script.call(self._names, self._node, lifetime, REMEMBERED, int(is_new), len(done), *done)
        return await self._ask(*call)

    async def _ask(self, *command: bytes | str | int) -> Reply:
        answer: Pending[Reply] = Pending()
        deadline = self._clock.monotonic() + LEAD_SECONDS
        self._servers.send_bound(Call(self._slot, lambda _: command, answer.succeed, answer.fail, deadline=deadline))
        return refuse_errors(await answer)
