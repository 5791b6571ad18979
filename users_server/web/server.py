"""The listeners of a server: which port serves what, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import URLSpec
from tornado.web import Application, RequestHandler

from users_server.errors import StartupError
from users_server.web.settings import HttpSettings, TlsSettings, WebSocketSettings
from users_server.web.websocket.direct_door import DirectDoor
from users_server.web.websocket.entrance import Entrance
from users_server.web.websocket.front_door import FrontDoor, Reception
from users_server.web.websocket.listener import Listener

log = structlog.stdlib.get_logger(__name__)

BACKLOG = 4096
MAX_HEADER_BYTES = 16_384
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where to listen. Equal ports other than 0 share one listener."""

    host: str
    http: HttpSettings
    websocket: WebSocketSettings
    tls: TlsSettings


class OpenRequests:
    """
    The HTTP requests that are being answered, so that a server can end between them.

    A request may be answered before it is whole; then it is never begun here, and its end is no news.
    """

    def __init__(self) -> None:
        self._connections: set[object] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def begin(self, connection: object) -> None:
        """A whole request came in on ``connection``, Tornado's object for this request alone."""
        self._connections.add(connection)
        self._is_idle.clear()

    def end(self, handler: RequestHandler) -> None:
        """It was answered. Tornado calls this in place of writing an access log."""
        self._connections.discard(handler.request.connection)
        if not self._connections:
            self._is_idle.set()

    async def wait_until_idle(self, timeout_seconds: float) -> None:
        try:
            await asyncio.wait_for(self._is_idle.wait(), timeout_seconds)
        except TimeoutError:
            log.warning("requests dropped at shutdown", count=len(self._connections))


def make_application(routes: Iterable[URLSpec], requests: OpenRequests) -> Application:
    """The HTTP API as a Tornado application. ``routes`` must end with one that takes what no other does."""
    return Application(list(routes), log_function=requests.end)


class WebServer:
    """
    The HTTP port and the WebSocket port, or both on one.

    :meth:`start` raises :class:`StartupError` if a port is taken or a certificate cannot be loaded.
    """

    def __init__(
        self, settings: ListenSettings, entrance: Entrance, application: Application, requests: OpenRequests
    ) -> None:
        self._settings = settings
        self._reception = Reception(entrance, application, requests.begin, serves_sockets=True, serves_http=True)
        self._requests = requests
        self._direct_doors: list[DirectDoor] = []
        self._listeners: list[Listener] = []
        self._servers: list[HTTPServer] = []
        self.http_port = 0
        self.websocket_port = 0

    def start(self) -> None:
        """Bind and begin to accept; both or none."""
        settings = self._settings
        http_port, websocket_port = settings.http.port, settings.websocket.port
        ssl_context = make_ssl_context(settings.tls)
        is_shared = http_port == websocket_port != 0
        if is_shared:
            sockets = bind(settings.host, http_port, "http.port")
            self.http_port = self.websocket_port = _port_of(sockets)
            self._listen(sockets, ssl_context, serves_sockets=True, serves_http=True)
        else:
            http_sockets = bind(settings.host, http_port, "http.port")
            try:
                sockets = bind(settings.host, websocket_port, "websocket.port")
            except StartupError:
                _close(http_sockets)
                raise
            self.http_port, self.websocket_port = _port_of(http_sockets), _port_of(sockets)
            self._listen(http_sockets, ssl_context, serves_sockets=False, serves_http=True)
            self._listen(sockets, ssl_context, serves_sockets=True, serves_http=False)
        for listener in self._listeners:
            listener.start()

    def _listen(
        self,
        sockets: Sequence[socket.socket],
        ssl_context: ssl.SSLContext | None,
        *,
        serves_sockets: bool,
        serves_http: bool,
    ) -> None:
        websocket = self._settings.websocket
        if serves_http or ssl_context is not None:
            serve = self._front_door(ssl_context, serves_sockets=serves_sockets, serves_http=serves_http).serve
        else:
            door = DirectDoor(
                self._reception.entrance,
                max_waiting=websocket.max_handshakes,
                timeout_seconds=websocket.handshake_timeout_seconds,
            )
            self._direct_doors.append(door)
            serve = door.serve
        self._listeners.append(Listener(sockets, serve, max_waiting=websocket.max_handshakes))

    def _front_door(self, ssl_context: ssl.SSLContext | None, *, serves_sockets: bool, serves_http: bool) -> FrontDoor:
        http, websocket = self._settings.http, self._settings.websocket
        reception = replace(self._reception, serves_sockets=serves_sockets, serves_http=serves_http)
        door = FrontDoor(reception, ssl_context, max_waiting=websocket.max_handshakes)
        server = HTTPServer(
            door,
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=http.max_body_bytes,
            idle_connection_timeout=http.idle_timeout_seconds if serves_http else websocket.handshake_timeout_seconds,
            body_timeout=http.idle_timeout_seconds,
            protocol="https" if ssl_context is not None else None,
        )
        door.attach(server)
        self._servers.append(server)
        return door

    def stop_accepting(self) -> None:
        for listener in self._listeners:
            listener.stop()

    async def stop(self, timeout_seconds: float) -> None:
        """Let the requests that were accepted finish, up to ``timeout_seconds``, and drop every connection."""
        self.stop_accepting()
        for door in self._direct_doors:
            door.close()
        await self._requests.wait_until_idle(timeout_seconds)
        for server in self._servers:
            await server.close_all_connections()


def bind(host: str, port: int, setting: str) -> list[socket.socket]:
    """
    Listening sockets on all addresses of ``host``, with one port number for all.

    "" is every address. "localhost" is both loopback addresses, whatever the machine's table of hosts says of it.
    """
    try:
        if host != "localhost":
            return bind_sockets(port, host or None, backlog=BACKLOG)
        return _bind_loopback(port)
    except socket.gaierror as error:
        raise StartupError(f"host: {host!r} is no address of this machine ({error.strerror})") from error
    except OSError as error:
        raise StartupError(
            f"{setting}: cannot listen on {host or 'all addresses'} port {port}: {_why(error)}"
        ) from error


def _bind_loopback(port: int, *, tries: int = 10) -> list[socket.socket]:
    sockets = bind_sockets(port, "127.0.0.1", backlog=BACKLOG)
    try:
        return sockets + bind_sockets(_port_of(sockets), "::1", backlog=BACKLOG)
    except OSError as error:
        if error.errno in _NO_IPV6:
            return sockets
        _close(sockets)
        if port == 0 and tries and error.errno == errno.EADDRINUSE:
            return _bind_loopback(port, tries=tries - 1)
        raise


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses it. Stop that program or choose another port"
    if error.errno == errno.EACCES:
        return "ports below 1024 need more rights. Choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "the host is no address of this machine"
    return error.strerror or str(error)


def make_ssl_context(tls: TlsSettings) -> ssl.SSLContext | None:
    """:obj:`None` without a certificate. Raises :class:`StartupError` with what is wrong."""
    if not tls.is_enabled:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key or None, _password(tls))
    except ssl.SSLError as error:
        why = error.reason or "the files are not PEM"
        raise StartupError(
            f"tls: certificate and key cannot be loaded ({why}). Check that both are PEM, that they belong together, "
            "and that the passphrase is right"
        ) from error
    except OSError as error:
        raise StartupError(f"tls: {error.filename or tls.certificate} cannot be read: {error.strerror}") from error
    return context


def _password(tls: TlsSettings) -> Callable[[], str]:
    """As a function, so that OpenSSL never asks on the terminal."""
    return lambda: tls.passphrase


def _port_of(sockets: Sequence[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
