"""
The door of a port that serves sockets alone, without TLS: the handshake is read by an asyncio protocol.

The transport that reads the handshake becomes the link's own, so nothing is detached, and accepting a client costs a
third of what it costs through Tornado's HTTP server (docs/performance.md). HTTP is parsed by httptools.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from http import HTTPStatus
from typing import cast

import httptools
import orjson
import structlog

from users_server.errors import Disconnect
from users_server.protocols.base import Admission
from users_server.web.websocket.entrance import Entrance, Examined, Outcome, client_address
from users_server.web.websocket.handshake import HandshakeRefused

log = structlog.stdlib.get_logger(__name__)

MAX_HEAD_BYTES = 16_384
MAX_HEADERS = 100
SWEEP_SECONDS = 0.5


class DirectDoor:
    """
    Takes accepted sockets.

    At most ``max_waiting`` may be without a complete handshake, each for ``timeout_seconds``: over that, the one that
    has waited longest is dropped, which a client that sends its handshake at once never is.
    """

    def __init__(self, entrance: Entrance, *, max_waiting: int, timeout_seconds: float) -> None:
        self.entrance = entrance
        self.loop = asyncio.get_running_loop()
        self._max_waiting = max_waiting
        self._timeout_seconds = timeout_seconds
        self._waiting: dict[HandshakeReader, float] = {}
        self._connecting: set[asyncio.Task[object]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def serve(self, connection: socket.socket, address: object) -> None:
        """Take over ``connection``. Its owner is the door from here on, whatever happens."""
        peer_address = str(address[0]) if isinstance(address, tuple) else ""
        reader = HandshakeReader(self, peer_address)
        if len(self._waiting) >= self._max_waiting:
            next(iter(self._waiting)).drop()
        self._waiting[reader] = self.loop.time() + self._timeout_seconds
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        task = self.loop.create_task(self._connect(reader, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, reader: HandshakeReader, connection: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: reader, connection)
        except OSError as error:
            log.debug("connection lost while it was accepted", error=str(error))
            connection.close()
            self.leave(reader)

    def leave(self, reader: HandshakeReader) -> None:
        """The handshake is complete, or its connection is gone."""
        self._waiting.pop(reader, None)

    def close(self) -> None:
        """Drop everybody who has not shaken hands."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for reader in tuple(self._waiting):
            reader.drop()

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.loop.time()
        for reader, deadline in tuple(self._waiting.items()):
            if deadline > now:
                break
            reader.drop()
        if self._waiting:
            self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)


class RawHeaders:
    """A request's headers as they came, decoded when they are asked for, which most of a browser's never are."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def add(self, name: bytes, value: bytes) -> None:
        """Values of one name are joined by commas. Raises :class:`HandshakeRefused` over :data:`MAX_HEADERS`."""
        key, values = name.lower(), self._values
        if key in values:
            value = values[key] + b"," + value
        elif len(values) >= MAX_HEADERS:
            raise HandshakeRefused(431, "The request has too many headers")
        values[key] = value

    def get(self, name: str, /) -> str | None:
        """By lower-case name. Bytes beyond ASCII are taken for Latin-1, as Tornado does."""
        value = self._values.get(name.encode())
        return None if value is None else value.decode("latin-1")


class HandshakeReader(asyncio.Protocol):
    """Reads one request, and hands its transport to a link or answers with plain HTTP."""

    __slots__ = ("_door", "_headers", "_parser", "_peer_address", "_size", "_task", "_transport", "_url")

    def __init__(self, door: DirectDoor, peer_address: str) -> None:
        self._door = door
        self._peer_address = peer_address
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._headers = RawHeaders()
        self._url = b""
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._parser = None
        self._door.leave(self)

    def drop(self) -> None:
        """The client was too slow."""
        self._door.leave(self)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._complete(data[upgrade.args[0] :])
        except (httptools.HttpParserError, HandshakeRefused) as error:
            self._refuse(_as_refusal(error))
        else:
            if self._size > MAX_HEAD_BYTES:
                self._refuse(HandshakeRefused(431, "The request's headers are too large"))

    # What httptools calls

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name, value)

    def on_message_complete(self) -> None:
        """A whole request; one that asks for an upgrade goes on in :meth:`data_received`."""
        if self._parser is not None and not self._parser.should_upgrade():
            self._complete(b"")

    def _complete(self, first_bytes: bytes) -> None:
        parser, self._parser = self._parser, None  # which refers to this reader: a cycle, if it stayed
        if self._transport is None or parser is None:
            return
        self._door.leave(self)
        entrance = self._door.entrance
        path, _, query = self._url.decode("latin-1").partition("?")
        address = client_address(self._peer_address, self._headers, entrance.trusted_proxies)
        try:
            if parser.get_http_version() != "1.1":
                raise HandshakeRefused(400, "A WebSocket handshake is HTTP/1.1")  # noqa: TRY301
            examined = entrance.examine(parser.get_method().decode("ascii"), path, query, self._headers, address)
            outcome = entrance.admit(examined)
        except HandshakeRefused as refusal:
            self._refuse(refusal)
            return
        if isinstance(outcome, Admission | Disconnect):
            self._open(examined, outcome, first_bytes)
        else:
            self._transport.pause_reading()
            self._task = self._door.loop.create_task(self._open_later(examined, outcome, first_bytes))

    async def _open_later(self, examined: Examined, pending: Awaitable[Outcome], first_bytes: bytes) -> None:
        try:
            outcome = await pending
        except HandshakeRefused as error:
            self._refuse(error)
        else:
            self._open(examined, outcome, first_bytes)

    def _open(self, examined: Examined, outcome: Outcome, first_bytes: bytes) -> None:
        """Put a link in this protocol's place."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            link = self._door.entrance.make_link(examined, outcome, first_bytes)
        except HandshakeRefused as refusal:
            self._refuse(refusal)
            return
        self._transport = None
        transport.set_protocol(link)
        transport.resume_reading()
        link.connection_made(transport)

    def _refuse(self, refusal: HandshakeRefused) -> None:
        """Answer with plain HTTP, in the form of the HTTP API, and end the connection."""
        self._door.leave(self)
        self._parser = None
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.write(plain_answer(refusal))
        transport.close()


def _as_refusal(error: Exception) -> HandshakeRefused:
    """httptools chains what a callback raised behind an error of its own."""
    if isinstance(error, HandshakeRefused):
        return error
    if isinstance(error.__context__, HandshakeRefused):
        return error.__context__
    return HandshakeRefused(400, "This is not HTTP/1.1")


def plain_answer(refusal: HandshakeRefused) -> bytes:
    """A whole HTTP/1.1 answer in the form of the HTTP API, after which the connection ends."""
    body = orjson.dumps({"message": refusal.message, "error": True})
    headers = {
        "Content-Type": "application/json; charset=UTF-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Connection": "close",
        **refusal.headers,
    }
    head = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode() + body
