"""Watching an app: every publication of it, from every node, in order; and no cost where nobody watches."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.core.doubles import Bench, Client, assert_nothing_is_left
from tests.unit.core.slow_bus import SlowBus, breathe
from users_server.core import tap
from users_server.core.channels import ChannelRule, ChannelRules
from users_server.core.messages import (
    DEFAULT_APP,
    ClientInfo,
    Gap,
    HistoryRule,
    Notice,
    PresenceChange,
    Publication,
    StreamPosition,
)
from users_server.core.tap import TAP_CHANNEL, TAP_NOTICE

RULES = ChannelRules([ChannelRule("kept", history=HistoryRule(10, 60.0))])


class Keeper:
    """An encoder that keeps what it is given."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []

    def encode(self, publication: Publication) -> bytes | None:
        self.publications.append(publication)
        return None

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        return None

    def encode_gap(self, gap: Gap) -> bytes | None:
        return None


@pytest.mark.gen_test
async def test_everything_of_the_app_and_nothing_of_another() -> None:
    async with Bench(rules=RULES) as bench:
        keeper = Keeper()
        watcher = bench.client("watcher", encoder=keeper)
        heard: list[str] = []
        bench.node.observe_occupancy(lambda app, channel, is_occupied: heard.append(channel))
        await bench.node.watch_app(watcher.connection)
        by = ClientInfo("c", "ann", "u1")
        top = await bench.node.publish(DEFAULT_APP, "kept", "a", {"x": 1}, by=by)
        await bench.node.publish(DEFAULT_APP, "news", "b", [1], to_user="somebody")
        await bench.node.publish("another", "news", "c", {})
        bench.tick()
        assert keeper.publications == [
            Publication(DEFAULT_APP, "kept", "a", {"x": 1}, by, top),
            Publication(DEFAULT_APP, "news", "b", [1]),
        ]
        assert heard == []
        bench.node.disconnect(watcher.connection)
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_copies_keep_the_order_of_publishing_although_answers_take_their_time() -> None:
    bus = SlowBus()
    async with Bench(lambda clock: (bus, bus), rules=RULES) as bench:
        keeper = Keeper()
        watcher = Client(bench.node, "watcher", encoder=keeper).connect()
        watching = asyncio.ensure_future(bench.node.watch_app(watcher.connection))
        bench.node.handle_notice(Notice(TAP_NOTICE, {"app": DEFAULT_APP}))
        await bus.settle()
        await watching
        outcomes = [asyncio.ensure_future(bench.node.publish(DEFAULT_APP, "kept", event, {})) for event in "abc"]
        await breathe()
        for fails in (False, True, False):
            bus.carry_out(fails=fails)
        for index in (2, 1, 0):
            bus.answer(index)
            await breathe()
        await bus.settle()
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert results[0] == StreamPosition(1, "e1")
        assert [(p.event, p.position) for p in keeper.publications] == [("a", results[0]), ("c", results[2])]
        bench.node.disconnect(watcher.connection)
        await bus.settle()
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_when_nobody_says_so_any_more_an_app_is_not_watched() -> None:
    async with Bench() as bench:
        bench.node.handle_notice(Notice(TAP_NOTICE, {"app": DEFAULT_APP}))
        bench.clock.seconds += tap.LAST_SECONDS + 1
        await bench.node.publish(DEFAULT_APP, "news", "a", {})
        assert bench.node._tap.watched == {}


@pytest.mark.gen_test
async def test_the_notice_is_renewed_while_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "RENEW_SECONDS", 0.0)
    async with Bench() as bench:
        watcher = bench.client("watcher")
        await bench.node.watch_app(watcher.connection)
        renewed = asyncio.Event()
        bench.node.on_notice(TAP_NOTICE, lambda data: renewed.set())
        await renewed.wait()
        bench.node.disconnect(watcher.connection)
        await breathe()
        assert len(bench.node._tasks) == 0


@pytest.mark.gen_test
async def test_a_watcher_may_be_a_subscriber_too() -> None:
    async with Bench() as bench:
        watcher = bench.client("watcher")
        await bench.node.watch_app(watcher.connection)
        await watcher.subscribe("news")
        await bench.node.publish(DEFAULT_APP, "news", "a", {})
        bench.tick()
        assert sorted(watcher.lines) == ["<news>", "a", "a"]
        assert TAP_CHANNEL in watcher.connection.subscriptions
