"""A handshake's way to a protocol: admission, refusals of both forms, and ports of their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from tests.ports import free_ports
from tests.raw_client import RawClient
from users_server.core.clock import SystemClock
from users_server.core.interfaces import Transport
from users_server.core.messages import Identity
from users_server.errors import AppGone, Disconnect, IdentityRefused, StartupError, StoreUnavailable
from users_server.protocols.base import Admission, Framing, Mount, Peer, Visit
from users_server.web.server import ListenSettings, OpenRequests, WebServer, make_application
from users_server.web.settings import HttpSettings, TlsSettings, WebSocketSettings
from users_server.web.websocket.entrance import Entrance
from users_server.web.websocket.links import LinkRegistry


class Receiver:
    """Sends every message back."""

    def __init__(self, transport: Transport, framing: Framing) -> None:
        self._transport = transport
        self._framing = framing

    def receive(self, payload: bytes, is_text: bool) -> None:
        self._transport.write(self._framing.text(payload))

    def write_changed(self) -> None: ...

    def disconnect(self, reason: Disconnect) -> None:
        self._transport.close(4000, reason.message)

    def lost(self) -> None: ...


@dataclass
class Scripted:
    """A protocol that does what a test says. ``admission`` and ``opening`` are what happens, an error is raised."""

    name: str = "scripted"
    admission: Any = field(default_factory=Admission)
    opening: Exception | None = None
    refusal_status: int | None = None
    subprotocol: str = ""
    is_slow: bool = False
    visits: list[Visit] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)

    def admit(self, visit: Visit) -> Admission | Awaitable[Admission]:
        self.visits.append(visit)
        return self._admit_later() if self.is_slow else self._admit()

    def _admit(self) -> Admission:
        if isinstance(self.admission, Exception):
            raise self.admission
        assert isinstance(self.admission, Admission)
        return self.admission

    async def _admit_later(self) -> Admission:
        await asyncio.sleep(0)
        return self._admit()

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> Receiver:
        self.peers.append(peer)
        if self.opening is not None:
            raise self.opening
        return Receiver(transport, framing)

    def close_code(self, reason: Disconnect) -> int:
        return {"identity_refused": 4401, "app_gone": 4404, "server_full": 4013}[reason.reason]


@asynccontextmanager
async def serving(
    *mounts: Mount, shares_port: bool = False, max_connections: int = 0, reuse_port: bool = False, port: int = 0
) -> AsyncIterator[WebServer]:
    """On a port of sockets alone, or with ``shares_port`` on one that has HTTP too."""
    port = port or (free_ports() if shares_port else 0)
    settings = WebSocketSettings(port=port, max_connections=max_connections)
    links = LinkRegistry(settings, "node1")
    requests = OpenRequests()
    entrance = Entrance(
        links=links,
        trusted_proxies=frozenset(),
        offers_deflate=False,
        is_open=lambda: True,
        clock=SystemClock(),
    )
    listen = ListenSettings(
        "127.0.0.1", HttpSettings(port=port if shares_port else 0), settings, TlsSettings(), reuse_port=reuse_port
    )
    server = WebServer(listen, entrance, mounts, make_application([], requests), requests)
    try:
        server.start()
        yield server
    finally:
        for link in links.links():
            link.abort()
        await links.drain(5.0)
        await server.stop(5.0)


async def connect(port: int, path: str = "/p") -> RawClient:
    """A client after its handshake. It blocks, so that all it does is done in a thread."""

    def shake_hands() -> RawClient:
        client = RawClient(("127.0.0.1", port))
        client.handshake(path)
        return client

    return await asyncio.to_thread(shake_hands)


async def close_of(port: int, path: str = "/p") -> tuple[int | None, str | None]:
    """How the link is closed that is opened there."""
    client = await connect(port, path)
    with client:
        return await asyncio.to_thread(client.read_close)


async def status_of(port: int, path: str = "/p") -> int:
    """How the handshake there is answered."""

    def ask() -> int:
        with RawClient(("127.0.0.1", port)) as client:
            return client.request(path).status

    return await asyncio.to_thread(ask)


both = pytest.mark.parametrize("is_slow", [False, True])
bind_fails = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""Tornado leaves a socket that it cannot bind to the garbage collector."""
doors = pytest.mark.parametrize("shares_port", [False, True])


@both
@doors
@pytest.mark.gen_test
async def test_a_client_that_comes_in(is_slow: bool, shares_port: bool) -> None:
    protocol = Scripted(is_slow=is_slow, admission=Admission(app="mine", details=5))
    async with serving(Mount("/p/:app", protocol), shares_port=shares_port) as server:
        with await connect(server.websocket_port, "/p/a%20b?x=1&y") as client:
            client.send_text("hello")
            assert (await asyncio.to_thread(client.read_message)).payload == b"hello"
        (visit,), (peer,) = protocol.visits, protocol.peers
        assert (dict(visit.parameters), visit.query, visit.address) == ({"app": "a b"}, "x=1&y", "127.0.0.1")
        assert visit.headers.get("host")
        assert (peer.admission.app, peer.admission.details, peer.address) == ("mine", 5, "127.0.0.1")
        assert peer.connection_id == "node1-1"


@both
@doors
@pytest.mark.gen_test
async def test_a_refusal_by_close_code(is_slow: bool, shares_port: bool) -> None:
    protocol = Scripted(is_slow=is_slow, admission=IdentityRefused("Not you"))
    async with serving(Mount("/p", protocol), shares_port=shares_port) as server:
        assert await close_of(server.websocket_port) == (4401, "Not you")
        assert protocol.peers == []


@both
@doors
@pytest.mark.parametrize(
    ("error", "status"), [(IdentityRefused("Not you"), 401), (StoreUnavailable(), 503), (ZeroDivisionError(), 500)]
)
@pytest.mark.gen_test
async def test_a_refusal_in_the_handshake(is_slow: bool, shares_port: bool, error: Exception, status: int) -> None:
    protocol = Scripted(is_slow=is_slow, admission=error, refusal_status=401)
    async with serving(Mount("/p", protocol), shares_port=shares_port) as server:
        with structlog.testing.capture_logs() as logs:
            assert await status_of(server.websocket_port) == status
        assert [line["event"] for line in logs if line["log_level"] == "error"] == (
            ["admission failed"] if status == 500 else []
        )


@doors
@pytest.mark.gen_test
async def test_an_open_that_has_no_room(shares_port: bool) -> None:
    protocol = Scripted(opening=AppGone("No such app"), admission=Admission(Identity(expires_at=1.0)))
    async with serving(Mount("/p", protocol), shares_port=shares_port) as server:
        assert await close_of(server.websocket_port) == (4404, "No such app")


@pytest.mark.gen_test
async def test_an_identity_that_ends() -> None:
    soon = SystemClock().now_ms() / 1000 + 0.05
    async with serving(Mount("/p", Scripted(admission=Admission(Identity(expires_at=soon))))) as server:
        code, reason = await close_of(server.websocket_port)
        assert (code, reason) == (4000, "The token has expired")


@doors
@pytest.mark.gen_test
async def test_a_full_server(shares_port: bool) -> None:
    by_code, by_status = Scripted(), Scripted("strict", refusal_status=403)
    mounts = [Mount("/p", by_code), Mount("/strict", by_status)]
    async with serving(*mounts, shares_port=shares_port, max_connections=1) as server:
        with await connect(server.websocket_port):
            assert (await close_of(server.websocket_port))[0] == 4013
            assert await status_of(server.websocket_port, "/strict") == 503


@doors
@pytest.mark.gen_test
async def test_a_port_of_its_own(shares_port: bool) -> None:
    own = free_ports()
    main, other = Scripted("main"), Scripted("other")
    mounts = [Mount("/p", main), Mount("/", other, own), Mount("/other", other)]
    async with serving(*mounts, shares_port=shares_port) as server:
        for port, path in ((server.websocket_port, "/p"), (server.websocket_port, "/other"), (own, "/")):
            assert await status_of(port, path) == 101
        for port, path in ((server.websocket_port, "/"), (own, "/p")):
            assert await status_of(port, path) == 404
    assert (len(main.visits), len(other.visits)) == (1, 2)


@bind_fails
@pytest.mark.gen_test
async def test_ports_and_paths_that_two_want() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(StartupError, match=r"second\.port: cannot listen"):
        async with serving(Mount("/p", Scripted()), Mount("/", Scripted("second"), port)):
            pass
    with pytest.raises(StartupError, match="both to be served"):
        async with serving(Mount("/p", Scripted("first")), Mount("/p", Scripted("second"))):
            pass


@bind_fails
@pytest.mark.gen_test
async def test_several_processes_on_one_port() -> None:
    port = free_ports()
    async with serving(Mount("/p", Scripted()), port=port, reuse_port=True):
        async with serving(Mount("/p", Scripted()), port=port, reuse_port=True) as second:
            assert second.websocket_port == port
        with pytest.raises(StartupError):
            async with serving(Mount("/p", Scripted()), port=port):
                pass
