"""The relay on a real server: a client written against its own documentation, and everything that needs a socket."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launcher import Launcher
from tests.ports import free_ports
from tests.raw_client import BINARY, TEXT, RawClient, build_frame
from tests.server_process import ServerProcess
from tests.wire.node_client import command, environment
from tests.wire.relay import ANN, INVALID, SECRET, SENDED, SYSTEM, make_token, path

CHAT = {"message": "hello", "name": "Ann"}


@pytest.fixture(scope="module")
def relay_server(launch: Launcher, is_tls: bool) -> ServerProcess:
    """A server of each kind whose relay has a port of its own, too."""
    relay = {"secret": SECRET, "port": free_ports()}
    return launch(tls=is_tls, protocols={"relay": relay})


@pytest.fixture
def connect(relay_server: ServerProcess) -> Iterator[Callable[..., RawClient]]:
    """``connect(user_id, name, channel)``: clients without an origin, which are closed after the test."""
    clients = []

    def opened(*arguments: Any, **options: Any) -> RawClient:
        client = relay_server.connect(path(*arguments, **options), origin=None)
        clients.append(client)
        return client

    yield opened
    for client in clients:
        client.close()


def message(data: Any, sender: Any = ANN) -> dict[str, Any]:
    return {"type": "message", "sender": sender, "data": data}


def test_sended_comes_at_once_and_then_the_message(connect: Callable[..., RawClient]) -> None:
    ann, bob = connect(7, "Ann", "plain:1"), connect(8, "Bob", "plain:1")
    for number in range(3):
        ann.send_event(data={"n": number})
        assert ann.read_event() == SENDED
        assert ann.read_event() == message({"n": number})
        assert bob.read_event() == message({"n": number})


def test_messages_that_came_with_the_handshake_are_heard(relay_server: ServerProcess) -> None:
    trailing = build_frame(TEXT, b'{"data":{"early":1}}')
    for channel in ("plain:early", "board:early"):
        with relay_server.connect(path(7, "Ann", channel), origin=None, trailing=trailing) as client:
            assert [client.read_event(), client.read_event()] == [SENDED, message({"early": 1})]
    with relay_server.connect(path(7, "Ann", "chat:early"), origin=None, trailing=trailing) as client:
        assert client.read_event()["type"] == "connected"
        assert client.read_event()["error"]["code"] == "validation_failed"


def test_presence(connect: Callable[..., RawClient]) -> None:
    ann = connect(7, "Ann", "chat:p")
    assert ann.read_event() == {"type": "connected", "users": [ANN]}
    bobs = [connect(8, "Bob", "chat:p"), connect(8, "Bob", "chat:p")]
    bob = {"id": 8, "name": "Bob"}
    for client in bobs:
        assert client.read_event() == {"type": "connected", "users": [ANN, bob]}
    assert ann.read_event() == {"type": "connectOther", "sender": bob, "data": {"user": bob}}
    bobs[0].finish()
    bobs[1].close()
    assert ann.read_event() == {"type": "disconnectOther", "sender": bob, "data": {"user": bob}}


def test_a_message_for_one_user(connect: Callable[..., RawClient]) -> None:
    ann = connect(7, "Ann", "chat:t")
    ann.read_event()
    bob = connect(8, "Bob", "chat:t")
    bob.read_event()
    ann.read_event()
    ann.send_event(data={**CHAT, "target_user_id": 8})
    ann.send_event(data={**CHAT, "message": "for all"})
    assert [ann.read_event(), ann.read_event()] == [SENDED, SENDED]
    assert ann.read_event() == message({**CHAT, "message": "for all"})
    assert [bob.read_event()["data"]["message"] for _ in range(2)] == ["hello", "for all"]


@pytest.mark.parametrize("query", ["", "?token=", "?token=x.y.z", "?token=" + "a" * 9000])
def test_without_a_good_token_nothing_is_read(relay_server: ServerProcess, query: str) -> None:
    with relay_server.connect("/relay" + query, origin=None) as client:
        client.send_text('{"data":{}}')
        assert client.expect_close(4401)


def test_tokens_of_others(relay_server: ServerProcess) -> None:
    for found in (path(secret="x" * 40), path(at="/relay/default"), path(at="/relay/other"), path(at="/relay/%00")):
        with relay_server.connect(found, origin=None) as client:
            assert client.expect_close(4401) == INVALID
    with relay_server.connect(path(seconds=-1), origin=None) as client:
        assert client.expect_close(4401) == "The token has expired"


def test_the_link_ends_with_its_token(connect: Callable[..., RawClient]) -> None:
    began = time.monotonic()
    client = connect(7, "Ann", "plain:short", seconds=0.6)
    client.send_event(data={})
    assert client.read_event() == SENDED
    client.read_event()
    assert client.expect_close(4401) == "The token has expired"
    assert time.monotonic() - began < 5


def test_binary_frames_and_bad_ones(connect: Callable[..., RawClient]) -> None:
    client = connect()
    client.send_frame(BINARY, b'{"data":{"a":1}}')
    assert [client.read_event(), client.read_event()] == [SENDED, message({"a": 1})]
    client.send_text("{")
    refusal = client.read_event()
    assert (refusal["ok"], refusal["error"]["code"]) == (False, "invalid_json")
    client.send_text(b'{"data":{"a":"' + b"x" * 70_000 + b'"}}')
    client.expect_close(1009)


def test_its_own_port(relay_server: ServerProcess) -> None:
    port = relay_server.config["protocols"]["relay"]["port"]
    with (
        RawClient(("localhost", port), tls=relay_server.tls) as own,
        relay_server.connect(path(), origin=None) as other,
    ):
        own.handshake(path(8, "Bob", at="/"))
        own.send_event(data={"a": 1})
        assert other.read_event() == message({"a": 1}, {"id": 8, "name": "Bob"})
    with RawClient(("localhost", port), tls=relay_server.tls) as client:
        assert client.request("/relay/a/b").status == 404


def test_the_users_socket_api_hears_nothing_of_it(
    relay_server: ServerProcess, connect: Callable[..., RawClient]
) -> None:
    with relay_server.connect() as witness:
        relay = connect()
        relay.send_event(data={"eventType": 10, "message": "x"})
        assert relay.read_event() == SENDED
        assert witness.events_until_echo("nothing before") == []
        for name in ("users", "echo"):
            connect(channel=name).expect_close(1008)


def test_secrets_and_tokens_are_not_logged(relay_server: ServerProcess, connect: Callable[..., RawClient]) -> None:
    token = make_token()
    with relay_server.connect(f"/relay?token={token}", origin=None) as client:
        client.send_event(data={})
        client.read_event()
    assert SECRET not in relay_server.log
    assert token not in relay_server.log


@pytest.mark.node
def test_a_client_written_against_the_documentation(
    relay_server: ServerProcess, connect: Callable[..., RawClient], node: str, certificate: Any
) -> None:
    witness = connect(7, "Ann", "chat:node")
    witness.read_event()
    scheme, port = relay_server.websocket_scheme, relay_server.websocket_port
    url = f"{scheme}://localhost:{port}/relay"
    arguments = [url, make_token(9, "Node", "chat:node"), "from Node ñ"]
    done = subprocess.run(
        command(node, "relay_seed.mjs", *arguments),
        env=environment(certificate.certificate if relay_server.tls else None),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    data = {"message": "from Node ñ", "name": "Node"}
    assert done.stdout.splitlines() == [
        "connected: 7 Ann, 9 Node",
        "sended: true",
        f"message of 9 Node: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}",
        "closed: 1000 ",
    ]
    assert [witness.read_event()["type"] for _ in range(3)] == ["connectOther", "message", "disconnectOther"]


class Slow(http.server.BaseHTTPRequestHandler):
    """Answers ``wait`` when it is told to, and everything else at once."""

    may_answer = threading.Event()
    came = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = body["data"]
        if data.get("wait"):
            self.came.set()
            self.may_answer.wait(10)
        answer = json.dumps({"data": {**data, "seen": True}} if not data.get("no") else {"ok": False, "error": "no"})
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def application() -> Iterator[str]:
    """The URL of a callback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/relay"
    Slow.may_answer.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_callback_keeps_the_order_of_each_client(launch: Launcher, application: str) -> None:
    relay = {"secret": SECRET, "callback": {"url": application, "timeoutSeconds": 20}}
    server = launch(fresh=True, protocols={"relay": relay})
    with server.connect(path(7), origin=None) as slow, server.connect(path(8, "Bob"), origin=None) as quick:
        slow.send_event(data={"wait": True})
        slow.send_event(data={"n": 2})
        slow.send_event(data={"no": True})
        assert Slow.came.wait(10)
        quick.send_event(data={"n": 1})
        assert quick.read_event() == SENDED
        assert [client.read_event()["data"] for client in (quick, slow)] == [{"n": 1, "seen": True}] * 2
        Slow.may_answer.set()
        assert slow.read_event() == SENDED
        heard = [slow.read_event() for _ in range(4)]
        assert [event["data"] for event in heard if event["type"] == "message"] == [
            {"wait": True, "seen": True},
            {"n": 2, "seen": True},
        ]
        assert [event["ok"] for event in heard if event["type"] == "sended"] == [True, False]


def test_recovery_over_a_lost_connection(launch: Launcher, tmp_path: Path) -> None:
    rules = [{"pattern": "plain*", "historySize": 100, "historySeconds": 60}]
    server = launch(protocols={"relay": {"secret": SECRET}}, channels={"rules": rules})
    with server.connect(path(8, "Bob"), origin=None) as writer:
        with server.connect(path(query="&recover=1"), origin=None) as client:
            first = client.read_event()
            assert (first["type"], first["recovered"]) == ("subscribed", False)
            writer.send_event(data={"n": 0})
            position = client.read_event()["position"]
        for number in (1, 2):
            writer.send_event(data={"n": number})
        for _ in range(6):
            writer.read_event()
        query = f"&recover=1&position={position}"
        with server.connect(path(query=query), origin=None) as client:
            assert client.read_event() == {"type": "subscribed", "position": position, "recovered": True}
            assert [client.read_event()["data"]["n"] for _ in range(2)] == [1, 2]


def test_two_apps_and_their_secrets(launch: Launcher) -> None:
    """The configuration names no secret: tokens are signed with those of each app."""
    server = launch(protocols={"relay": {}})
    admin = server.admin()
    apps = {}
    for name in ("first", "second"):
        answer = admin.request("POST", "/apps", {"name": name})
        assert answer.status in (200, 201), answer
        apps[name] = {**answer.body["data"], **answer.body["credentials"]}
    clients = {}
    for name, app in apps.items():
        found = path(7, "Ann", "plain", at=f"/relay/{app['id']}", secret=app["secret"])
        clients[name] = server.connect(found, origin=None)
        stolen = path(
            7, "Ann", "plain", at=f"/relay/{apps['second' if name == 'first' else 'first']['id']}", secret=app["secret"]
        )
        with server.connect(stolen, origin=None) as stranger:
            assert stranger.expect_close(4401) == INVALID
    for number, name in enumerate(("first", "second")):
        clients[name].send_event(data={"n": number})
        assert [clients[name].read_event(), clients[name].read_event()] == [SENDED, message({"n": number})]
    clients["second"].send_event(data={"last": True})
    assert [clients["second"].read_event(), clients["second"].read_event()] == [SENDED, message({"last": True})]
    event = {"channel": "plain", "event": "saved", "data": {"n": 9}}
    key = {"app-api-key": apps["first"]["apiKey"]}
    answer = server.http().request("POST", f"/apps/{apps['first']['id']}/events", event, headers=key)
    assert answer.status == 200, answer
    heard = clients["first"].read_event()
    assert heard == {"type": "saved", "sender": SYSTEM, "data": {"n": 9}}
    for client in clients.values():
        client.close()
