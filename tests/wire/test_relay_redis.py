"""What a back end publishes on Redis reaches browsers of the right channel only."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.launcher import Launcher
from tests.missing import missing
from tests.raw_client import RawClient
from tests.redis_server import RedisServer, find_redis, until
from tests.server_process import ServerProcess
from tests.wire.browser import browsing
from tests.wire.relay import SECRET, SENDED, SYSTEM, path

PREFIXES = {"another redis": "laravel_database_", "the broker's redis": "app:"}
PHP = Path(__file__).parent / "php"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(find_redis(), tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=PREFIXES)
def channel(request: pytest.FixtureRequest) -> str:
    """Where the application publishes; a prefix for each kind of server."""
    return f"{PREFIXES[request.param]}broadcast"


@pytest.fixture(scope="module")
def server(channel: str, launch: Launcher, redis: RedisServer) -> ServerProcess:
    prefix = channel.removesuffix("broadcast")
    relay: dict[str, Any] = {"secret": SECRET, "redisPrefix": prefix}
    if prefix == PREFIXES["the broker's redis"]:
        started = launch(protocols={"relay": relay}, broker={"url": redis.url, "prefix": "nodes:"})
    else:
        started = launch(protocols={"relay": {**relay, "redisUrl": redis.url}}, broker={"prefix": "alone:"})
    until(lambda: is_heard(redis, channel))
    return started


def is_heard(redis: RedisServer, channel: str) -> bool:
    return int(redis.call("PUBSUB", "NUMSUB", channel)[1]) > 0


@pytest.fixture
def publish(redis: RedisServer, channel: str) -> Callable[..., None]:
    """``publish(channel, **data)`` as the application does."""

    def publish_in(target: str, **data: Any) -> None:
        redis.call("PUBLISH", channel, json.dumps({"channel": target, "data": data}))

    return publish_in


Publish = Callable[..., None]
Connect = Callable[..., AbstractContextManager[RawClient]]


@pytest.fixture
def connect(server: ServerProcess) -> Connect:
    """A client that is in its channel: with Redis, that is later than its handshake."""

    def connected(user_id: int, name: str, channel: str) -> RawClient:
        client = server.connect(path(user_id, name, channel), origin=None)
        if not channel.startswith("chat:"):  # those are told who is there
            client.send_text("{}")
            assert client.read_event()["type"] == SENDED["type"]
        return client

    return connected


def message(data: Any) -> dict[str, Any]:
    return {"type": "message", "sender": SYSTEM, "data": data}


def test_the_right_channel_only(connect: Connect, publish: Publish) -> None:
    with (
        connect(7, "Ann", "news:1") as first,
        connect(8, "Bob", "news:1") as second,
        connect(9, "Eve", "news:2") as other,
    ):
        for number in range(3):
            publish("news:1", n=number)
        publish("news:2", last=True)
        for client in (first, second):
            assert [client.read_event() for _ in range(3)] == [message({"n": number}) for number in range(3)]
        assert other.read_event() == message({"last": True})


def test_from_redis_cli(connect: Connect, publish: Publish, redis: RedisServer, channel: str) -> None:
    program = shutil.which("redis-cli")
    if program is None:
        missing("redis-cli is not installed")
    with connect(7, "Ann", "progress:42") as client, connect(8, "Bob", "progress:43") as other:
        info = {"type": "sample_job_progress", "title": "Import ñ", "detail": {"cursor": 1, "total": 2}}
        text = json.dumps({"channel": "progress:42", "data": {"info": info}})
        subprocess.run([str(program), "-p", str(redis.port), "PUBLISH", channel, text], check=True, timeout=30)
        assert client.read_event() == message({"info": info})
        publish("progress:43", info={**info, "title": "for the other"})
        assert other.read_event()["data"]["info"]["title"] == "for the other"


def test_from_php(connect: Connect, publish: Publish, redis: RedisServer, channel: str) -> None:
    program = shutil.which("php")
    if program is None:
        missing("PHP is not installed")
    with connect(7, "Ann", "chat:php") as client, connect(8, "Bob", "chat:other") as other:
        client.read_event()
        other.read_event()
        arguments = [str(program), str(PHP / "publish.php"), str(redis.port), channel, "chat:php", "from PHP ñ"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.startswith(":")
        assert client.read_event() == message({"message": "from PHP ñ", "name": "PHP"})
        publish("chat:other", message="for the other", name="x")
        assert other.read_event()["data"]["message"] == "for the other"


def test_what_is_for_one_user(connect: Connect, publish: Publish) -> None:
    with connect(7, "Ann", "chat:one") as ann:
        ann.read_event()
        with connect(8, "Bob", "chat:one") as bob:
            bob.read_event()
            ann.read_event()
            publish("chat:one", message="psst", name="x", target_user_id=8)
            publish("chat:one", message="all", name="x")
            assert [bob.read_event()["data"]["message"] for _ in range(2)] == ["psst", "all"]
            assert ann.read_event()["data"]["message"] == "all"


def test_bad_messages_are_logged_and_dropped(
    server: ServerProcess, connect: Connect, publish: Publish, redis: RedisServer, channel: str
) -> None:
    with connect(7, "Ann", "plain:bad") as client:
        for text in (
            b"{",
            b"",
            b"\xff\xfe",
            b"[]",
            b'{"channel":"plain:bad"}',
            b'{"channel":"plain:bad","data":"secret"}',
        ):
            redis.call("PUBLISH", channel, text)
        publish("users", username="x")
        publish("plain:bad", good=True)
        assert client.read_event() == message({"good": True})
    server.wait_for_log("relay input dropped")
    assert "hidden" not in server.log


def test_the_subscription_survives_a_restart(
    connect: Connect, publish: Publish, redis: RedisServer, channel: str
) -> None:
    with connect(7, "Ann", "plain:restart") as client:
        publish("plain:restart", n=1)
        assert client.read_event() == message({"n": 1})
        redis.restart()
        until(lambda: is_heard(redis, channel), seconds=30)
        publish("plain:restart", n=2)
        assert client.read_event() == message({"n": 2})


PAGE = """<!doctype html><meta charset="utf-8"><title>Relay</title><script>
function report(what) { return fetch('/report', {method: 'POST', body: JSON.stringify(what)}); }
const socket = new WebSocket(URL_OF_THE_RELAY);
socket.onmessage = (message) => report(JSON.parse(message.data));
socket.onclose = (event) => report({close: event.code, reason: event.reason});
</script>"""


def test_a_page_in_a_browser(server: ServerProcess, publish: Publish, tmp_path: Path) -> None:
    url = f"ws://localhost:{server.websocket_port}" + path(7, "Ann", "chat:page")
    with browsing(PAGE.replace("URL_OF_THE_RELAY", json.dumps(url)), tmp_path / "profile") as open_page:
        page = open_page("127.0.0.1")
        assert page.read() == {"type": "connected", "users": [{"id": 7, "name": "Ann"}]}
        publish("chat:other", message="not here", name="x")
        publish("chat:page", message="to the page ñ 👋", name="x")
        assert page.read() == message({"message": "to the page ñ 👋", "name": "x"})
