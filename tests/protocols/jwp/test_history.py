"""``last_message_id``: what was missed comes first, or the join is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.protocols.jwp.bench import APP, LISTED, OK, Bench
from users_server.core.messages import Gap, StreamPosition

TOPIC = f"jwp:{APP}:lobby"


def reason(greeting: list[Any]) -> str:
    assert len(greeting) == 1
    assert greeting[0][4]["status"] == "error"
    return str(greeting[0][4]["response"]["reason"])


@pytest.mark.gen_test
async def test_what_was_missed_follows_the_reply(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        ann = await bench.connect()
        ((*_, reply),) = await ann.join()
        top = reply["response"]["last_message_id"]
        await bench.push("hello", {"n": 0})
        ((join_ref, position, topic, event, payload),) = ann.take()
        assert (join_ref, topic, event, payload) == (None, TOPIC, "hello", {"n": 0})
        assert top.rpartition(":")[0] == position.rpartition(":")[0]
        ann.leave()
        await bench.push("hello", {"n": 1})
        await bench.push("phx_reply", {"n": 2})
        await bench.push("hello", {"n": 3}, to_user="somebody else")
        await bench.push("hello", {"n": 4})
        again = await bench.connect()
        reply, *missed = await again.join(last_message_id=position)
        assert reply[4] == {"status": "ok", "response": {"last_message_id": position}}
        assert [message[4]["n"] for message in missed] == [1, 4]
        await bench.push("hello", {"n": 5})
        (message,) = again.take()
        late = await bench.connect()
        assert len(await late.join(last_message_id=message[1])) == 1


@pytest.mark.gen_test
async def test_v1_has_positions_too(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        ann = await bench.connect(version=1)
        (reply,) = await ann.join()
        await bench.push("hello", {})
        (message,) = ann.take()
        assert message["ref"].rpartition(":")[0] == reply["payload"]["response"]["last_message_id"].rpartition(":")[0]


@pytest.mark.gen_test
async def test_channels_without_history_are_as_in_phoenix(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        for nothing in (None, ""):
            assert (await ann.join(last_message_id=nothing))[-1][4] == OK
        assert reason(await ann.join("other", last_message_id="e:1")) == "unrecoverable"


@pytest.mark.parametrize("bad", ["x", "1", ":1", "e:", "e:x", "e:-1", "e:1 ", 7, {}, True, ["e:1"], "é:1"])
@pytest.mark.gen_test
async def test_what_is_no_position(tmp_path: Path, bad: Any) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        ann = await bench.connect()
        greeting = await ann.join(last_message_id=bad)
        assert reason(greeting) == "invalid last_message_id"
        assert greeting[0][4]["response"]["message"]


@pytest.mark.gen_test
async def test_what_is_lost_refuses_the_join(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True, history_size=2) as bench:
        ann = await bench.connect()
        await ann.join()
        await bench.push("hello", {"n": 0})
        position = ann.take()[0][1]
        ann.leave()
        for number in range(3):
            await bench.push("hello", {"n": number})
        again = await bench.connect()
        data = {"options": {**LISTED, "notify_joins": True}}
        for lost in (position, "another:1", position.rpartition(":")[0] + ":99"):
            greeting = await again.join(last_message_id=lost, **data)
            assert reason(greeting) == "unrecoverable"
            assert greeting[0][4]["response"]["message"]
        await bench.push("hello", {})
        assert again.take() == []
        assert [call[0] for call in bench.webhooks.ends] == ["retract"] * 3
        assert len(await again.join()) == 1


@pytest.mark.gen_test
async def test_a_gap_is_told(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        ann = await bench.connect()
        await ann.join()
        bench.node.handle_gap(Gap(APP, "lobby", StreamPosition(9, "e")))
        ((join_ref, ref, topic, event, payload),) = ann.take()
        assert (join_ref, ref, topic, event) == (None, None, TOPIC, "jwp_system")
        assert (payload["type"], payload["last_message_id"]) == ("gap", "e:9")
