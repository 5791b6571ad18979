"""Stock phoenix.js, five versions of it, as a game's page uses it: tokens, messages, presence, history, restarts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest

from tests.cluster.proxy import Line
from tests.launcher import Certificate, Launcher
from tests.ports import free_ports
from tests.server_process import ServerProcess
from tests.wire.jwp import Game, make_game, sign
from tests.wire.phoenix_client import (
    FIRST_FORMAT,
    FIRST_WITH_BINARY,
    NEWEST,
    SECOND_FORMAT,
    VERSIONS,
    PhoenixClient,
)

pytestmark = pytest.mark.node

RULES = [{"pattern": "kept:*", "historySize": 100, "historySeconds": 300}]
RESTART_SECONDS = 60.0
"""What a client may take to be back: the server's start, and the pauses between its attempts."""

PAYLOADS: list[Any] = [{"text": "ñ 漢字 👋", "n": 1.5}, [1, [2]], "text", "", 5, True, False, None, {}]
BYTES = bytes(range(256))
IN_JSON = {"$binary": base64.b64encode(BYTES).decode()}


@pytest.fixture(scope="module")
def game_server(launch: Launcher) -> ServerProcess:
    return launch(protocols={"jwp": {}}, channels={"rules": RULES})


@pytest.fixture(scope="module")
def game(game_server: ServerProcess) -> Game:
    return make_game(game_server, "jeuweb-dev")


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[FIRST_FORMAT, SECOND_FORMAT])
def wire_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Opener = Callable[..., PhoenixClient]


@pytest.fixture
def opened(node: str, game_server: ServerProcess, game: Game) -> Iterator[Opener]:
    """``opened(version, socket_id)``: clients that are open, and killed after the test."""
    with ExitStack() as stack:

        def open_client(version: str, socket_id: str = "user:123", **options: Any) -> PhoenixClient:
            server = options.pop("server", game_server)
            client = PhoenixClient(node, version, server, options.pop("game", game), socket_id, **options)
            stack.enter_context(client)
            assert client.expect("open") == {"open": 1}
            return client

        yield open_client


def test_the_vectors() -> None:
    for text, signature in (
        ("Hello From 2020", "B3AB90723B6139B98706E162E1DD63EBBF5EF2A8C5B2B1B384252C003ACB78E1"),
        ("my-user:my-channel", "65A8C23A9963FFA0B17247CFA94C550636213AC6951B0D6BF9F1151D1BDB487C"),
    ):
        assert sign("$3CR3T", text) == signature


def test_messages(opened: Opener, version: str, wire_format: str, game: Game, game_server: ServerProcess) -> None:
    client = opened(version, wire_format=wire_format)
    room = f"room:{version}"
    assert client.join(room) == {}
    for payload in PAYLOADS:
        game.push(game_server, room, "said", payload)
        assert client.read_event() == ("said", payload)
    client.push(room, "said", {"from": "a client"})
    game.push(game_server, room, "said", "last")
    assert client.read_event() == ("said", "last"), "what clients say goes to nobody"
    client.leave(room)
    assert client.join(room, events=["said", "other"]) == {}
    game.push(game_server, room, "other", {})
    assert client.read_event() == ("other", {})
    assert not client.kept("answered")
    assert not client.kept("closed")
    client.disconnect()


def test_refused_joins(opened: Opener, version: str, wire_format: str, game: Game, game_server: ServerProcess) -> None:
    client = opened(version, wire_format=wire_format)
    unauthorized = {"reason": "unauthorized"}
    assert client.join_and_fail("room", badSignature=True) == unauthorized
    assert client.join_and_fail("room", options={}, meta={"name": "Ann"}, badSignature=True) == unauthorized
    assert client.join_and_fail("room", options={"presence_track": "yes"}) == unauthorized
    assert client.join_and_fail("room", options={"presence_tracks": True}) == unauthorized
    assert client.join("room", options={"presence_track": False}, meta={"name": "ñ:👋"}) == {}
    game.push(game_server, "room", "said", 1)
    assert client.read_event() == ("said", 1)


def test_a_refused_connection(node: str, version: str, game_server: ServerProcess, game: Game) -> None:
    stranger = Game(game.id, "another secret", game.api_key)
    with PhoenixClient(node, version, game_server, stranger, "user:1") as client:
        for _ in range(3):
            assert client.expect("closed") == {"closed": 1006}
        assert not client.kept("open")


def test_presence(opened: Opener, version: str, wire_format: str) -> None:
    """Two users, one of them in two tabs."""
    room = f"hall:{version}:{wire_format}"
    ann, tab, bob = (opened(version, who, wire_format=wire_format) for who in ("user:ann", "user:ann", "bob"))
    ann.join_present(room, {"name": "Ann", "level": 3})
    ann.wait_until_present("user:ann")
    bob.join_present(room, {"name": "Bob"})
    assert set(bob.wait_until_present("user:ann", "bob")) == {"user:ann", "bob"}
    tab.join_present(room, {"name": "Ann, again"})
    for client in (ann, bob, tab):
        present = client.wait_until_present("user:ann", "user:ann", "bob")
        metas = [meta for key in sorted(present) for meta in present[key]]
        assert sorted(meta["name"] for meta in metas) == ["Ann", "Ann, again", "Bob"]
        assert len({meta["phx_ref"] for meta in metas}) == 3
    assert [report["came"] for report in bob.kept("came")].count("user:ann") == 2
    tab.kill()
    for client in (ann, bob):
        assert [meta["level"] for meta in client.wait_until_present("user:ann", "bob")["user:ann"]] == [3]
        gone = client.expect("gone")
        assert (gone["gone"], gone["remaining"]) == ("user:ann", 1)
    bob.leave(room)
    ann.wait_until_present("user:ann")
    bob.join_present(room)
    for client in (ann, bob):
        present = client.wait_until_present("user:ann", "bob")
        assert [set(meta) for meta in present["bob"]] == [{"phx_ref"}]


def test_who_is_listed_and_who_is_told(opened: Opener, game: Game, game_server: ServerProcess) -> None:
    quiet, deaf, curious = (opened(NEWEST, who) for who in ("quiet", "deaf", "curious"))
    quiet.join("options", options={}, hasPresence=True)
    assert curious.join_present("options", presence_track=False) == {}
    deaf.join("options", options={"presence_track": True}, hasPresence=True)
    curious.wait_until_present("deaf")
    game.push(game_server, "options", "said", "last")
    for client in (quiet, deaf):
        client.read_event()
        assert not client.kept("present")


@pytest.mark.parametrize("version", VERSIONS[VERSIONS.index(FIRST_WITH_BINARY) :])
def test_binary(opened: Opener, version: str, game: Game, game_server: ServerProcess) -> None:
    room = f"binary:{version}"
    client, older = opened(version), opened("1.4", wire_format=FIRST_FORMAT)
    for each in (client, older):
        each.join(room)
    client.push_binary(room, "said", BYTES)
    game.push(game_server, room, "said", IN_JSON)
    assert client.read_event() == ("said", BYTES)
    assert older.read_event() == ("said", IN_JSON)
    game.push(game_server, room, "said", {**IN_JSON, "and": "more"})
    assert client.read_event() == ("said", {**IN_JSON, "and": "more"})


def test_heartbeats(opened: Opener, version: str, wire_format: str) -> None:
    client = opened(version, wire_format=wire_format, heartbeatMs=100)
    for count in (1, 2, 3):
        assert client.expect("heartbeat") == {"heartbeat": count}
    assert not client.kept("closed")


def test_what_was_missed(
    opened: Opener, version: str, wire_format: str, game: Game, game_server: ServerProcess
) -> None:
    """A client that gives the last position which it saw gets the rest when its line is mended, each once."""
    room = f"kept:{version}:{wire_format}"
    line = Line(game_server.websocket_port)
    try:
        client = opened(version, wire_format=wire_format, port=line.port)
        assert client.join(room, recovers=True)["last_message_id"]
        game.push(game_server, room, "said", 0)
        assert client.read_event() == ("said", 0)
        line.cut()
        client.expect("closed")
        for number in range(1, 4):
            game.push(game_server, room, "said", number)
        line.mend()
        assert client.expect("joined")["response"]["last_message_id"]
        game.push(game_server, room, "said", 4)
        assert [client.read_event() for _ in range(4)] == [("said", number) for number in range(1, 5)]
    finally:
        line.close()


def test_disconnected_by_the_game(opened: Opener, version: str, game: Game, game_server: ServerProcess) -> None:
    """Both tabs of the player are cut, and come back as phoenix.js does; nobody else is."""
    mine, other = f"user:{version}/1", opened(version, "user:other")
    other.join(version)
    tabs = [opened(version, mine) for _ in range(2)]
    for tab in tabs:
        tab.join(version)
    path = f"/api/v1/sockets/{quote(mine, safe='')}/disconnect"
    answer = game_server.http().request("POST", path, headers=game.authorization)
    assert answer.status == 200, answer
    for tab in tabs:
        assert tab.expect("closed") == {"closed": 1001}
        assert tab.expect("open") == {"open": 2}
        assert tab.expect("joined") == {"joined": version, "response": {}}
    game.push(game_server, version, "said", 1)
    for client in (*tabs, other):
        assert client.read_event() == ("said", 1)
    assert not other.kept("closed")


def test_silence(opened: Opener, launch: Launcher) -> None:
    """Who sends nothing is closed, and comes back; a heartbeat is enough to stay."""
    server = launch(protocols={"jwp": {"idleTimeoutSeconds": 1}})
    game = make_game(server, "quiet")
    beating = opened(NEWEST, server=server, game=game, heartbeatMs=200)
    silent = opened(NEWEST, server=server, game=game)
    for count in (2, 3):
        assert silent.expect("closed")["closed"] not in (1000, 1006)
        assert silent.expect("open") == {"open": count}
    assert not beating.kept("closed")
    beating.join("room")


def test_what_cannot_be_recovered(opened: Opener, game: Game, game_server: ServerProcess) -> None:
    """A position of a history that is over: the client is told, and starts anew without it."""
    client = opened(NEWEST)
    for channel, position in (("kept:unknown", "another-epoch:5"), ("without:history", "epoch:1")):
        assert client.join_and_fail(channel, position=position)["reason"] == "unrecoverable"
    assert "last_message_id" in client.join_and_fail("kept:unknown", position="nonsense")["reason"]
    assert client.join("kept:unknown", recovers=True)["last_message_id"]


def test_under_tls(node: str, launch: Launcher, certificate: Certificate) -> None:
    server = launch(tls=True, protocols={"jwp": {}})
    game = make_game(server, "secure")
    with PhoenixClient(node, NEWEST, server, game, "ann", authority=certificate.certificate) as client:
        client.join("room")
        answer = game.try_push(server, "room", "said", {"n": 1})
        assert answer.status == 201
        assert client.read_event() == ("said", {"n": 1})


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restart(node: str, launch: Launcher, end: str) -> None:
    """All versions come back by themselves, sign anew, and know again who is there."""
    first = free_ports(2)
    server = launch(fresh=True, protocols={"jwp": {}}, websocket={"port": first}, http={"port": first + 1})
    game = make_game(server, "restarted")
    names = [f"user:{version}" for version in VERSIONS]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(PhoenixClient(node, version, server, game, name))
            for version, name in zip(VERSIONS, names, strict=True)
        ]
        for client in clients:
            client.join_present("room", {"version": client.socket_id})
        before = [client.wait_until_present(*names) for client in clients]
        getattr(server, end)()
        codes = [client.expect("closed")["closed"] for client in clients]
        assert codes == [1006 if end == "kill" else 1012] * len(clients)
        server.start()
        for client in clients:
            client.expect("joined", seconds=RESTART_SECONDS)
        after = [client.wait_until_present(*names) for client in clients]
        refs = [{meta["phx_ref"] for metas in present.values() for meta in metas} for present in (before[0], after[0])]
        assert not refs[0] & refs[1]
        game.push(server, "room", "said", "again")
        assert [client.read_event() for client in clients] == [("said", "again")] * len(clients)
