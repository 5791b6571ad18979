"""What relay clients say and hear (relay.md), message by message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.protocols.relay.bench import Bench
from users_server.core.acceptance import Refused
from users_server.core.channels import ChannelLimits
from users_server.core.messages import ClientInfo
from users_server.errors import BrokerUnavailable, Shutdown
from users_server.protocols.relay.settings import KindSettings

ANN, BOB = {"id": 7, "name": "Ann"}, {"id": 8, "name": "Bob"}
SYSTEM = {"id": 0, "name": "System"}
SENDED = {"type": "sended", "ok": True}
CHAT = {"message": "hello", "name": "Ann"}
TWEET = {"tweet": {"id": 1, "content": "x", "created_at": "2024-01-01", "user": {"id": 7, "name": "Ann"}}}
JOB = {"info": {"type": "sample_job_progress", "title": "Import", "detail": {"cursor": 1, "total": 9}}}


def connected(*users: dict[str, Any]) -> dict[str, Any]:
    return {"type": "connected", "users": list(users)}


def presence(kind: str, user: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "sender": user, "data": {"user": user}}


def message(sender: dict[str, Any], data: Any, kind: str = "message") -> dict[str, Any]:
    return {"type": kind, "sender": sender, "data": data}


def code(answer: list[dict[str, Any]]) -> str:
    """The code of the one answer, which refuses."""
    (refusal,) = answer
    assert (refusal["type"], refusal["ok"]) == ("sended", False)
    assert refusal["error"]["message"]
    return str(refusal["error"]["code"])


@pytest.mark.gen_test
async def test_a_conversation(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect(7, "Ann")
        assert ann.take() == [connected(ANN)]
        bob = await bench.connect(8, "Bob")
        assert bob.take() == [connected(ANN, BOB)]
        assert ann.take() == [presence("connectOther", BOB)]
        assert await ann.say({"data": CHAT}) == [SENDED, message(ANN, CHAT)]
        assert bob.take() == [message(ANN, CHAT)]
        bob.leave()
        assert ann.take() == [presence("disconnectOther", BOB)]


@pytest.mark.gen_test
async def test_a_user_is_there_once_however_many_connections_he_has(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect(7, "Ann")
        bob = await bench.connect(8, "Bob")
        ann.take()
        bob.take()
        again = await bench.connect(8, "Bob")
        assert again.take() == [connected(ANN, BOB)]
        assert ann.take() == bob.take() == []
        bob.leave()
        assert ann.take() == again.take() == []
        again.leave()
        assert ann.take() == [presence("disconnectOther", BOB)]


@pytest.mark.gen_test
async def test_a_message_for_one_user(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        clients = [await bench.connect(7, "Ann"), await bench.connect(8, "Bob"), await bench.connect(8, "Bob")]
        elsewhere = await bench.connect(8, "Bob", "chat:room2")
        for client in (*clients, elsewhere):
            client.take()
        assert await clients[0].say({"data": {**CHAT, "target_user_id": 8}}) == [SENDED]
        assert [client.take() for client in clients] == [[], [message(ANN, CHAT)], [message(ANN, CHAT)]]
        assert elsewhere.take() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("channel", "data", "delivered"),
    [
        ("chat:", {**CHAT, "colour": "red"}, CHAT),
        ("tweet:", {**TWEET, "more": 1}, TWEET),
        ("progress:42", JOB, JOB),
        ("progress:42", {"info": {**JOB["info"], "type": "mine", "detail": {"any": [1]}}}, None),
        ("plain", {"any": {"thing": [None, 1.5]}}, None),
        ("board:1,2", {}, None),
    ],
)
async def test_data_of_each_kind(tmp_path: Path, channel: str, data: Any, delivered: Any) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel=channel)
        expected = message(ANN, data if delivered is None else delivered)
        assert await client.say({"type": "ignored", "data": data}) == [SENDED, expected]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("channel", "data"),
    [
        ("chat:1", {"message": "x"}),
        ("chat:1", {"message": 1, "name": "Ann"}),
        ("chat:1", {**CHAT, "target_user_id": "8"}),
        ("chat:1", {**CHAT, "target_user_id": None}),
        ("chat:1", {**CHAT, "target_user_id": 0}),
        ("chat:1", {**CHAT, "target_user_id": 2**53}),
        ("chat:1", {**CHAT, "target_user_id": True}),
        ("tweet:", {"tweet": {"id": "1"}}),
        ("tweet:", {"tweet": {**TWEET["tweet"], "user": {"id": 1.5, "name": "Ann"}}}),
        ("progress:1", {"info": "any"}),
        ("progress:1", {"info": {**JOB["info"], "detail": {"cursor": 1}}}),
    ],
)
async def test_data_that_is_not_of_its_kind(tmp_path: Path, channel: str, data: Any) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel=channel)
        witness = await bench.connect(8, "Bob", channel)
        witness.take()
        answer = await client.say({"data": data})
        assert code(answer) == "validation_failed"
        assert answer[0]["error"]["errors"]
        assert witness.take() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[]", "not_an_object"),
        (b"{}", "validation_failed"),
        (b'{"data":null}', "validation_failed"),
        (b'{"data":[1]}', "validation_failed"),
        (b'{"data":"x"}', "validation_failed"),
    ],
)
async def test_bad_messages_are_answered(tmp_path: Path, text: bytes, expected: str) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel="plain")
        assert code(await client.say(text)) == expected
        assert await client.say({"data": {}}) == [SENDED, message(ANN, {})]


@pytest.mark.gen_test
async def test_kinds_of_the_configuration(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    kinds = (
        KindSettings("news", clients_may_send=False),
        KindSettings("board", schema, recipient_field="to", announces_presence=True),
        KindSettings("chat"),
    )
    async with Bench(tmp_path, kinds=kinds) as bench:
        assert code(await (await bench.connect(channel="news:1")).say({"data": {}})) == "not_permitted"
        board = await bench.connect(channel="board:1")
        assert board.take() == [connected(ANN)]
        answer = await board.say({"data": {"x": "y" * 1000}})
        assert code(answer) == "validation_failed"
        assert list(answer[0]["error"]["errors"]) == ["x"]
        assert len(answer[0]["error"]["errors"]["x"][0]) <= 200
        assert await board.say({"data": {"x": 1, "more": 2, "to": 7}}) == [SENDED, message(ANN, {"x": 1, "more": 2})]
        assert await board.say({"data": {"x": 1, "to": 8}}) == [SENDED]
        assert code(await board.say({"data": {"x": 1, "to": [8]}})) == "validation_failed"
        chat = await bench.connect(channel="chat:1")
        assert await chat.say({"data": {"target_user_id": 9}}) == [SENDED, message(ANN, {"target_user_id": 9})]


@pytest.mark.gen_test
async def test_the_rate_is_limited(tmp_path: Path) -> None:
    async with Bench(tmp_path, messages_per_second=2) as bench:
        client = await bench.connect(channel="plain")
        for _ in range(2):
            assert len(await client.say({"data": {}})) == 2
        assert code(await client.say({"data": {}})) == "rate_limited"
        bench.clock.seconds += 1
        assert len(await client.say({"data": {}})) == 2
        for _ in range(20):
            await client.say({"data": {}})
        assert client.closed is not None
        assert client.closed[0] == 1008


@pytest.mark.gen_test
async def test_the_size_is_limited(tmp_path: Path) -> None:
    async with Bench(tmp_path, limits=ChannelLimits(data_bytes=100)) as bench:
        client = await bench.connect(channel="plain")
        assert len(await client.say({"data": {"a": "x" * 92}})) == 2
        assert code(await client.say({"data": {"a": "x" * 93}})) == "too_large"
        assert len(await client.say({"data": {}, "padding": "x" * 500})) == 2


@pytest.mark.gen_test
async def test_what_others_publish_in_the_channel(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel="plain")
        publish = bench.node.publish
        await publish("default", "plain", "saved", {"a": 1})
        await publish("default", "plain", "saved", [1], by=ClientInfo("x1", "joe", "12"))
        await publish("default", "plain", "saved", None, by=ClientInfo("x1", "joe", "5f2a"))
        await publish("default", "plain", "message", "text", by=ClientInfo("x1"))
        await publish("default", "plain", "saved", {}, by=ClientInfo("x1", "fake", "0"))
        for own in ("sended", "connected", "connectOther", "disconnectOther", "subscribed", "gap"):
            await publish("default", "plain", own, {"users": []})
        assert client.take() == [
            message(SYSTEM, {"a": 1}, "saved"),
            message({"id": 12, "name": "joe"}, {"value": [1]}, "saved"),
            message({"id": "5f2a", "name": "joe"}, {"value": None}, "saved"),
            message({"id": None, "name": ""}, {"value": "text"}),
            message({"id": "0", "name": "fake"}, {}, "saved"),
        ]


@pytest.mark.gen_test
async def test_a_broker_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel="plain")
        with monkeypatch.context() as patch:
            patch.setattr(bench.node, "publish", lambda *_, **__: Refused(BrokerUnavailable()))
            assert code(await client.say({"data": {}})) == "unavailable"
        with monkeypatch.context() as patch:
            patch.setattr(bench.node, "subscribe", lambda *_, **__: Refused(BrokerUnavailable()))
            late = await bench.connect(channel="plain", is_joined=False)
            pending = late.start({"data": {}})
            assert pending is not None
            await pending
        assert late.closed == (1013, BrokerUnavailable.default_message)
        assert client.take() == []


@pytest.mark.gen_test
async def test_shutdown(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect()
        client.receiver.disconnect(Shutdown())
        assert client.closed == (1001, Shutdown.default_message)
        assert client.start({"data": CHAT}) is None
