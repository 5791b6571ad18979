"""Recovery for clients that ask for it; the others never see a word of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocols.relay.bench import Bench
from users_server.core.messages import Gap, StreamPosition

DATA = {"n": 1}


@pytest.mark.gen_test
async def test_a_client_that_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        old = await bench.connect(8, "Bob", "plain")
        client = await bench.connect(channel="plain", recover="1")
        (first,) = client.take()
        assert (first["type"], first["recovered"]) == ("subscribed", False)
        heard = await client.say({"data": {"n": 0}})
        assert heard[0] == {"type": "sended", "ok": True}
        position = heard[1]["position"]
        client.leave()
        for number in (1, 2, 3):
            await old.say({"data": {"n": number}})
        again = await bench.connect(channel="plain", recover="1", position=position)
        first, *missed = again.take()
        assert first == {"type": "subscribed", "position": position, "recovered": True}
        assert [message["data"]["n"] for message in missed] == [1, 2, 3]
        assert len({message["position"] for message in missed}) == 3
        await old.say({"data": {"n": 4}})
        assert [message["data"]["n"] for message in again.take()] == [4]
        late = await bench.connect(channel="plain", recover="1", position=missed[-1]["position"])
        assert [message["data"]["n"] for message in late.take()[1:]] == [4]


@pytest.mark.gen_test
async def test_others_see_nothing_of_it(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        client = await bench.connect(channel="plain")
        assert client.take() == []
        heard = await client.say({"data": DATA})
        assert heard == [
            {"type": "sended", "ok": True},
            {"type": "message", "sender": {"id": 7, "name": "Ann"}, "data": DATA},
        ]
        bench.node.handle_gap(Gap("default", "plain", StreamPosition(9, "e")))
        assert client.take() == []


@pytest.mark.gen_test
async def test_what_was_for_another_is_not_recovered(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        ann = await bench.connect(7, "Ann")
        bob = await bench.connect(8, "Bob", recover="1")
        position = bob.take()[0]["position"]
        bob.leave()
        for target in (8, 7):
            await ann.say({"data": {"message": f"for {target}", "name": "Ann", "target_user_id": target}})
        again = await bench.connect(8, "Bob", recover="1", position=position)
        first, present, *missed = again.take()
        assert first["recovered"] is True
        assert present["type"] == "connected"
        assert [message["data"]["message"] for message in missed] == ["for 8"]


@pytest.mark.gen_test
@pytest.mark.parametrize("position", ["nonsense", "other-epoch:1"])
async def test_a_position_that_is_not_known(tmp_path: Path, position: str) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        writer = await bench.connect(channel="plain")
        await writer.say({"data": DATA})
        client = await bench.connect(channel="plain", recover="1", position=position)
        (first,) = client.take()
        assert (first["type"], first["recovered"]) == ("subscribed", False)
        assert first["position"] != position


@pytest.mark.gen_test
async def test_a_channel_without_history(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel="plain", recover="1", position="e:1")
        assert client.take() == [{"type": "subscribed", "position": None, "recovered": False}]
        assert "position" not in (await client.say({"data": DATA}))[1]


@pytest.mark.gen_test
async def test_a_gap_is_told(tmp_path: Path) -> None:
    async with Bench(tmp_path, has_history=True) as bench:
        client = await bench.connect(channel="plain", recover="1")
        client.take()
        bench.node.handle_gap(Gap("default", "plain", StreamPosition(9, "e")))
        assert client.take() == [{"type": "gap", "position": "e:9"}]
