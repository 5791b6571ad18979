"""Subscribing over a slow bus, step by step: what comes meanwhile, what fails, and that nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.core.doubles import Bench, Client, assert_nothing_is_left
from tests.unit.core.slow_bus import SlowBus, breathe
from users_server.core.acceptance import Accepted
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules, Publishers
from users_server.core.messages import (
    DEFAULT_APP,
    HistoryRule,
    Member,
    Publication,
    StreamPosition,
)
from users_server.errors import (
    BrokerUnavailable,
    Conflict,
    LimitExceeded,
)

HISTORY = HistoryRule(10, 60.0)
RULES = ChannelRules([ChannelRule("kept*", history=HISTORY), ChannelRule("official", publishers=Publishers.SERVER)])


@asynccontextmanager
async def slow_bench(**options: Any) -> AsyncIterator[tuple[Bench, SlowBus]]:
    """A node on a bus that the test moves; at the end everybody leaves, and nothing may be left."""
    bus = SlowBus()
    async with Bench(lambda clock: (bus, bus), rules=RULES, lease_seconds=0.0, **options) as bench:
        yield bench, bus
        await bus.settle()
        for connection in bench.hub.connections():
            bench.node.disconnect(connection)
        await bus.settle()
        assert_nothing_is_left(bench.node)


def later(outcome: Awaitable[None]) -> asyncio.Task[None]:
    async def wait() -> None:
        await outcome

    return asyncio.ensure_future(wait())


@pytest.mark.gen_test
async def test_what_the_history_holds_already_is_not_delivered_again_when_it_comes() -> None:
    async with slow_bench() as (bench, bus):
        client = bench.client("ann")
        joining = later(client.subscribe("kept", since=StreamPosition(0, "e1")))
        await breathe()
        bus.carry_out()  # the bus subscription
        bus.answer()
        await breathe()
        bus.do_publish(Publication(DEFAULT_APP, "kept", "a", {}), HISTORY)
        bus.carry_out()  # the history
        bus.answer()
        await joining
        bus.do_publish(Publication(DEFAULT_APP, "kept", "b", {}), HISTORY)
        await bus.settle()
        bench.tick()
        assert client.lines == ["<kept1>", "a", "b"]


@pytest.mark.gen_test
async def test_what_comes_between_the_history_and_the_own_join_is_recovered() -> None:
    async with slow_bench() as (bench, bus):
        client = bench.client("ann")
        joining = later(client.subscribe("kept", since=StreamPosition(0, "e1"), is_member=True))
        await breathe()
        for _ in range(3):  # the bus subscription, who is there, the history
            bus.carry_out()
            bus.answer()
            await breathe()
        bus.do_publish(Publication(DEFAULT_APP, "kept", "a", {}), HISTORY)
        bus.do_join("kept", Member("bob", "bob"))
        await bus.settle()
        await joining
        assert client.lines == ["<kept1>", "a"]
        assert client.greetings[0].is_recovered is True
        assert [member.connection_id for member in client.greetings[0].members] == ["bob", "ann"]


@pytest.mark.gen_test
async def test_too_much_while_joining_ends_the_subscription() -> None:
    async with slow_bench(limits=ChannelLimits(joining_publications=2)) as (bench, bus):
        client = bench.client("ann")
        joining = later(client.subscribe("kept", since=StreamPosition(0, "e1")))
        await breathe()
        bus.carry_out()
        bus.answer()
        await breathe()
        for _ in range(3):
            bus.do_publish(Publication(DEFAULT_APP, "kept", "a", {}), HISTORY)
            bus.deliver("kept")
        assert client.connection.joined == {}
        await bus.settle()
        with pytest.raises(LimitExceeded):
            await joining
        assert client.lines == []


@pytest.mark.gen_test
async def test_a_channel_that_nobody_heard_of_for_a_while_begins_anew() -> None:
    async with slow_bench() as (bench, bus):
        client = bench.client("ann")
        for _ in range(2):
            joining = later(client.subscribe("news"))
            await bus.settle()
            await joining
            leaving = later(bench.node.unsubscribe(client.connection, "news"))
            joining = later(client.subscribe("news"))  # while the bus still gives up the former one
            await bus.settle()
            await asyncio.gather(leaving, joining)
            assert bus.channel("news").is_brought
            await bench.node.unsubscribe(client.connection, "news")
            await bus.settle()
            assert not bus.channel("news").is_brought


@pytest.mark.gen_test
async def test_a_bus_subscription_that_failed_is_tried_again_by_who_comes_next() -> None:
    async with slow_bench() as (bench, bus):
        first, second = bench.client("first"), bench.client("second")
        failing = later(first.subscribe("news"))
        await breathe()
        bus.carry_out(fails=True)
        bus.answer()
        # in the same tick, when nobody who waited has noticed yet
        trying = later(second.subscribe("news"))
        await breathe()
        with pytest.raises(BrokerUnavailable):
            await failing
        await bus.settle()
        await trying
        assert second.lines == ["<news>"]
        assert bus.channel("news").is_brought


@pytest.mark.gen_test
async def test_disconnecting_at_each_step_of_joining_leaves_nothing() -> None:
    for steps in range(6):
        async with slow_bench() as (bench, bus):
            client = bench.client("ann")
            joining = later(client.subscribe("kept", since=StreamPosition(0, "e1"), is_member=True))
            for _ in range(steps):
                await breathe()
                if bus.calls:
                    bus.carry_out()
                    bus.answer()
            bench.node.disconnect(client.connection)
            await bus.settle()
            with pytest.raises(Conflict):
                await joining
            assert bus.channel("kept").members == {}
            assert not bus.channel("kept").is_brought
            assert client.lines == []


@pytest.mark.gen_test
async def test_disconnecting_at_each_step_of_being_listed_quietly_leaves_nothing() -> None:
    for steps in range(5):
        async with slow_bench() as (bench, bus):
            client = bench.client("ann")
            joining = later(client.subscribe("kept", is_member=True, hears_presence=False))
            for _ in range(steps):
                await breathe()
                if bus.calls:
                    bus.carry_out()
                    bus.answer()
            bench.node.disconnect(client.connection)
            await bus.settle()
            (failure,) = await asyncio.gather(joining, return_exceptions=True)
            assert failure is None or isinstance(failure, Conflict)
            assert bus.channel("kept").members == {}
            assert not bus.channel("kept").is_brought


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.gen_test
async def test_a_quiet_join_whose_outcome_is_unknown_is_taken_back(is_done: bool) -> None:
    async with slow_bench() as (bench, bus):
        client = bench.client("ann")
        joining = later(client.subscribe("news", is_member=True, hears_presence=False))
        await breathe()
        bus.carry_out()
        bus.answer()
        await breathe()
        bus.carry_out(answer_is_lost=is_done, fails=not is_done)
        assert bool(bus.channel("news").members) == is_done
        await bus.settle()
        with pytest.raises(BrokerUnavailable):
            await joining
        assert client.lines == []
        assert bus.channel("news").members == {}


@pytest.mark.gen_test
async def test_a_join_whose_answer_is_lost_but_which_came_is_one() -> None:
    async with slow_bench() as (bench, bus):
        client = bench.client("ann")
        joining = later(client.subscribe("news", is_member=True))
        await breathe()
        for _ in range(2):
            bus.carry_out()
            bus.answer()
            await breathe()
        bus.carry_out(answer_is_lost=True)
        bus.deliver("news")
        bus.answer()
        await joining
        assert client.connection.subscriptions == ("news",)
        assert list(bus.channel("news").members) == ["ann"]


@pytest.mark.gen_test
async def test_the_join_of_a_former_subscription_is_not_taken_for_the_new_one() -> None:
    async with slow_bench() as (bench, bus):
        other, client = bench.client("other"), bench.client("ann")
        joining = later(other.subscribe("news", is_member=True))
        await bus.settle()
        await joining
        first = later(client.subscribe("news", is_member=True))
        await breathe()
        leaving = later(bench.node.unsubscribe(client.connection, "news"))
        second = later(client.subscribe("news", is_member=True))
        await breathe()
        bus.carry_out()
        bus.carry_out()
        bus.carry_out(fails=True)  # it joined, left, and could not join again
        await bus.settle()
        with pytest.raises(Conflict):
            await first
        await leaving
        with pytest.raises(BrokerUnavailable):
            await second
        assert client.lines == []
        assert list(bus.channel("news").members) == ["other"]


@pytest.mark.gen_test
async def test_a_gap_while_joining_means_that_not_all_is_recovered() -> None:
    async with slow_bench() as (bench, bus):
        client = bench.client("ann")
        joining = later(client.subscribe("kept", since=StreamPosition(0, "e1"), is_member=True))
        await breathe()
        for _ in range(3):
            bus.carry_out()
            bus.answer()
            await breathe()
        bus.do_publish(Publication(DEFAULT_APP, "kept", "a", {}), HISTORY)
        bus.cut("kept", is_told=True)
        await bus.settle()
        await joining
        assert client.greetings[0].is_recovered is False
        assert client.lines == ["<kept1>"]


@pytest.mark.gen_test
async def test_the_second_who_comes_reads_nothing() -> None:
    async with slow_bench() as (bench, bus):
        first, second = (Client(bench.node, name).connect() for name in "ab")
        joining = later(first.subscribe("kept"))
        await bus.settle()
        await joining
        bus.do_publish(Publication(DEFAULT_APP, "kept", "x", {}), HISTORY)
        bus.deliver("kept")
        assert isinstance(second.subscribe("kept"), Accepted)
        bench.tick()
        assert second.lines == ["<kept1>"]
