"""Phoenix channels on a real server, with a client that may break every rule: handshakes, joins, pushes, the end."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.launcher import Launcher
from tests.ports import free_ports
from tests.raw_client import BINARY, TEXT, RawClient, build_frame
from tests.server_process import EVIL_ORIGIN, ServerProcess
from tests.wire.jwp import Game, make_game
from tests.wire.relay import SENDED, SYSTEM
from tests.wire.relay import path as relay_path

OK: dict[str, Any] = {"status": "ok", "response": {}}
LISTED = json.dumps({"meta": {"name": "Ann"}, "options": {"presence_track": True, "presence_diffs": True}})


@pytest.fixture(scope="module")
def jwp_server(launch: Launcher, is_tls: bool) -> ServerProcess:
    """A server of each kind, on which the protocol has a port of its own, too."""
    rules = [{"pattern": "kept*", "historySize": 10, "historySeconds": 600}]
    jwp = {"port": free_ports(), "idleTimeoutSeconds": 2}
    return launch(tls=is_tls, protocols={"jwp": jwp, "relay": {}}, channels={"rules": rules})


@pytest.fixture(scope="module")
def game(jwp_server: ServerProcess) -> Game:
    return make_game(jwp_server, "game")


def path(game: Game, socket_id: str = "user:1", vsn: str | None = "2.0.0", **query: str) -> str:
    """Path and query of a handshake that is good but for ``query``."""
    fields = {"app_id": game.id, "auth": game.socket_token(socket_id), **({} if vsn is None else {"vsn": vsn}), **query}
    return f"/socket/websocket?{urlencode(fields)}"


def say(client: RawClient, *message: Any) -> None:
    client.send_text(json.dumps(message))


def hear(client: RawClient) -> Any:
    return json.loads(client.read_message().payload)


def join(client: RawClient, game: Game, channel: str, socket_id: str = "user:1", data: str | None = None) -> Any:
    """The response to a join of ``channel``, whose ref is 1."""
    payload = {"auth": game.channel_token(socket_id, channel, data), **({} if data is None else {"data": data})}
    say(client, "1", "1", game.topic(channel), "phx_join", payload)
    reply = hear(client)
    assert reply[:4] == ["1", "1", game.topic(channel), "phx_reply"]
    assert reply[4]["status"] == "ok", reply
    return reply[4]["response"]


@pytest.fixture
def connect(jwp_server: ServerProcess, game: Game) -> Iterator[Callable[..., RawClient]]:
    """``connect(socket_id)``: clients that are closed after the test."""
    clients = []

    def opened(*arguments: Any, **query: str) -> RawClient:
        client = jwp_server.connect(path(game, *arguments, **query), origin=None)
        clients.append(client)
        return client

    yield opened
    for client in clients:
        client.close()


def test_the_token_may_be_an_auth_token_of_phoenix(jwp_server: ServerProcess, game: Game) -> None:
    """phoenix-protocol.md, 1: a client that offers the subprotocol must have it confirmed."""
    token = base64.b64encode(game.socket_token("user:1").encode()).decode().rstrip("=")
    query = urlencode({"app_id": game.id, "vsn": "2.0.0"})
    offered = {"Sec-WebSocket-Protocol": f"phoenix, base64url.bearer.phx.{token}"}
    with jwp_server.dial() as client:
        response = client.handshake(f"/socket/websocket?{query}", headers=offered)
        assert response.headers["sec-websocket-protocol"] == "phoenix"
        join(client, game, "lobby")


def test_no_subprotocol_is_confirmed_to_who_offers_none(jwp_server: ServerProcess, game: Game) -> None:
    for headers in ({}, {"Sec-WebSocket-Protocol": "graphql-ws, phoenixes"}):
        with jwp_server.dial() as client:
            assert "sec-websocket-protocol" not in client.handshake(path(game), headers=headers).headers


@pytest.mark.parametrize(
    "offered", ["base64url.bearer.phx.", "base64url.bearer.phx.%", "base64url.bearer.phx.QUJD", "x"]
)
def test_an_auth_token_that_is_none_is_refused(jwp_server: ServerProcess, game: Game, offered: str) -> None:
    query = urlencode({"app_id": game.id, "vsn": "2.0.0"})
    headers = {"Sec-WebSocket-Protocol": f"phoenix, {offered}"}
    with jwp_server.dial() as client:
        assert client.request(f"/socket/websocket?{query}", headers=headers).status == 403


@pytest.mark.parametrize(
    "query",
    [
        {"auth": ""},
        {"auth": "user:1:9999999999:ABC"},
        {"app_id": "nobody"},
        {"app_id": ""},
        {"vsn": "2.1.0"},
        {"vsn": ""},
        {"vsn": "latest"},
    ],
)
def test_who_may_not_connect_is_refused_in_the_handshake(
    jwp_server: ServerProcess, game: Game, query: dict[str, str]
) -> None:
    with jwp_server.dial() as client:
        assert client.request(path(game, **query)).status == 403


def test_expired_and_early_tokens(jwp_server: ServerProcess, game: Game) -> None:
    for seconds in (-2, 90):
        with jwp_server.dial() as client:
            assert client.request(path(game, auth=game.socket_token("u", seconds))).status == 403


def test_apps_choose_the_pages_that_connect(jwp_server: ServerProcess) -> None:
    picky = make_game(jwp_server, "picky", allowedOrigins=["^https://game\\.example$"])
    with jwp_server.dial() as client:
        assert client.request(path(picky), headers={"Origin": EVIL_ORIGIN}).status == 403
    jwp_server.connect(path(picky), origin="https://game.example").close()
    jwp_server.connect(path(picky), origin=None).close()


def test_other_paths_have_no_socket(jwp_server: ServerProcess, game: Game) -> None:
    for other in ("/socket", "/socket/longpoll", "/websocket"):
        with jwp_server.dial() as client:
            assert client.request(path(game).replace("/socket/websocket", other)).status == 404


def test_a_message_from_the_application(
    jwp_server: ServerProcess, game: Game, connect: Callable[..., RawClient]
) -> None:
    ann, old = connect(), connect("user:2", None)
    assert join(ann, game, "lobby") == {}
    topic = game.topic("lobby")
    old.send_event(topic=topic, event="phx_join", payload={"auth": game.channel_token("user:2", "lobby")}, ref="7")
    assert old.read_event() == {"topic": topic, "event": "phx_reply", "payload": OK, "ref": "7"}
    body = {"channel": "lobby", "event": "said", "data": {"text": "hello"}}
    answer = jwp_server.http().request("POST", f"/apps/{game.id}/events", body, headers={"app-api-key": game.api_key})
    assert answer.status == 200
    assert hear(ann) == [None, None, topic, "said", {"text": "hello"}]
    assert old.read_event() == {"topic": topic, "event": "said", "payload": {"text": "hello"}, "ref": None}


def test_binary_messages(jwp_server: ServerProcess, game: Game, connect: Callable[..., RawClient]) -> None:
    ann = connect()
    join(ann, game, "b")
    topic = game.topic("b").encode()
    data = {"$binary": base64.b64encode(b"\x00\xff").decode()}
    body = {"channel": "b", "event": "ev", "data": data}
    jwp_server.http().request("POST", f"/apps/{game.id}/events", body, headers={"app-api-key": game.api_key})
    message = ann.read_message()
    assert message.opcode == BINARY
    assert message.payload == bytes((2, len(topic), 2)) + topic + b"ev\x00\xff"
    # a push of the client's own is heard, and not answered
    ann.send_frame(BINARY, bytes((0, 1, 1, len(topic), 2)) + b"12" + topic + b"ev\x00\xff")
    say(ann, None, "3", "phoenix", "heartbeat", {})
    assert hear(ann) == [None, "3", "phoenix", "phx_reply", OK]


def test_the_relay_and_phoenix_share_their_channels(
    jwp_server: ServerProcess, game: Game, connect: Callable[..., RawClient]
) -> None:
    ann = connect()
    join(ann, game, "chat:both", data=LISTED)
    own = hear(ann), hear(ann)
    assert [message[3] for message in own] == ["presence_state", "presence_diff"]
    where = relay_path(7, "Bob", "chat:both", at=f"/relay/{game.id}", secret=game.secret)
    with jwp_server.connect(where, origin=None) as relay:
        users = relay.read_event()["users"]
        assert users == [{"id": "user:1", "name": "Ann"}, {"id": 7, "name": "Bob"}]
        diff = hear(ann)
        assert (diff[3], list(diff[4]["joins"])) == ("presence_diff", ["7"])
        assert diff[4]["joins"]["7"]["metas"][0]["name"] == "Bob"
        relay.send_event(data={"message": "hello", "name": "Bob"})
        assert relay.read_event() == SENDED
        relay.read_event()
        assert hear(ann) == [None, None, game.topic("chat:both"), "message", {"message": "hello", "name": "Bob"}]
        game.push(jwp_server, "chat:both", "said", {"text": "hi"})
        assert relay.read_event() == {"type": "said", "sender": SYSTEM, "data": {"text": "hi"}}
        assert hear(ann)[3:] == ["said", {"text": "hi"}]
        ann.finish()
        assert relay.read_event()["type"] == "disconnectOther"


def test_who_comes_back_gets_what_he_missed(
    jwp_server: ServerProcess, game: Game, connect: Callable[..., RawClient]
) -> None:
    ann = connect()
    top = join(ann, game, "kept")["last_message_id"]
    ann.finish()
    for number in range(3):
        game.push(jwp_server, "kept", "said", {"n": number})
    again = connect()
    payload = {"auth": game.channel_token("user:1", "kept"), "last_message_id": top}
    say(again, "1", "1", game.topic("kept"), "phx_join", payload)
    assert hear(again)[4]["status"] == "ok"
    assert [hear(again)[4]["n"] for _ in range(3)] == [0, 1, 2]
    say(again, "2", "2", game.topic("kept"), "phx_join", {**payload, "last_message_id": "another:1"})
    assert hear(again)[3] == "phx_close"
    assert hear(again)[4]["response"]["reason"] == "unrecoverable"


def test_a_join_that_came_with_the_handshake(jwp_server: ServerProcess, game: Game) -> None:
    topic = game.topic("early")
    joined = json.dumps(["1", "1", topic, "phx_join", {"auth": game.channel_token("user:1", "early")}]).encode()
    heartbeat = b'[null,"2","phoenix","heartbeat",{}]'
    trailing = build_frame(TEXT, joined) + build_frame(TEXT, heartbeat)
    with jwp_server.connect(path(game), origin=None, trailing=trailing) as client:
        assert [hear(client)[1], hear(client)[1]] == ["1", "2"]


@pytest.mark.parametrize("message", ["", "{}", "[]", "nonsense", "[1,2,3,4]"])
def test_what_is_no_message_closes_the_link(connect: Callable[..., RawClient], message: str) -> None:
    client = connect()
    client.send_text(message)
    client.expect_close(1008)


def test_a_silent_client_is_closed(connect: Callable[..., RawClient]) -> None:
    began, client = time.monotonic(), connect()
    client.expect_close(4408)
    assert time.monotonic() - began >= 2


def test_an_app_that_goes_takes_its_clients_with_it(jwp_server: ServerProcess) -> None:
    gone = make_game(jwp_server, "gone")
    with jwp_server.connect(path(gone), origin=None) as client:
        jwp_server.admin().request("DELETE", f"/apps/{gone.id}")
        client.expect_close(4404)


def test_its_own_port(jwp_server: ServerProcess, game: Game, connect: Callable[..., RawClient]) -> None:
    address = ("localhost", jwp_server.config["protocols"]["jwp"]["port"])
    with RawClient(address, tls=jwp_server.tls) as client:
        client.handshake(path(game))
        join(client, game, "lobby")


def test_a_server_that_stops_asks_its_clients_to_come_back(launch: Launcher, is_tls: bool) -> None:
    server = launch(tls=is_tls, fresh=True, protocols={"jwp": {}})
    game = make_game(server, "game")
    with server.connect(path(game), origin=None) as client:
        join(client, game, "lobby")
        server.terminate()
        client.expect_close(1012)
        assert server.wait() == 0
