"""What Phoenix clients say and hear (phoenix-protocol.md, 2 to 4), message by message, without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.protocols.jwp.bench import APP, OK, Bench, Client
from users_server.core.channels import ChannelLimits
from users_server.errors import BackendError, BrokerUnavailable, ProtocolViolation, Shutdown

TOPIC = f"jwp:{APP}:lobby"
UNMATCHED = {"status": "error", "response": {"reason": "unmatched topic"}}


def refused(reason: str) -> dict[str, Any]:
    return {"status": "error", "response": {"reason": reason}}


@pytest.mark.gen_test
async def test_a_conversation_in_v2(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert await ann.say([None, "1", "phoenix", "heartbeat", {}]) == [[None, "1", "phoenix", "phx_reply", OK]]
        assert await ann.join("lobby", "2") == [["2", "2", TOPIC, "phx_reply", OK]]
        await bench.push("hello", {"a": [1, None]})
        assert ann.take() == [[None, None, TOPIC, "hello", {"a": [1, None]}]]
        assert await ann.say(["2", "3", TOPIC, "typing", {}]) == []
        assert await ann.say(["2", "4", TOPIC, "phx_leave", {}]) == [
            ["2", "4", TOPIC, "phx_reply", OK],
            ["2", "2", TOPIC, "phx_close", {}],
        ]
        await bench.push("hello", {})
        assert ann.take() == []
        assert ann.closed is None


@pytest.mark.gen_test
async def test_a_conversation_in_v1(tmp_path: Path) -> None:
    def reply(ref: str, topic: str = TOPIC) -> dict[str, Any]:
        return {"topic": topic, "event": "phx_reply", "payload": OK, "ref": ref}

    async with Bench(tmp_path) as bench:
        ann = await bench.connect(version=1)
        heartbeat = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}
        assert await ann.say(heartbeat) == [reply("1", "phoenix")]
        assert await ann.join("lobby", "2") == [reply("2")]
        await bench.push("hello", {"a": 1})
        assert ann.take() == [{"topic": TOPIC, "event": "hello", "payload": {"a": 1}, "ref": None}]
        left = await ann.say({"topic": TOPIC, "event": "phx_leave", "payload": {}, "ref": "3"})
        assert left == [reply("3"), {"topic": TOPIC, "event": "phx_close", "payload": {}, "ref": None}]


@pytest.mark.gen_test
async def test_a_client_of_v1_that_tells_its_join_refs(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect(version=1)
        await ann.say({**ann.join_message("lobby", "2"), "join_ref": "2"})
        push = {"topic": TOPIC, "event": "phx_leave", "payload": {}, "ref": "3"}
        assert await ann.say({**push, "join_ref": "1"}) == []
        left = await ann.say({**push, "join_ref": "2"})
        assert left[1] == {"topic": TOPIC, "event": "phx_close", "payload": {}, "ref": "2"}


@pytest.mark.parametrize("ref", ["7", 7, 7.5, "é", "x" * 255])
@pytest.mark.gen_test
async def test_refs_are_echoed_as_they_came(tmp_path: Path, ref: Any) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert await ann.join("lobby", ref) == [[ref, ref, TOPIC, "phx_reply", OK]]
        assert await ann.say([ref, ref, TOPIC, "phx_leave", {}]) == [
            [ref, ref, TOPIC, "phx_reply", OK],
            [ref, ref, TOPIC, "phx_close", {}],
        ]


@pytest.mark.gen_test
async def test_who_gives_no_ref_gets_no_reply(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert await ann.say([None, None, "phoenix", "heartbeat", {}]) == []
        assert await ann.say([None, None, "jwp:game:other", "x", {}]) == []
        assert await ann.join("lobby", None) == []
        await bench.push("hello", {})
        assert ann.take() == [[None, None, TOPIC, "hello", {}]]


@pytest.mark.gen_test
async def test_topics_that_are_not_joined(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert await ann.say(["9", "1", TOPIC, "typing", {}]) == [[None, "1", TOPIC, "phx_reply", UNMATCHED]]
        assert await ann.say([None, "2", "phoenix", "other", {}]) == [[None, "2", "phoenix", "phx_reply", UNMATCHED]]
        assert await ann.say(["9", "3", TOPIC, "phx_leave", {}]) == [["9", "3", TOPIC, "phx_reply", OK]]


@pytest.mark.gen_test
async def test_a_duplicate_join_closes_the_former_one(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        await ann.join("lobby", "1")
        assert await ann.join("lobby", "5") == [
            ["1", "1", TOPIC, "phx_close", {}],
            ["5", "5", TOPIC, "phx_reply", OK],
        ]
        # of the former join, late
        assert await ann.say(["1", "6", TOPIC, "phx_leave", {}]) == []
        assert await ann.say(["1", "7", TOPIC, "typing", {}]) == []
        await bench.push("hello", {})
        assert ann.take() == [[None, None, TOPIC, "hello", {}]]
        # without a join_ref it is of the present one
        assert (await ann.say([None, "8", TOPIC, "phx_leave", {}]))[1] == ["5", "5", TOPIC, "phx_close", {}]


@pytest.mark.gen_test
async def test_a_duplicate_join_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        await ann.join("lobby", "1")
        assert await ann.join("lobby", "2", secret="another") == [
            ["1", "1", TOPIC, "phx_close", {}],
            ["2", "2", TOPIC, "phx_reply", refused("unauthorized")],
        ]
        await bench.push("hello", {})
        assert ann.take() == []


@pytest.mark.gen_test
async def test_a_duplicate_join_in_v1_closes_nothing_that_a_client_could_mistake(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect(version=1)
        await ann.join("lobby", "1")
        assert [message["event"] for message in await ann.join("lobby", "2")] == ["phx_reply"]


@pytest.mark.gen_test
async def test_too_many_channels(tmp_path: Path) -> None:
    async with Bench(tmp_path, limits=ChannelLimits(per_connection=2)) as bench:
        ann = await bench.connect()
        for name in ("a", "b"):
            await ann.join(name)
        assert (await ann.join("c"))[0][4] == refused("too many channels joined")
        assert len(await ann.join("b", "9")) == 2
        await ann.say([None, "3", f"jwp:{APP}:a", "phx_leave", {}])
        assert (await ann.join("c"))[0][4] == OK


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'["1","1","t","e"]',
        b'["1","1",1,"e",{}]',
        b'["1","1","t",null,{}]',
        b'[{},"1","t","e",{}]',
        b'["1",true,"t","e",{}]',
        b'["1",["1"],"t","e",{}]',
        b'{"topic":"t","event":"e","payload":{},"ref":"1"}',
        b'["1","' + b"x" * 256 + b'","t","e",{}]',
    ],
)
@pytest.mark.gen_test
async def test_what_is_no_message_ends_the_link(tmp_path: Path, message: bytes) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert await ann.say(message) == []
        assert ann.closed is not None
        assert ann.closed[0] == 1008


@pytest.mark.parametrize(
    "message",
    [b"[]", b'{"topic":"t","event":"e","payload":{}}', b'{"topic":"t","event":"e","ref":"1"}', b'{"event":"e"}'],
)
@pytest.mark.gen_test
async def test_what_is_no_message_of_v1(tmp_path: Path, message: bytes) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect(version=1)
        await ann.say(message)
        assert ann.closed is not None


@pytest.mark.gen_test
async def test_more_items_than_five_are_passed_over(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert len(await ann.say([None, "1", "phoenix", "heartbeat", {}, "more", 6])) == 1


@pytest.mark.gen_test
async def test_a_binary_push_is_heard(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann, old = await bench.connect(), await bench.connect(version=1)
        push = bytes.fromhex("0002020702313031326a77703a613a6265760102")
        assert await ann.say(push, is_text=False) == [[None, "12", "jwp:a:b", "phx_reply", UNMATCHED]]
        await old.say(push, is_text=False)
        assert old.closed is not None
        await ann.join("lobby", "10")
        own = b"\x00\x02\x02" + bytes((len(TOPIC), 2)) + b"1013" + TOPIC.encode() + b"evdata"
        assert await ann.say(own, is_text=False) == []
        assert bench.node.statistics.messages["jwp message", "unhandled"] == 1


@pytest.mark.gen_test
async def test_too_many_messages(tmp_path: Path) -> None:
    async with Bench(tmp_path, messages_per_second=2) as bench:
        ann = await bench.connect()
        await ann.join()
        assert await ann.say(["1", "2", TOPIC, "typing", {}]) == []
        (refusal,) = await ann.say(["1", "3", TOPIC, "typing", {}])
        assert refusal[4]["response"]["reason"] == "limit exceeded"
        # phoenix.js could not do anything with a refusal of these
        assert (await ann.say([None, "4", "phoenix", "heartbeat", {}]))[0][4] == OK
        assert (await ann.say(["1", "5", TOPIC, "phx_leave", {}]))[0][4] == OK
        for number in range(20):
            await ann.say([None, str(number), "phoenix", "heartbeat", {}])
        assert ann.closed is not None
        assert ann.closed[0] == 1008


@pytest.mark.gen_test
async def test_a_silent_client_is_closed(tmp_path: Path) -> None:
    async with Bench(tmp_path, idle_timeout_seconds=75) as bench:
        ann, bob = await bench.connect(), await bench.connect("user:2")
        bench.clock.seconds = 40
        await bob.say([None, "1", "phoenix", "heartbeat", {}])
        bench.clock.seconds = 76
        bench.protocol.idle_watch.look()
        assert ann.closed is not None
        assert (ann.closed[0], bob.closed) == (4408, None)
        bob.leave()
        bench.clock.seconds = 200
        bench.protocol.idle_watch.look()


@pytest.mark.gen_test
async def test_why_a_link_is_closed(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann, bob = await bench.connect(), await bench.connect("user:2")
        ann.receiver.disconnect(Shutdown())
        assert ann.closed == (1012, "The server is shutting down")
        bob.receiver.disconnect(ProtocolViolation())
        assert bob.closed is not None
        assert bob.closed[0] == 1008


@pytest.mark.gen_test
async def test_binary_payloads(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        new, old = await bench.connect(), await bench.connect("user:2", version=1)
        topic = f"jwp:{APP}:b"
        await new.join("b")
        await old.join("b")
        payload = {"$binary": "AQI="}
        await bench.push("ev", payload, "b")
        assert new.take() == [b"\x02" + bytes((len(topic), 2)) + topic.encode() + b"ev\x01\x02"]
        assert old.take() == [{"topic": topic, "event": "ev", "payload": payload, "ref": None}]
        for no_bytes in ({"$binary": "A"}, {"$binary": 1}, {"$binary": "AQI=", "a": 1}, {"$binary": "AQ\n=="}):
            await bench.push("ev", no_bytes, "b")
            assert new.take() == [[None, None, topic, "ev", no_bytes]]
        await bench.push("é" * 127 + "x", payload, "b")
        (frame,) = new.take()
        assert frame[:3] == bytes((2, len(topic), 255))
        await bench.push("é" * 128, payload, "b")
        assert new.take() == [[None, None, topic, "é" * 128, payload]]


@pytest.mark.parametrize("event", ["phx_reply", "phx_", "presence_state", "presence_diff", "jwp_system"])
@pytest.mark.gen_test
async def test_nobody_can_speak_for_the_server(tmp_path: Path, event: str) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        await ann.join()
        await bench.push(event, {})
        await bench.push("heartbeat", {})
        assert ann.take() == [[None, None, TOPIC, "heartbeat", {}]]


@pytest.mark.gen_test
async def test_messages_for_one_user(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann, bob = await bench.connect(), await bench.connect("user:2")
        for client in (ann, bob):
            await client.join()
        await bench.push("secret", {}, to_user="user:2")
        assert (ann.take(), len(bob.take())) == ([], 1)


@pytest.mark.parametrize("name", [" a", "a\n", "x" * 201])
@pytest.mark.gen_test
async def test_names_that_no_channel_has(tmp_path: Path, name: str) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        (reply,) = await ann.join(name)
        assert reply[4]["response"]["reason"] == "invalid channel name"


@pytest.mark.gen_test
async def test_a_join_while_a_backend_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(tmp_path) as bench:
        ann: Client = await bench.connect()

        async def fail(*_: object) -> None:
            raise BrokerUnavailable

        monkeypatch.setattr(bench.broker, "subscribe", fail)
        (reply,) = await ann.join()
        assert reply[4]["response"] == {"reason": "unavailable", "message": BrokerUnavailable.default_message}
        monkeypatch.undo()
        assert (await ann.join("lobby", "2"))[0][4] == OK
        assert issubclass(BrokerUnavailable, BackendError)
