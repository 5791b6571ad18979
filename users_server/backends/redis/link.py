"""
One TCP connection to one Redis server, in RESP3: commands, their answers, and what is pushed.

Redis answers in the order of the commands, and what it pushes has its place in that order; so one connection for both
is enough, and an answer says that everything published before it has arrived. What is sent in one loop tick is one
write.

redis-py's asyncio client is not used: see ARCHITECTURE.md, "Libraries, and why".
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import hiredis

from users_server.backends.redis.location import Address, RedisLocation
from users_server.backends.redis.requests import Call, Command, Reply, Request, away, give_up
from users_server.core.acceptance import Pending
from users_server.core.clock import Clock
from users_server.errors import BrokerUnavailable

MAX_REPLY_BYTES = 256 * 1024 * 1024
"""No answer of Redis to one of our commands is nearly as long; beyond it the line is dropped."""

END_SECONDS = 1.0
"""For how long the end of a connection may take that is ended in order."""

_SUBSCRIPTIONS = frozenset({b"subscribe", b"unsubscribe", b"ssubscribe", b"sunsubscribe"})
_MESSAGES = frozenset({b"message", b"smessage"})


TEMPORARY = frozenset(
    [
        "ASK",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MOVED",
        "NOREPLICAS",
        "NOSCRIPT",
        "OUTOFORDER",
        "READONLY",
        "TRYAGAIN",
        "BUSY",
    ]
)
"""First words of errors that say: not done, but it may be done later, or elsewhere."""

_NOTHING = object()
"""What the reader gives while an answer is not complete."""


class RedisError(Exception):
    """Redis refused a command with this."""


class LinkOwner(Protocol):
    """Whom a link tells what happens."""

    def handle_message(self, name: bytes, message: bytes) -> None:
        """A message came on the Pub/Sub channel ``name``."""

    def handle_unsubscribed(self, name: bytes) -> None:
        """The server serves the sharded channel ``name`` no more."""

    def handle_refusal(self, request: Request | None, error: str) -> None:
        """A request was refused for a while (``TEMPORARY``); it is the owner's now, unless it was bound to the link."""

    def handle_closed(self, repeatable: list[Request]) -> None:
        """The connection is gone; ``repeatable`` was sent and not answered. Called once."""


class _Subscription:
    """A command that is answered by one push for each name."""

    __slots__ = ("failed", "names", "verb")

    def __init__(self, verb: bytes, names: Sequence[bytes], failed: Callable[[str], None]) -> None:
        self.verb = verb
        self.names = set(names)
        self.failed = failed


class Link(asyncio.Protocol):
    """
    Args:
        timeout_seconds: If nothing comes for so long although an answer is due, the connection is taken for dead.
    """

    def __init__(self, owner: LinkOwner, clock: Clock, timeout_seconds: float) -> None:
        self._owner = owner
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._outgoing: list[bytes] = []
        self._waiting: deque[Request | _Subscription] = deque()
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = clock.monotonic()
        self._partial_bytes = 0
        self.is_open = False
        self.identity = b""
        """Differs for each start of a server."""

    @property
    def was_opened(self) -> bool:
        return self._transport is not None

    def send(self, request: Request) -> None:
        """Send a command; what it holds is called when the answer comes. It is not if the connection is lost."""
        if request.is_asking:
            request.is_asking = False
            self._queue(("ASKING",), _nothing_to_do())
        request.was_sent = True
        self._queue(request.command(self.identity), request)

    def call(self, *command: bytes | str | int) -> Pending[Reply]:
        """
        Send a command and await its answer.

        Awaiting raises :class:`BrokerUnavailable` if the connection is lost. An error of Redis is returned.
        """
        outcome: Pending[Reply] = Pending()
        if self.is_open:
            self._queue(command, Call(None, _no_command, outcome.succeed, outcome.fail, is_bound=True))
        else:
            outcome.fail(away())
        return outcome

    async def drained(self) -> bool:
        """Return when everything that was sent before is answered; false if the connection is lost."""
        try:
            await self.call("PING")
        except BrokerUnavailable:
            return False
        return True

    def subscribe(self, verb: bytes, names: Sequence[bytes], failed: Callable[[str], None] = lambda _: None) -> None:
        """Send SUBSCRIBE or one of its kind. ``failed`` is called if Redis refuses."""
        self._queue((verb, *names), _Subscription(verb.lower(), names, failed))

    def abort(self) -> None:
        """Drop the connection. What is still on its way out is lost, so that it cannot reach Redis late."""
        transport = self._transport
        if transport is None or not self.is_open:
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        self._closed()

    async def end(self) -> None:
        """End the connection in order: what was written goes out. Returns when it is gone."""
        transport = self._transport
        if transport is None:
            return
        if self._outgoing:
            self._flush()
        transport.close()
        self._closed()
        await asyncio.wait({self._gone}, timeout=END_SECONDS)
        if not self._gone.done():
            transport.abort()
            await self._gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True
        self._watch = self._loop.call_later(self._timeout_seconds / 4, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed()
        if not self._gone.done():
            self._gone.set_result(None)

    def eof_received(self) -> None:
        return None

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._clock.monotonic()
        self._reader.feed(data)
        self._partial_bytes += len(data)
        try:
            while self.is_open:
                reply = self._reader.gets()
                if reply is _NOTHING:
                    break
                self._partial_bytes = 0
                if type(reply) is hiredis.PushNotification:
                    self._pushed(reply)
                else:
                    self._answered(reply)
        except hiredis.ProtocolError:
            self.abort()
        if self._partial_bytes > MAX_REPLY_BYTES:
            self.abort()

    def _pushed(self, push: list[Any]) -> None:
        kind = push[0]
        if kind in _MESSAGES:
            self._owner.handle_message(push[1], push[2])
        elif kind in _SUBSCRIPTIONS:
            head = self._waiting[0] if self._waiting else None
            if isinstance(head, _Subscription) and head.verb == kind and push[1] in head.names:
                head.names.discard(push[1])
                if not head.names:
                    self._waiting.popleft()
            elif kind == b"sunsubscribe":
                self._owner.handle_unsubscribed(push[1])

    def _answered(self, reply: Reply) -> None:
        if not self._waiting:
            self.abort()  # an answer to no question: the two are out of step
            return
        entry = self._waiting.popleft()
        if isinstance(entry, _Subscription):
            entry.failed(str(reply))
        elif type(reply) is not hiredis.ReplyError or not is_temporary(str(reply)):
            entry.answered(reply)
        elif entry.is_bound:
            entry.answered(reply)
            self._owner.handle_refusal(None, str(reply))
        else:
            self._owner.handle_refusal(entry, str(reply))

    def _queue(self, command: Command, entry: Request | _Subscription) -> None:
        if not self._waiting:
            self._heard_at = self._clock.monotonic()
        self._waiting.append(entry)
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # the stub is wrong

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self.is_open and self._transport is not None:
            self._transport.write(b"".join(outgoing))

    def _look(self) -> None:
        """From time to time: is the other end alive?"""
        if not self.is_open:
            return
        silent_seconds = self._clock.monotonic() - self._heard_at
        if self._waiting and silent_seconds >= self._timeout_seconds:
            self.abort()
            return
        if not self._waiting and silent_seconds >= self._timeout_seconds / 2:
            self._queue(("PING",), _nothing_to_do())
        self._watch = self._loop.call_later(self._timeout_seconds / 4, self._look)

    def _closed(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._outgoing.clear()
        if self._watch is not None:
            self._watch.cancel()
        requests = [entry for entry in self._waiting if not isinstance(entry, _Subscription)]
        self._waiting.clear()
        self._owner.handle_closed([request for request in requests if request.is_repeatable])
        for request in requests:
            if not request.is_repeatable:
                give_up(request)


def is_temporary(error: str) -> bool:
    """Whether an error of Redis says that the command was not done, but may be later or elsewhere."""
    return error.partition(" ")[0] in TEMPORARY


def _no_command(_: bytes) -> Command:
    return ()


def _nothing_to_do() -> Request:
    """A command whose answer is of no interest."""
    return Call(None, _no_command, _ignore, _ignore, is_bound=True)


def _ignore(_: object) -> None:
    return None


async def open_link(address: Address, location: RedisLocation, link: Link, timeout_seconds: float) -> None:
    """
    Connect ``link`` and log in.

    Raises:
        OSError: If nobody answers at ``address`` in time.
        RedisError: If Redis refuses, for instance the password.
        BrokerUnavailable: If the connection is lost meanwhile.
    """
    context = ssl.create_default_context() if location.is_tls else None
    async with asyncio.timeout(timeout_seconds):
        await asyncio.get_running_loop().create_connection(
            lambda: link, *address, ssl=context, server_hostname=address[0] if context else None
        )
        try:
            await _log_in(link, location)
        except BaseException:
            link.abort()
            raise


async def _log_in(link: Link, location: RedisLocation) -> None:
    login: list[str] = ["HELLO", "3"]
    if location.password:
        login += ["AUTH", location.username or "default", location.password]
    answers = [link.call(*login, "SETNAME", "users-server")]
    if location.database:
        answers.append(link.call("SELECT", location.database))
    for answer in answers:
        refuse_errors(await answer)


def refuse_errors(reply: Reply) -> Reply:
    """``reply``, unless it is an error: then it is raised as :class:`RedisError`."""
    if isinstance(reply, hiredis.ReplyError):
        raise RedisError(str(reply))
    return reply
