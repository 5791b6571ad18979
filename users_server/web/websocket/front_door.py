"""The door of a port that serves HTTP or TLS: Tornado reads each request, and handshakes are taken out of its hands."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast

import structlog
from tornado import httputil
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, SSLIOStream
from tornado.netutil import ssl_wrap_socket

from users_server.errors import Disconnect
from users_server.protocols.base import Admission
from users_server.web.websocket.direct_door import plain_answer
from users_server.web.websocket.entrance import Entrance, Examined, Outcome, client_address
from users_server.web.websocket.handshake import HandshakeRefused
from users_server.web.websocket.stream_transport import StreamTransport

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reception:
    """
    What a front door leads to.

    Attributes:
        application: Answers what is no handshake, if ``serves_http``.
        request_begins: Called for each whole request that goes to the application, with its connection.
    """

    entrance: Entrance
    application: httputil.HTTPServerConnectionDelegate
    request_begins: Callable[[object], None]
    serves_sockets: bool
    serves_http: bool


class FrontDoor(httputil.HTTPServerConnectionDelegate):
    """
    Takes accepted sockets and feeds them to Tornado's HTTP server, whose delegate it is.

    At most ``max_waiting`` connections may be without a first request: over that, the one that has waited longest is
    dropped, which a client that sends its request at once never is.
    """

    def __init__(self, reception: Reception, ssl_context: ssl.SSLContext | None, *, max_waiting: int) -> None:
        self.reception = reception
        self._ssl_context = ssl_context
        self._max_waiting = max_waiting
        self._waiting: dict[IOStream, None] = {}
        self._server: HTTPServer | None = None

    def attach(self, server: HTTPServer) -> None:
        """The server that reads requests, made with this door as its delegate."""
        self._server = server

    def serve(self, connection: socket.socket, address: object) -> None:
        """Take over ``connection``."""
        connection.setblocking(False)
        assert self._server is not None  # noqa: S101 - attached before anything is accepted
        if self._ssl_context is not None:
            wrapped = ssl_wrap_socket(connection, self._ssl_context, server_side=True, do_handshake_on_connect=False)
            stream: IOStream = SSLIOStream(wrapped)
        else:
            stream = IOStream(connection)
        if len(self._waiting) >= self._max_waiting:
            next(iter(self._waiting)).close()
        self._waiting[stream] = None
        self._server.handle_stream(stream, cast("tuple[str, int]", address))

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        return _Request(self, server_conn, cast(HTTP1Connection, request_conn))

    def on_close(self, server_conn: object) -> None:
        self.request_came(cast("_ServerConnection", server_conn).stream)

    def request_came(self, stream: IOStream) -> None:
        """The connection has sent its first request's head, or is gone."""
        self._waiting.pop(stream, None)


class _ServerConnection(Protocol):
    stream: IOStream


class _ConnectionContext(Protocol):
    """What Tornado's server knows of a connection; it has the attributes, but no type for them."""

    remote_ip: str
    protocol: str


class _Request(httputil.HTTPMessageDelegate):
    """One request: a handshake, or the application's."""

    __slots__ = ("_connection", "_delegate", "_door", "_server_connection")

    def __init__(self, door: FrontDoor, server_connection: object, connection: HTTP1Connection) -> None:
        self._door = door
        self._server_connection = server_connection
        self._connection = connection
        self._delegate: httputil.HTTPMessageDelegate | None = None

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Awaitable[None] | None:
        reception, connection = self._door.reception, self._connection
        self._door.request_came(connection.stream)
        request_line = cast(httputil.RequestStartLine, start_line)
        self._apply_proxy_headers(headers)
        path, _, query = request_line.path.partition("?")
        if reception.serves_sockets:
            if reception.entrance.paths.find(path) is not None:
                if request_line.version != "HTTP/1.1":
                    return self._refuse(HandshakeRefused(400, "A WebSocket handshake is HTTP/1.1"))
                return self._shake_hands(request_line.method, path, query, headers)
            if not reception.serves_http:
                return self._refuse(HandshakeRefused(404, "No WebSocket is served at this path"))
        self._delegate = reception.application.start_request(self._server_connection, connection)
        return self._delegate.headers_received(request_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk) if self._delegate is not None else None

    def finish(self) -> None:
        if self._delegate is not None:
            self._door.reception.request_begins(self._connection)
            self._delegate.finish()

    def on_connection_close(self) -> None:
        if self._delegate is not None:
            self._delegate.on_connection_close()

    @property
    def _context(self) -> _ConnectionContext:
        return cast(_ConnectionContext, self._connection.context)

    def _apply_proxy_headers(self, headers: httputil.HTTPHeaders) -> None:
        """Tornado's own ``xheaders`` would believe these from anybody who connects."""
        context, trusted_proxies = self._context, self._door.reception.entrance.trusted_proxies
        if context.remote_ip not in trusted_proxies:
            return
        protocol = headers.get("X-Forwarded-Proto", "").split(",")[-1].strip()
        if protocol in ("http", "https"):
            context.protocol = protocol
        context.remote_ip = client_address(context.remote_ip, headers, trusted_proxies)

    async def _refuse(self, refusal: HandshakeRefused) -> None:
        if self._connection.stream is not None:
            stream = self._connection.detach()
            stream.write(plain_answer(refusal)).add_done_callback(lambda _: stream.close())

    async def _shake_hands(self, method: str, path: str, query: str, headers: httputil.HTTPHeaders) -> None:
        entrance = self._door.reception.entrance
        try:
            examined = entrance.examine(method, path, query, headers, self._context.remote_ip)
            outcome = entrance.admit(examined)
            if not isinstance(outcome, Admission | Disconnect):
                outcome = await outcome
            await self._open(examined, outcome)
        except HandshakeRefused as error:
            await self._refuse(error)

    async def _open(self, examined: Examined, outcome: Outcome) -> None:
        """
        Take the connection from Tornado: a plain socket is duplicated and detached, a TLS stream is wrapped.

        Raises :class:`HandshakeRefused` before anything was taken.
        """
        stream = self._connection.stream
        if stream is None or stream.closed():
            return
        entrance = self._door.reception.entrance
        loop = asyncio.get_running_loop()
        if isinstance(stream, SSLIOStream):
            # what came with the handshake stays in the stream, which goes on being read
            link = entrance.make_link(examined, outcome, b"")
            self._connection.detach()
            StreamTransport(stream, link, loop).start()
            return
        link = entrance.make_link(examined, outcome, _buffered_bytes(stream))
        self._connection.detach()
        try:
            duplicate: socket.socket = stream.socket.dup()
            duplicate.setblocking(False)
            stream.close()
            await loop.connect_accepted_socket(lambda: link, duplicate)
        except OSError as error:
            log.info("websocket lost in its handshake", connection=link.connection_id, error=str(error))
            link.connection_lost(error)


def _buffered_bytes(stream: IOStream) -> bytes:
    """
    What came behind the handshake's headers and was read with them.

    Tornado has no public way to ask for it without reading from the socket; a wire test sees to it that this one works.
    """
    size = stream._read_buffer_size
    return bytes(stream._read_buffer[:size]) if size else b""
