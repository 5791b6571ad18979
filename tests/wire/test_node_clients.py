"""The clients that people use: npm ws, undici, Node's own WebSocket, and a browser where there is one."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from tests.launcher import Certificate
from tests.raw_client import RawClient
from tests.server_process import EVIL_ORIGIN, ORIGIN, ServerProcess
from tests.wire.node_client import NodeClient, command, environment
from tests.wire.people import People, make_token

pytestmark = pytest.mark.node

LIBRARIES = ("ws", "undici", "node")


Opener = Callable[..., AbstractContextManager[NodeClient]]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(library: str, node: str, any_server: ServerProcess, certificate: Certificate) -> Opener:
    """Opens a client of each library; by default with an approved origin."""

    def open_client(
        path: str = "/", *, origin: str | None = ORIGIN, server: ServerProcess = any_server, **headers: str
    ) -> NodeClient:
        if origin is not None:
            headers["origin"] = origin
        return node_client(node, library, server, certificate, headers, path)

    return open_client


def node_client(
    node: str, library: str, server: ServerProcess, certificate: Certificate, headers: dict[str, str], path: str = "/"
) -> NodeClient:
    url = f"{server.websocket_scheme}://localhost:{server.websocket_port}{path}"
    return NodeClient(node, library, url, headers, authority=certificate.certificate if server.tls else None)


def test_the_example_of_the_documentation(any_server: ServerProcess, node: str, certificate: Certificate) -> None:
    url = f"{any_server.websocket_scheme}://localhost:{any_server.websocket_port}"
    for origin, output in (
        ("http://localhost", "We got an echo: Hello world?\nclosed: 1005 \n"),
        (EVIL_ORIGIN, "closed: 1008 The origin of this connection is not approved\n"),
    ):
        authority = certificate.certificate if any_server.tls else None
        found = subprocess.run(
            command(node, "seed.mjs", url, origin),
            env=environment(authority),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (found.stdout, found.stderr) == (output, "")


def test_echo_and_broadcast(opened: Opener, connect: Callable[..., RawClient]) -> None:
    other = connect()
    with opened() as first, opened() as second:
        first.wait_open()
        second.wait_open()
        first.send_event(eventType=10, message="Hello world?")
        assert first.read_event() == {"eventType": 10, "message": "Hello world?"}
        second.send_event(eventType=10, message="to all: ñ 漢字 👋", broadcast=True)
        for client in (first, second, other):
            assert client.read_event() == {"eventType": 10, "message": "to all: ñ 漢字 👋"}
        first.close(1000, "done")
        assert first.read_close()[0] == 1000


def test_binary_and_large_messages(opened: Opener) -> None:
    with opened() as client:
        client.wait_open()
        client.send_binary(b'{"eventType":10,"message":"binary"}')
        assert client.read_event()["message"] == "binary"
        client.send_event(eventType=10, message="x" * 65000)
        assert len(client.read_event()["message"]) == 65000
        client.send("nonsense")
        assert client.read_event()["code"] == "invalid_json"


def test_raw_echo(opened: Opener) -> None:
    with opened("/conformance") as client:
        client.wait_open()
        client.send_binary(bytes(range(256)))
        assert base64.b64decode(client.read()["binary"]) == bytes(range(256))
        client.send("text")
        assert client.read() == {"message": "text"}


@pytest.mark.parametrize("origin", [EVIL_ORIGIN, None])
def test_a_foreign_origin_sees_1008_and_nothing_else(
    opened: Opener, connect: Callable[..., RawClient], origin: str | None
) -> None:
    """Node's own WebSocket sends no origin unless told to, and is refused like any client without one."""
    good = connect()
    with opened(origin=origin) as evil:
        evil.wait_open()
        good.events_until_echo("a broadcast meanwhile")
        code, reason = evil.read_close()
        assert code == 1008
        assert "origin" in reason


def test_a_login_is_heard(opened: Opener, people: People) -> None:
    person = people.register()
    with opened() as client:
        client.wait_open()
        person = person.log_in_again()
        assert client.read_event() == {"eventType": 1, "username": person.username}
        person.http.request("POST", "/logout")
        assert client.read_event() == {"eventType": 2, "username": person.username}


def test_identity(opened: Opener, people: People) -> None:
    person = people()
    with (
        opened(f"/?token={make_token(person.username)}") as by_token,
        opened(cookie=f"SID={person.http.cookie}") as both,
    ):
        for client in (by_token, both):
            client.wait_open()
            client.send_event(eventType=9)
            assert client.read_event() == {"eventType": 9, "val": {}}
        person.http.request("POST", "/logout")
        while "message" in (report := both.read()):
            pass
        assert report["close"][0] == 4401
    with opened("/?token=nonsense") as refused:
        refused.wait_open()
        assert refused.read_close()[0] == 4401


def test_too_large_a_message(opened: Opener) -> None:
    """The library is still writing when the server has seen enough, and learns why all the same."""
    with opened() as client:
        client.wait_open()
        client.send("x" * 3_000_000)
        assert client.read_close()[0] == 1009


def test_the_server_goes_away(
    node: str, certificate: Certificate, launch: Callable[..., ServerProcess], is_tls: bool
) -> None:
    server = launch(tls=is_tls, fresh=True)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(node_client(node, library, server, certificate, {"origin": ORIGIN}))
            for library in LIBRARIES
        ]
        for client in clients:
            client.wait_open()
        server.terminate()
        assert [client.read_close()[0] for client in clients] == [1001] * len(LIBRARIES)
    assert server.wait() == 0


def test_pings_are_answered(opened: Opener, launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """The quiet client outlives one that is deaf to pings, so it must have answered them."""
    server = launch(tls=is_tls, websocket={"pingIntervalSeconds": 0.2, "pingTimeoutSeconds": 0.6})
    with opened(server=server) as client:
        client.wait_open()
        with server.connect() as deaf:
            deaf.drain()
        client.send_event(eventType=10, message="alive")
        assert client.read_event()["message"] == "alive"


def test_compression(opened: Opener, launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"compression": True})
    with opened(server=server) as client, opened(server=server) as other, server.connect() as plain:
        assert "permessage-deflate" in client.wait_open()
        other.wait_open()
        for message in ("short", "long " * 3000, "".join(chr(0x20 + number % 90) for number in range(9000)), "short"):
            client.send_event(eventType=10, message=message, broadcast=True)
            heard: list[Any] = [client.read_event(), other.read_event(), plain.read_event()]
            assert heard == [{"eventType": 10, "message": message}] * 3
