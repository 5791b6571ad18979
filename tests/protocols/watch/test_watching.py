"""Watching an app (docs/watch.md), without a socket."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.watch.bench import ADMIN, TRUSTED_KEY, Bench
from users_server.core.connection import Connection
from users_server.core.messages import ANONYMOUS, DEFAULT_APP, USERS_CHANNEL, ClientInfo, Gap, Member, StreamPosition
from users_server.errors import AppGone, Disconnect, IdentityRefused, OriginRefused, ProtocolViolation
from users_server.protocols.watch.errors import CLOSE_CODES
from users_server.services.apps import AppDraft

pytestmark = pytest.mark.gen_test


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def publications(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message["channel"], message["event"]) for message in messages if message["type"] == "publication"]


def since_of(message: dict[str, Any]) -> str:
    return f"{message['position']['epoch']}:{message['position']['offset']}"


async def test_one_channel(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(channel="chat")
        assert watcher.take() == [
            {"type": "subscribed", "channel": "chat", "position": None, "recovered": None, "members": []}
        ]
        await bench.node.publish(DEFAULT_APP, "chat", "said", {"text": "hi"}, by=ClientInfo("c1", "ann", "7"))
        await bench.node.publish(DEFAULT_APP, "elsewhere", "said", {})
        await bench.node.publish(DEFAULT_APP, "chat", "said", [1])
        assert watcher.take() == [
            {
                "type": "publication",
                "channel": "chat",
                "event": "said",
                "data": {"text": "hi"},
                "position": None,
                "by": {"connection": "c1", "user": "7", "username": "ann"},
            },
            {"type": "publication", "channel": "chat", "event": "said", "data": [1], "position": None},
        ]


async def test_all_channels_of_one_app(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(app="other")
        assert [message["channel"] for message in watcher.take()] == [None]
        await bench.node.publish("other", "a", "one", 1)
        await bench.node.publish(DEFAULT_APP, "a", "of the other app", 1)
        await bench.node.publish("other", "news", "two", 1, to_user="7")
        messages = watcher.take()
        assert publications(messages) == [("a", "one"), ("news", "two")]
        assert messages[1]["position"]["offset"] == 1


async def test_what_was_missed_is_recovered(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(channel="news")
        start = since_of(watcher.take()[0])
        for event in ("one", "two"):
            await bench.node.publish(DEFAULT_APP, "news", event, 1)
        again = await bench.watch(channel="news", since=start)
        first, *missed = again.take()
        assert first["recovered"] is True
        assert publications(missed) == [("news", "one"), ("news", "two")]
        assert first["position"] == missed[-1]["position"]
        assert again.take() == []


@pytest.mark.parametrize("since", ["nonsense:3", None])
async def test_what_cannot_be_recovered_is_told(tmp_path: Path, since: str | None) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(channel="news")
        start = since_of(watcher.take()[0])
        for event in ("one", "two", "three", "four"):
            await bench.node.publish(DEFAULT_APP, "news", event, 1)
        again = await bench.watch(channel="news", since=since or start)
        (first,) = again.take()
        assert first["recovered"] is False
        assert first["position"]["offset"] == 4


async def test_a_gap_is_told(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(channel="news")
        watcher.take()
        bench.node.handle_gap(Gap(DEFAULT_APP, "news", StreamPosition(7, "e")))
        assert watcher.take() == [{"type": "gap", "channel": "news", "position": {"epoch": "e", "offset": 7}}]


async def test_presence_without_being_present(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        people = [join(bench, name) for name in ("c1", "c2")]
        await subscribe(bench, people[0])
        watcher = await bench.watch(channel="room")
        ann = {"connection": "c1", "user": "7", "info": {"name": "Ann"}}
        assert watcher.take()[0]["members"] == [ann]
        await subscribe(bench, people[1])
        await bench.node.unsubscribe(people[0], "room")
        await bench.node.unsubscribe(people[1], "room")
        changes = [(message["change"], message["connection"], message["isOfUser"]) for message in watcher.take()]
        assert changes == [("join", "c2", False), ("leave", "c1", False), ("leave", "c2", True)]
        assert (await bench.node.members(DEFAULT_APP, "room")).members == ()


def join(bench: Bench, connection_id: str) -> Connection:
    transport: Any = type("Nowhere", (), {"write": lambda self, frames: None})()
    encoder: Any = type("Mute", (), {"encode_presence": lambda self, change: None})()
    connection = Connection(connection_id, ANONYMOUS, encoder, transport, lambda *_: None, user_id="7")
    bench.node.connect(connection)
    return connection


async def subscribe(bench: Bench, connection: Connection) -> None:
    member = Member(connection.id, "7", {"name": "Ann"})
    await bench.node.subscribe(connection, "room", lambda subscribed: None, member=member)


async def test_the_servers_own_channels_are_nobodys(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watchers = [await bench.watch({"users-api-key": TRUSTED_KEY}), await bench.watch()]
        for watcher in watchers:
            watcher.take()
        await bench.node.publish(DEFAULT_APP, USERS_CHANNEL, "Login", {"username": "ann"})
        await bench.node.publish(DEFAULT_APP, "chat", "said", 1)
        for watcher in watchers:
            assert publications(watcher.take()) == [("chat", "said")]


@pytest.mark.parametrize("channel", [USERS_CHANNEL, "echo", "a\tb", "x" * 300])
async def test_channels_that_cannot_be_watched(tmp_path: Path, channel: str) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch({"users-api-key": TRUSTED_KEY}, channel=channel)
        assert watcher.closed
        assert watcher.closed[0] == 1008
        assert watcher.sent == []


async def test_a_watcher_says_nothing(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(channel="chat")
        watcher.receiver.receive(b"{}", True)
        assert watcher.closed == (1008, "A watcher sends nothing")


async def test_keys_of_the_app_open(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        key = bench.keys["other"]
        for headers in ({"app-api-key": key}, basic("other", key)):
            admission = await bench.admit(headers, app="other")
            assert (admission.app, admission.identity) == ("other", ANONYMOUS)
        rotated = await bench.apps.rotate(ADMIN, "other")
        for live in (key, rotated.api_key):
            assert (await bench.admit({"app-api-key": live}, app="other")).app == "other"


async def test_operators_may_watch_every_app(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        for headers in ({"users-api-key": TRUSTED_KEY}, {"authorization": f"Bearer {bench.token('root')}"}):
            for app in ("default", "other"):
                assert (await bench.admit(headers, app=app)).app == app


async def test_all_others_are_refused_alike(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        key = bench.keys["other"]
        emitter = bench.tokens.issue("mailer", scopes=["events:emit"])
        told = set()
        for headers, app in (
            ({}, "default"),
            ({}, "nowhere"),
            ({"app-api-key": key}, "default"),
            ({"app-api-key": key}, "nowhere"),
            ({"app-api-key": ""}, "other"),
            ({"app-api-key": TRUSTED_KEY}, "default"),
            ({"users-api-key": key}, "other"),
            (basic("other", key), "default"),
            (basic("default", key), "default"),
            ({"authorization": "Basic %%%"}, "default"),
            ({"authorization": f"Bearer {bench.token('ann')}"}, "default"),
            ({"authorization": f"Bearer {emitter}"}, "default"),
        ):
            with pytest.raises(IdentityRefused) as caught:
                await bench.admit(headers, app=app)
            told.add(caught.value.message)
        assert len(told) == 1
        with pytest.raises(IdentityRefused):
            await bench.admit({"authorization": "Bearer nonsense"})


async def test_an_admins_browser_must_be_on_an_approved_page(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        headers = {"authorization": f"Bearer {bench.token('root')}"}
        assert await bench.admit({**headers, "origin": "https://configured.example"})
        with pytest.raises(OriginRefused):
            await bench.admit({**headers, "origin": "https://evil.example"})


@pytest.mark.parametrize(
    "query",
    [
        {"since": "e:1"},
        {"channel": "news", "since": "e"},
        {"channel": "news", "since": "e:-1"},
        {"channel": "news", "since": "e:01"},
        {"channel": "news", "since": f"e:{'9' * 40}"},
        {"channel": "news", "sinse": "e:1"},
    ],
)
async def test_queries_that_make_no_sense(tmp_path: Path, query: dict[str, str]) -> None:
    async with Bench(tmp_path) as bench:
        with pytest.raises(ProtocolViolation):
            await bench.admit({"app-api-key": bench.keys["default"]}, **query)


async def test_an_app_that_is_removed_closes_its_watchers(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        other, default = await bench.watch(app="other"), await bench.watch()
        await bench.apps.remove(ADMIN, "other")
        assert other.closed == (4404, AppGone.default_message)
        assert default.closed is None
        with pytest.raises(AppGone):
            await bench.admit({"users-api-key": TRUSTED_KEY}, app="other")


async def test_an_app_that_is_not_served(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher = await bench.watch(app="other")
        await bench.apps.change(ADMIN, "other", AppDraft(protocols=["relay"]))
        assert watcher.closed
        with pytest.raises(AppGone):
            await bench.watch(app="other")
        with pytest.raises(IdentityRefused):
            await bench.watch({}, app="other")


def test_every_reason_has_a_close_code() -> None:
    def all_kinds(kind: type[Disconnect]) -> set[type[Disconnect]]:
        return {kind}.union(*(all_kinds(below) for below in kind.__subclasses__()))

    assert set(CLOSE_CODES) >= {kind.reason for kind in all_kinds(Disconnect)}
