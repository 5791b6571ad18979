"""What clients of the other protocols really receive is what the definitions say, and not a field more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.jwp import bench as jwp
from tests.protocols.relay import bench as relay
from tests.protocols.watch import bench as watch
from tests.unit.definitions.conftest import Checker, read
from users_server.config.protocols import PROTOCOLS
from users_server.core.channels import ChannelLimits
from users_server.core.connection import Connection
from users_server.core.messages import ANONYMOUS, DEFAULT_APP, ClientInfo, Gap, Member, StreamPosition
from users_server.protocols.relay.settings import KindSettings

CHAT = {"message": "hello", "name": "Ann"}
TOP = StreamPosition(7, "e")


class Watch:
    """Validates frames, and remembers which messages it has seen."""

    def __init__(self, protocol: str) -> None:
        schema = read(f"{protocol}.schema.json")
        self.table = next(folder.messages for folder in PROTOCOLS if folder.name == protocol)
        self._checker = Checker({"$defs": schema["$defs"]}, "$defs")
        self._union = "AnyServerMessage" if "AnyServerMessage" in schema["$defs"] else "ServerMessage"
        self._by_type = {message.type: message.name for message in self.table.server}
        self.seen: set[str] = set()

    def check(self, frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for frame in frames:
            name = self._by_type.get(frame[self.table.type_field]) or self._by_type[None]
            self._checker.validator(name, is_closed=True).validate(frame)
            self._checker.validator(self._union).validate(frame)
            self.seen.add(name)
        return frames

    @property
    def missing(self) -> set[str]:
        return {message.name for message in self.table.server} - self.seen


def codes(frames: list[dict[str, Any]]) -> Iterator[str]:
    for frame in frames:
        if frame["type"] == "sended" and not frame["ok"]:
            yield frame["error"]["code"]


@pytest.mark.gen_test
async def test_frames_of_the_relay(tmp_path: Path) -> None:
    checks = Watch("relay")
    async with relay.Bench(tmp_path, has_history=True) as bench:
        ann = await bench.connect(7, "Ann", recover="1")
        first = checks.check(ann.take())
        bob = await bench.connect(8, "Bob")
        checks.check(ann.take() + bob.take())
        checks.check(await ann.say({"data": CHAT}))
        bob.leave()
        for by in (None, ClientInfo("c", "eve", "a user"), ClientInfo("c", None, None), ClientInfo("c", "Eve", "9")):
            for data in ({"a": 1}, [1], None):
                await bench.node.publish(DEFAULT_APP, "chat:room1", "saved", data, by=by)
        bench.node.handle_gap(Gap(DEFAULT_APP, "chat:room1", TOP))
        frames = checks.check(ann.take())
        assert {frame["sender"]["id"] for frame in frames if frame["type"] == "saved"} == {0, 9, "a user", None}
        again = await bench.connect(7, "Ann", recover="1", position=first[0]["position"])
        recovered = checks.check(again.take())
        assert recovered[0]["recovered"] is True
        assert len(recovered) > 2
    assert checks.missing == set()


@pytest.mark.gen_test
async def test_refusals_of_the_relay(tmp_path: Path) -> None:
    checks = Watch("relay")
    mute = KindSettings("mute", clients_may_send=False)
    limits = ChannelLimits(data_bytes=100)
    async with relay.Bench(tmp_path, kinds=(mute,), limits=limits, messages_per_second=5) as bench:
        said: list[tuple[str, Any, str]] = [
            ("chat:1", {"data": {"message": 1, "target_user_id": "x"}}, "validation_failed"),
            ("chat:1", {"data": [1]}, "validation_failed"),
            ("plain", b"{", "invalid_json"),
            ("plain", [], "not_an_object"),
            ("plain", {"data": {"a": "x" * 200}}, "too_large"),
            ("mute:", {"data": {}}, "not_permitted"),
        ]
        for channel, message, code in said:
            client = await bench.connect(channel=channel)
            assert list(codes(checks.check(await client.say(message)))) == [code]
        client = await bench.connect(channel="plain")
        for _ in range(7):
            answer = checks.check(await client.say({"data": {}}))
        assert list(codes(answer)) == ["rate_limited"]


@pytest.mark.gen_test
async def test_frames_of_watching(tmp_path: Path) -> None:
    checks = Watch("watch")
    async with watch.Bench(tmp_path) as bench:
        everything = await bench.watch()
        room = await bench.watch(channel="room")
        news = await bench.watch(channel="news")
        person = join(bench)
        await bench.node.subscribe(person, "room", lambda subscribed: None, member=Member("c1", "7", {"name": "Ann"}))
        late = await bench.watch(channel="room")
        assert checks.check(late.take())[0]["members"]
        for by in (None, ClientInfo("c", "ann", "7"), ClientInfo("c", None, None)):
            for data in ({"a": 1}, [1], None, "text"):
                await bench.node.publish(DEFAULT_APP, "news", "said", data, by=by)
        for watcher in (everything, room, news):
            assert checks.check(watcher.take())
        start = checks.check((await bench.watch(channel="news")).take())[0]["position"]
        await bench.node.publish(DEFAULT_APP, "news", "missed", {})
        since = f"{start['epoch']}:{start['offset']}"
        assert len(checks.check((await bench.watch(channel="news", since=since)).take())) == 2
        bench.node.handle_gap(Gap(DEFAULT_APP, "news", TOP))
        checks.check(news.take())
    assert checks.missing == set()


@pytest.mark.gen_test
async def test_frames_of_phoenix_clients(tmp_path: Path) -> None:
    checks = Watch("jwp")
    async with jwp.Bench(tmp_path, has_history=True, max_meta_bytes=40) as bench:
        ann = await bench.connect("ann", version=1)
        checks.check(await ann.join(options=jwp.LISTED, meta={"name": "Ann"}))
        bob = await bench.connect("bob", version=1)
        last = checks.check(await bob.join(options=jwp.LISTED))[0]["payload"]["response"]["last_message_id"]
        eve = await bench.connect("eve", version=1)
        told = checks.check(await eve.join(options=jwp.LISTED, meta={"name": "x" * 40}))
        assert told[-1]["payload"]["type"] == "error"
        for payload in ({"a": 1}, [1], None, "text", {"$binary": "AQI="}):
            await bench.push("said", payload)
        bench.node.handle_gap(Gap(jwp.APP, "lobby", TOP))
        bob.leave()
        assert checks.check(ann.take())
        late = await bench.connect("late", version=1)
        assert len(checks.check(await late.join(last_message_id=last))) == 6
        for refused in ({"secret": "another"}, {"last_message_id": "x"}, {"last_message_id": "e:1"}):
            checks.check(await late.join("other", **refused))
        topic = f"jwp:{jwp.APP}:lobby"
        for event in ("said", "phx_leave", "phx_leave", "said"):
            checks.check(await late.say({"topic": topic, "event": event, "payload": {}, "ref": 9}))
        checks.check(await late.say({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "10"}))
    assert checks.missing == set()


def test_what_phoenix_clients_send_is_as_it_is_described() -> None:
    schema = read("jwp.schema.json")
    checker = Checker({"$defs": schema["$defs"]}, "$defs")
    for message in (
        {"topic": "jwp:a:b", "event": "phx_join", "payload": {"auth": "A", "data": "{}"}, "ref": "1"},
        {"topic": "jwp:a:b", "event": "phx_join", "payload": {"auth": "A", "last_message_id": None}, "ref": 1},
        {"topic": "jwp:a:b", "event": "phx_leave", "payload": {}, "ref": None},
        {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"},
    ):
        checker.validator("ClientMessage").validate(message)


def join(bench: watch.Bench) -> Connection:
    transport: Any = type("Nowhere", (), {"write": lambda self, frames: None})()
    encoder: Any = type("Mute", (), {"encode_presence": lambda self, change: None})()
    connection = Connection("c1", ANONYMOUS, encoder, transport, lambda *_: None, user_id="7")
    bench.node.connect(connection)
    return connection
