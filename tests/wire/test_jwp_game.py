"""A whole game: a back end in PHP, a page in a browser, curl, and the relay's clients in the same channel."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.launcher import Launcher
from tests.missing import missing
from tests.raw_client import RawClient
from tests.server_process import ServerProcess
from tests.wire.browser import browsing
from tests.wire.jwp import Game, make_game
from tests.wire.node_client import FOLDER
from tests.wire.phoenix_client import FIRST_FORMAT, NEWEST, SECOND_FORMAT, PhoenixClient
from tests.wire.relay import SENDED, SYSTEM
from tests.wire.relay import path as relay_path

PHP = Path(__file__).parent / "php" / "game.php"
PHOENIX = FOLDER / "node_modules" / f"phoenix-{NEWEST}" / "priv" / "static" / "phoenix.js"

PAGE = """<!doctype html><meta charset="utf-8"><title>A game</title><ul></ul><script src="/phoenix.js"></script><script>
async function play() {
  const tokens = await (await fetch('/tokens')).json();
  const report = (what) => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
  const socket = new Phoenix.Socket(SETTINGS.url, {params: {app_id: SETTINGS.appId, auth: tokens.socket}});
  const channel = socket.channel(SETTINGS.topic, tokens.join);
  const presence = new Phoenix.Presence(channel);
  presence.onSync(() => report({present: presence.list((key, {metas}) => key + ' ' + metas[0].name).sort()}));
  channel.on('said', ({text}) => {
    document.querySelector('ul').appendChild(document.createElement('li')).textContent = text;
    report({shown: document.querySelector('ul').innerText});
  });
  socket.connect();
  channel.join().receive('ok', () => report({joined: true}));
}
play();
</script>"""


@pytest.fixture(scope="module")
def game_server(launch: Launcher) -> ServerProcess:
    return launch(protocols={"jwp": {}, "relay": {}})


@pytest.fixture(scope="module")
def game(game_server: ServerProcess) -> Game:
    return make_game(game_server, "jeuweb-dev")


@pytest.fixture
def phoenix(node: str, game_server: ServerProcess, game: Game) -> Iterator[PhoenixClient]:
    with PhoenixClient(node, NEWEST, game_server, game, "bob") as client:
        yield client


def php(*arguments: str) -> Any:
    """What the back end prints. Skips where there is no PHP."""
    program = shutil.which("php")
    if not program:
        missing("PHP is not installed")
    done = subprocess.run([program, str(PHP), *arguments], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def curl(server: ServerProcess, game: Game, channel: str, event: str, payload: Any) -> str:
    """Push as the documentation shows it; what was answered."""
    program = shutil.which("curl")
    if not program:
        missing("curl is not installed")
    body = json.dumps({"channel": channel, "event": event, "payload": payload})
    arguments = ["--silent", "--show-error", "--user", f"{game.id}:{game.api_key}", "--json", body]
    url = f"http://localhost:{server.http_port}/api/v1/push"
    return subprocess.run([program, *arguments, url], capture_output=True, text=True, timeout=60, check=True).stdout


def test_php_signs_the_vectors() -> None:
    assert (
        php("sign", "$3CR3T", "Hello From 2020") == "B3AB90723B6139B98706E162E1DD63EBBF5EF2A8C5B2B1B384252C003ACB78E1"
    )
    signed = php("sign", "$3CR3T", "my-user:my-channel")
    assert signed == "65A8C23A9963FFA0B17247CFA94C550636213AC6951B0D6BF9F1151D1BDB487C"


def join_with_tokens_of_php(server: ServerProcess, game: Game, channel: str, options: dict[str, Any]) -> RawClient:
    tokens = php("tokens", game.secret, "user:1", channel, json.dumps(options))
    path = f"/socket/websocket?{urlencode({'app_id': game.id})}&{tokens['query']}&vsn={SECOND_FORMAT}"
    client = server.connect(path, origin=None)
    client.send_text(json.dumps(["1", "1", game.topic(channel), "phx_join", tokens["join"]]))
    answer = json.loads(client.read_message().payload)
    assert answer == ["1", "1", game.topic(channel), "phx_reply", {"status": "ok", "response": {}}]
    return client


def test_a_back_end_in_php(game_server: ServerProcess, game: Game) -> None:
    """PHP escapes slashes and what is not ASCII: the signature is over the string as it was sent."""
    options = {"meta": {"name": "Zoë/👋"}, "options": {"presence_track": True}}
    url = f"http://localhost:{game_server.http_port}/api/v1/push"
    with join_with_tokens_of_php(game_server, game, "php", options) as client:
        payload = {"text": "de PHP: é/漢字 👋", "list": [1, 2.5, None]}
        answer = php("push", url, game.id, game.api_key, "php", "said", json.dumps(payload))
        assert answer == {"status": 201, "body": {"status": "ok", "data": []}}  # an empty object, as PHP has it
        assert json.loads(client.read_message().payload) == [None, None, game.topic("php"), "said", payload]
    refused = php("push", url, game.id, "another key", "php", "said", "{}")
    assert refused == {
        "status": 401,
        "body": {"status": "error", "error": {"code": 401, "message": "Not authenticated"}},
    }


def test_curl_reaches_all(game_server: ServerProcess, game: Game, phoenix: PhoenixClient) -> None:
    phoenix.join("curl")
    assert json.loads(curl(game_server, game, "curl", "said", {"text": "hello"})) == {"status": "ok", "data": {}}
    assert phoenix.read_event() == ("said", {"text": "hello"})


@pytest.mark.node
def test_a_page(game_server: ServerProcess, game: Game, phoenix: PhoenixClient, tmp_path: Path) -> None:
    """What is pushed with curl is to be seen on the page, and who is there."""
    url = f"{game_server.websocket_scheme}://localhost:{game_server.websocket_port}/socket"
    settings = {"url": url, "appId": game.id, "topic": game.topic("page")}
    data = json.dumps({"meta": {"name": "Ann"}, "options": {"presence_track": True, "presence_diffs": True}})

    def tokens() -> bytes:
        join = {"auth": game.channel_token("ann", "page", data), "data": data}
        return json.dumps({"socket": game.socket_token("ann"), "join": join}).encode()

    files = {"/phoenix.js": PHOENIX.read_bytes, "/tokens": tokens}
    with browsing(PAGE.replace("SETTINGS", json.dumps(settings)), tmp_path / "profile", files) as visit:
        page = visit("localhost")
        reports = ReportReader(page.read)
        reports.wait_for({"present": ["ann Ann"]})
        phoenix.join_present("page", {"name": "Bob"})
        reports.wait_for({"present": ["ann Ann", "bob Bob"]})
        for texts in (["first"], ["first", "<b>second</b>"]):
            curl(game_server, game, "page", "said", {"text": texts[-1]})
            reports.wait_for({"shown": "\n".join(texts)})
        phoenix.leave("page")
        reports.wait_for({"present": ["ann Ann"]})


class ReportReader:
    """Two reports of a page may overtake each other on their way."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read
        self._kept: list[dict[str, Any]] = []

    def wait_for(self, report: dict[str, Any]) -> None:
        while report not in self._kept:
            self._kept.append(self._read())
        self._kept.remove(report)


@pytest.mark.parametrize("wire_format", [FIRST_FORMAT, SECOND_FORMAT])
def test_the_relay_in_the_same_channel(node: str, game_server: ServerProcess, game: Game, wire_format: str) -> None:
    channel = f"chat:{wire_format}"
    where = relay_path(7, "Ann", channel, at=f"/relay/{game.id}", secret=game.secret)
    with (
        PhoenixClient(node, NEWEST, game_server, game, "8", wire_format=wire_format) as phoenix,
        game_server.connect(where, origin=None) as relay,
    ):
        assert relay.read_event() == {"type": "connected", "users": [{"id": 7, "name": "Ann"}]}
        phoenix.join(
            channel,
            options={"presence_track": True, "presence_diffs": True},
            meta={"name": "Bob"},
            events=["said", "message"],
            hasPresence=True,
        )
        bob = {"id": 8, "name": "Bob"}
        assert relay.read_event() == {"type": "connectOther", "sender": bob, "data": {"user": bob}}
        present = phoenix.wait_until_present("7", "8")
        assert [present[key][0]["name"] for key in ("7", "8")] == ["Ann", "Bob"]
        game.push(game_server, channel, "said", {"text": "to all"})
        assert relay.read_event() == {"type": "said", "sender": SYSTEM, "data": {"text": "to all"}}
        assert phoenix.read_event() == ("said", {"text": "to all"})
        relay.send_event(data={"message": "from the relay", "name": "Ann"})
        assert relay.read_event() == SENDED
        relay.read_event()
        event, payload = phoenix.read_event()
        assert event == "message"
        assert "from the relay" in json.dumps(payload)
        relay.close()
        phoenix.wait_until_present("8")
