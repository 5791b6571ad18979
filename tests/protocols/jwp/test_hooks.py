"""What is owed to web hooks: one join and one leave for each time that a client was told that it has joined."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.jwp.bench import APP, OK, Bench, Client
from users_server.core.messages import Member
from users_server.errors import BrokerUnavailable, Overloaded, Shutdown, SlowConsumer, StoreUnavailable
from users_server.services.apps import AppDraft

TOPIC = f"jwp:{APP}:lobby"
BOTH = {"notify_joins": True, "notify_leaves": True}
JOIN = {"channel": "lobby", "event": "join", "socket_id": "user:1"}
LEAVE = {**JOIN, "event": "leave"}


async def joined(bench: Bench) -> Client:
    client = await bench.connect()
    assert (await client.join(options=BOTH))[0][4] == OK
    assert bench.webhooks.calls == [("announce", "lobby", JOIN, LEAVE)]
    return client


@pytest.mark.parametrize(
    ("options", "now", "at_end"),
    [({"notify_joins": True}, JOIN, None), ({"notify_leaves": True}, None, LEAVE), (BOTH, JOIN, LEAVE)],
)
@pytest.mark.gen_test
async def test_what_is_announced(tmp_path: Path, options: Any, now: Any, at_end: Any) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        await ann.join(options=options)
        assert bench.webhooks.owed == {"a1": (APP, "lobby", now, at_end)}


@pytest.mark.gen_test
async def test_nothing_is_announced_that_nobody_asked_for(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        await ann.join(options={"notify_joins": False})
        await ann.join("other")
        assert (await ann.join("third", options=BOTH, secret="another"))[0][4]["status"] == "error"
        await bench.change_app(AppDraft(webhook_endpoint=""))
        await ann.join("fourth", options=BOTH)
        ann.leave()
        assert bench.webhooks.calls == []


@pytest.mark.gen_test
async def test_a_leave(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await joined(bench)
        await ann.say([None, "2", TOPIC, "phx_leave", {}])
        await ann.say([None, "3", TOPIC, "phx_leave", {}])
        ann.leave()
        assert bench.webhooks.ends == [("end", "a1")]


@pytest.mark.parametrize("how", ["gone", "shutdown", "slow", "removed", "nonsense"])
@pytest.mark.gen_test
async def test_however_the_link_ends(tmp_path: Path, how: str) -> None:
    async with Bench(tmp_path) as bench:
        ann = await joined(bench)
        if how == "gone":
            ann.leave()
        elif how == "shutdown":
            bench.node.close_all(Shutdown())
        elif how == "slow":
            ann.receiver.disconnect(SlowConsumer())
        elif how == "removed":
            bench.node.forget_app(APP)
        else:
            await ann.say(b"nonsense")
        assert bench.webhooks.ends == [("end", "a1")]


@pytest.mark.gen_test
async def test_a_duplicate_join_ends_the_former_and_announces_anew(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await joined(bench)
        await ann.join("lobby", "2", options=BOTH)
        assert [call[:2] for call in bench.webhooks.calls[1:]] == [("end", "a1"), ("announce", "lobby")]
        ann.leave()
        assert bench.webhooks.ends == [("end", "a1"), ("end", "a2")]


@pytest.mark.gen_test
async def test_a_join_that_fails_behind_its_announcement_is_retracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()

        async def fail(*_: object) -> None:
            raise BrokerUnavailable

        monkeypatch.setattr(bench.broker, "subscribe", fail)
        assert (await ann.join(options=BOTH))[0][4]["response"]["reason"] == "unavailable"
        assert bench.webhooks.ends == [("retract", "a1")]
        ann.leave()
        assert bench.webhooks.ends == [("retract", "a1")]


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded()])
@pytest.mark.gen_test
async def test_what_cannot_be_announced_is_not_joined(tmp_path: Path, error: Exception) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        bench.webhooks.error = error
        (reply,) = await ann.join(options=BOTH)
        assert reply[4]["response"]["reason"] == "unavailable"
        await bench.push("hello", {})
        assert ann.take() == []
        ann.leave()
        assert bench.webhooks.calls == []


@pytest.mark.gen_test
async def test_a_link_that_goes_while_its_join_is_announced(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        bench.webhooks.held = asyncio.Event()
        joining = ann.start(ann.join_message("lobby", options=BOTH))
        assert joining is not None
        await bench.webhooks.is_announcing.wait()
        ann.leave()
        bench.webhooks.held.set()
        await joining
        assert bench.webhooks.ends == [("retract", "a1")]
        assert bench.node.subscriber_count(APP, "lobby") == 0


@pytest.mark.parametrize("how", ["leaves", "cancelled"])
@pytest.mark.gen_test
async def test_a_join_that_ends_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        listing = asyncio.Event()

        async def hold(app: str, channel: str, member: Member, **_: object) -> None:
            listing.set()
            await asyncio.Event().wait()

        async def leave(*_: object) -> None:
            """Nobody was listed."""

        monkeypatch.setattr(bench.node._subscribing._presence, "join", hold)
        monkeypatch.setattr(bench.node._subscribing._presence, "leave", leave)
        joining = ann.start(ann.join_message("lobby", options={**BOTH, "presence_track": True}))
        assert joining is not None
        await listing.wait()
        if how == "leaves":
            ann.leave()
            assert bench.webhooks.ends == []
        joining.cancel()
        await asyncio.wait({joining})
        assert bench.webhooks.ends == [("retract", "a1")]
        ann.leave()
        assert bench.webhooks.ends == [("retract", "a1")]


@pytest.mark.gen_test
async def test_a_join_that_is_cancelled_when_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        is_told = asyncio.Event()
        subscribe = bench.node.subscribe

        def slow(*arguments: Any, **options: Any) -> Any:
            async def finish() -> None:
                await subscribe(*arguments, **options)
                is_told.set()
                await asyncio.Event().wait()

            return finish()

        monkeypatch.setattr(bench.node, "subscribe", slow)
        joining = ann.start(ann.join_message("lobby", options=BOTH))
        assert joining is not None
        await is_told.wait()
        joining.cancel()
        await asyncio.wait({joining})
        assert bench.webhooks.ends == [("end", "a1")]
        ann.leave()
        assert bench.webhooks.ends == [("end", "a1")]
