"""The HTTP API of any protocol, on the port of a server: one that is made for these tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
import structlog
from marshmallow import fields

from tests.ports import free_ports
from users_server.core.apps import App
from users_server.core.clock import SystemClock
from users_server.errors import StoreUnavailable, Unauthenticated, UsersServerError
from users_server.protocols.base import Mount, WireProtocol
from users_server.protocols.http import HTTPAnswer, HTTPCall, HTTPRoute, HTTPService, HTTPTable
from users_server.schemas.fields import Input, Output
from users_server.services.credentials import ReadsHeaders
from users_server.web.metrics import Metrics
from users_server.web.protocol_routes import ProtocolEdge, own_routes, protocol_routes
from users_server.web.server import ListenSettings, OpenRequests, WebServer, make_application
from users_server.web.settings import HttpSettings, TlsSettings, WebSocketSettings
from users_server.web.websocket.entrance import Entrance
from users_server.web.websocket.links import LinkRegistry

pytestmark = pytest.mark.gen_test(timeout=20)

APP = App("shop", "Shop", (), created_on=0)


class Order(Input):
    count = fields.Integer(required=True)


@dataclass
class Kitchen:
    """What the handlers work with."""

    may_finish: asyncio.Event = field(default_factory=asyncio.Event)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)


async def admit(_kitchen: Kitchen, headers: ReadsHeaders) -> App:
    who = headers.get("authorization")
    if who == "away":
        raise StoreUnavailable
    if who is None:
        raise Unauthenticated
    return APP


async def cook(kitchen: Kitchen, call: HTTPCall) -> HTTPAnswer:
    kitchen.has_begun.set()
    await kitchen.may_finish.wait()
    return HTTPAnswer(202, f"{call.app.id} {call.body['count']} {call.path['dish']}".encode(), {"X-More": "1"})


async def look(_kitchen: Kitchen, call: HTTPCall) -> HTTPAnswer:
    return HTTPAnswer(200, call.path.get("dish", "menu").encode())


async def burn(_kitchen: Kitchen, _call: HTTPCall) -> HTTPAnswer:
    raise RuntimeError("a secret detail")


def refuse(status: int, error: UsersServerError) -> HTTPAnswer:
    return HTTPAnswer(status, f"{status} {error.message}".encode())


TABLE = HTTPTable(
    "kitchen",
    (
        HTTPRoute("POST", "/dishes/:dish", cook, "Cook", Output, {}, request=Order),
        HTTPRoute("GET", "/dishes/:dish", look, "Look", Output, {}),
        HTTPRoute("GET", "/dishes/menu", look, "Read", Output, {}),
        HTTPRoute("POST", "/burn", burn, "Burn", Output, {}),
    ),
    admit,
    "appBasic",
    refuse,
    Output,
)


class Silent:
    name = "kitchen"


@asynccontextmanager
async def serving(kitchen: Kitchen) -> AsyncIterator[tuple[WebServer, int]]:
    """The API on ``http.port``, and on a port of its own."""
    port = free_ports()
    settings = WebSocketSettings(port=0)
    requests = OpenRequests()
    entrance = Entrance(
        links=LinkRegistry(settings, "node1"),
        trusted_proxies=frozenset(),
        offers_deflate=False,
        is_open=lambda: True,
        clock=SystemClock(),
    )
    service, edge = HTTPService(TABLE, kitchen, port), ProtocolEdge(100, Metrics())
    server = WebServer(
        ListenSettings("127.0.0.1", HttpSettings(port=0), settings, TlsSettings()),
        entrance,
        [Mount("/socket", cast(WireProtocol, Silent()), port)],
        make_application(protocol_routes([service], edge), requests),
        requests,
        {port: make_application(own_routes(service, edge), requests)},
    )
    server.start()
    try:
        yield server, port
    finally:
        await server.stop(5.0)


async def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    given = {"Host": "a", "Connection": "close", "Content-Length": str(len(body)), "Authorization": "me"}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**given, **(headers or {})}.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *found = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in found), content


async def test_rows_are_found_on_both_ports() -> None:
    kitchen = Kitchen()
    kitchen.may_finish.set()
    async with serving(kitchen) as (server, own):
        for port in (server.http_port, own):
            status, headers, content = await ask(port, "POST", "/dishes/p%C3%A2t%2Fe", b'{"count": 2}')
            assert (status, headers["X-More"], content.decode()) == (202, "1", "shop 2 pât/e")
            assert (await ask(port, "GET", "/dishes/soup"))[2] == b"soup"
            assert (await ask(port, "GET", "/dishes/menu"))[2] == b"menu"
            status, headers, content = await ask(port, "PUT", "/dishes/soup")
            assert (status, headers["Allow"], content) == (
                405,
                "GET, HEAD, POST",
                b"405 This method is not allowed here",
            )
        assert (await ask(own, "GET", "/dishes"))[::2] == (404, b"404 There is nothing at this address")


async def test_the_caller_goes_before_the_request() -> None:
    async with serving(Kitchen()) as (server, _):
        for authorization, status in (("me", 400), ("away", 503)):
            found = await ask(server.http_port, "POST", "/dishes/a", b"{", {"Authorization": authorization})
            assert found[0] == status
        assert found[1]["Retry-After"] == "5"
        assert (await ask(server.http_port, "POST", "/dishes/a", b"{}"))[0] == 422
        assert (await ask(server.http_port, "POST", "/dishes/a", b"x" * 101))[::2] == (
            413,
            b"413 The body is larger than 100 bytes",
        )
        assert (await ask(server.http_port, "GET", "/dishes/%FF"))[0] == 400


async def test_what_nobody_expected_is_logged_and_not_told() -> None:
    async with serving(Kitchen()) as (server, own):
        with structlog.testing.capture_logs() as records:
            for port in (server.http_port, own):
                found = await ask(port, "POST", "/burn")
                assert found[::2] == (500, b"500 Something went wrong; it has been logged")
    assert [(record["log_level"], record["route"]) for record in records] == [("error", "/burn")] * 2


@pytest.mark.parametrize("is_own", [False, True])
async def test_a_request_that_is_being_answered_is_finished_when_the_server_stops(is_own: bool) -> None:
    kitchen = Kitchen()
    async with serving(kitchen) as (server, own):
        port = own if is_own else server.http_port
        asking = asyncio.create_task(ask(port, "POST", "/dishes/a", b'{"count": 1}'))
        await kitchen.has_begun.wait()
        stopping = asyncio.create_task(server.stop(10.0))
        await asyncio.wait({stopping}, timeout=0.2)
        assert not stopping.done()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 5)
        kitchen.may_finish.set()
        assert (await asking)[0] == 202
        await stopping
