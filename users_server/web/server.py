"""The listeners of a server: which port serves what, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import URLSpec
from tornado.web import Application, RequestHandler

from users_server.errors import StartupError
from users_server.protocols.base import Mount
from users_server.web.settings import HttpSettings, TlsSettings, WebSocketSettings
from users_server.web.websocket.direct_door import DirectDoor
from users_server.web.websocket.entrance import Entrance
from users_server.web.websocket.front_door import FrontDoor, Reception
from users_server.web.websocket.listener import Listener
from users_server.web.websocket.paths import PathTable

log = structlog.stdlib.get_logger(__name__)

BACKLOG = 4096
MAX_HEADER_BYTES = 16_384
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """
    Where to listen. Equal ports other than 0 share one listener.

    ``reuse_port`` is for several processes that listen on the same ports (``SO_REUSEPORT``).
    """

    host: str
    http: HttpSettings
    websocket: WebSocketSettings
    tls: TlsSettings
    reuse_port: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """
    One port. ``setting`` names it in the configuration; without ``paths`` it serves no sockets.

    ``application`` answers what is no handshake, if anything does. ``is_main`` is the port of the WebSocket API, and of
    every protocol without a port of its own; ``is_http`` is ``http.port``.
    """

    port: int
    setting: str
    paths: PathTable | None
    application: Application | None = None
    is_http: bool = False
    is_main: bool = False


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
    The HTTP port and the WebSocket port, or both on one, and the ports of protocols that have one of their own.

    All have the same certificate and the same limits. :meth:`start` raises :class:`StartupError` if a port is taken,
    two of ``mounts`` want one path, or a certificate cannot be loaded.

    Args:
        application: Of ``http.port``.
        own_applications: What the ports of protocols answer beside handshakes, by port.
    """

    def __init__(
        self,
        settings: ListenSettings,
        entrance: Entrance,
        mounts: Sequence[Mount],
        application: Application,
        requests: OpenRequests,
        own_applications: Mapping[int, Application] | None = None,
    ) -> None:
        self._settings = settings
        self._entrance = entrance
        self._mounts = mounts
        self._application = application
        self._own_applications = own_applications or {}
        self._requests = requests
        self._direct_doors: list[DirectDoor] = []
        self._listeners: list[Listener] = []
        self._servers: list[HTTPServer] = []
        self.http_port = 0
        self.websocket_port = 0

    def start(self) -> None:
        """Bind and begin to accept; all or none."""
        ssl_context = make_ssl_context(self._settings.tls)
        places = self._places()
        bound: list[list[socket.socket]] = []
        try:
            for place in places:
                sockets = bind(self._settings.host, place.port, place.setting, reuse_port=self._settings.reuse_port)
                bound.append(sockets)
        except StartupError:
            _close(itertools.chain.from_iterable(bound))
            raise
        for place, sockets in zip(places, bound, strict=True):
            if place.is_http:
                self.http_port = _port_of(sockets)
            if place.is_main:
                self.websocket_port = _port_of(sockets)
            self._listen(place, sockets, ssl_context)
        for listener in self._listeners:
            listener.start()

    def _places(self) -> list[_Place]:
        """Every port once. Raises :class:`StartupError` for a path or a port that two want."""
        http_port, main_port = self._settings.http.port, self._settings.websocket.port
        by_port: dict[int, list[Mount]] = {}
        for mount in self._mounts:
            is_main = mount.port in (0, main_port)
            by_port.setdefault(0 if is_main else mount.port, []).append(mount)
        main = PathTable(by_port.pop(0, ()))
        if http_port == main_port != 0:
            places = [_Place(http_port, "http.port", main, self._application, is_http=True, is_main=True)]
        else:
            places = [
                _Place(http_port, "http.port", None, self._application, is_http=True),
                _Place(main_port, "websocket.port", main, is_main=True),
            ]
        for port, mounts in by_port.items():
            name = mounts[0].protocol.name
            if port == http_port:
                raise StartupError(f"{name}: port {port} is http.port. Give {name} another port in the configuration")
            application = self._own_applications.get(port)
            places.append(_Place(port, f"protocols.{name}.port", PathTable(mounts), application))
        return places

    def _listen(self, place: _Place, sockets: Sequence[socket.socket], ssl_context: ssl.SSLContext | None) -> None:
        websocket = self._settings.websocket
        if place.application is not None or ssl_context is not None:
            serve = self._front_door(place, ssl_context).serve
        else:
            door = DirectDoor(
                self._entrance.at(place.paths or PathTable()),
                max_waiting=websocket.max_handshakes,
                timeout_seconds=websocket.handshake_timeout_seconds,
            )
            self._direct_doors.append(door)
            serve = door.serve
        self._listeners.append(Listener(sockets, serve, max_waiting=websocket.max_handshakes))

    def _front_door(self, place: _Place, ssl_context: ssl.SSLContext | None) -> FrontDoor:
        http, websocket, serves_http = self._settings.http, self._settings.websocket, place.application is not None
        reception = Reception(
            self._entrance.at(place.paths or PathTable()),
            place.application or self._application,
            self._requests.begin,
            serves_sockets=place.paths is not None,
            serves_http=serves_http,
        )
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


def bind(host: str, port: int, setting: str, *, reuse_port: bool = False) -> list[socket.socket]:
    """
    Listening sockets on all addresses of ``host``, with one port number for all.

    "" is every address. "localhost" is both loopback addresses, whatever the machine's table of hosts says of it.
    """
    try:
        if host != "localhost":
            return bind_sockets(port, host or None, backlog=BACKLOG, reuse_port=reuse_port)
        return _bind_loopback(port, reuse_port)
    except socket.gaierror as error:
        raise StartupError(f"host: {host!r} is no address of this machine ({error.strerror})") from error
    except OSError as error:
        raise StartupError(
            f"{setting}: cannot listen on {host or 'all addresses'} port {port}: {_why(error)}"
        ) from error


def _bind_loopback(port: int, reuse_port: bool, *, tries: int = 10) -> list[socket.socket]:
    sockets = bind_sockets(port, "127.0.0.1", backlog=BACKLOG, reuse_port=reuse_port)
    try:
        return sockets + bind_sockets(_port_of(sockets), "::1", backlog=BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        if error.errno in _NO_IPV6:
            return sockets
        _close(sockets)
        if port == 0 and tries and error.errno == errno.EADDRINUSE:
            return _bind_loopback(port, reuse_port, tries=tries - 1)
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
