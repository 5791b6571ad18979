"""Subscribing, step by step: what the client is greeted with, what is refused, and that nothing stays."""

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
    ClientInfo,
    Gap,
    HistoryRule,
    Member,
    Publication,
    StreamPosition,
)
from users_server.core.subscriptions import Subscribed
from users_server.errors import (
    BrokerUnavailable,
    Conflict,
    InvalidValue,
    LimitExceeded,
    PermissionDenied,
    UsersServerError,
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
async def test_over_memory_a_subscription_needs_no_wait() -> None:
    async with Bench(rules=RULES) as bench:
        client = bench.client("ann")
        assert isinstance(client.subscribe("news"), Accepted)
        await bench.node.publish(DEFAULT_APP, "news", "a", {})
        bench.tick()
        assert client.lines == ["<news>", "a"]
        assert client.connection.subscriptions == ("news",)
        await bench.node.unsubscribe(client.connection, "news")
        await bench.node.unsubscribe(client.connection, "news")
        await bench.node.publish(DEFAULT_APP, "news", "b", {})
        bench.tick()
        assert client.lines == ["<news>", "a"]
        bench.node.disconnect(client.connection)
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_who_comes_back_gets_what_he_missed_but_not_what_is_for_others() -> None:
    async with Bench(rules=RULES) as bench:
        await bench.node.publish(DEFAULT_APP, "kept", "a", {})
        since = (await bench.node.history(DEFAULT_APP, "kept")).top
        await bench.node.publish(DEFAULT_APP, "kept", "b", {})
        await bench.node.publish(DEFAULT_APP, "kept", "for bob", {}, to_user="bob")
        await bench.node.publish(DEFAULT_APP, "kept", "for ann", {}, to_user="ann")
        await bench.node.publish(DEFAULT_APP, "kept", "not for her", {}, except_connection="c1")
        ann = bench.client("c1", user_id="ann")
        await ann.subscribe("kept", since=since)
        await bench.node.publish(DEFAULT_APP, "kept", "c", {})
        bench.tick()
        assert ann.lines == ["<kept5>", "b", "for ann", "c"]
        assert ann.greetings[0].is_recovered is True
        assert bench.statistics.recoveries == {"recovered": 1}


@pytest.mark.parametrize(
    "since", [StreamPosition(1, "another"), StreamPosition(99, ""), StreamPosition(-1, "")], ids=["epoch", "new", "old"]
)
@pytest.mark.gen_test
async def test_a_position_that_is_none_is_not_recovered_and_brings_nothing(since: StreamPosition) -> None:
    async with Bench(rules=RULES) as bench:
        await bench.node.publish(DEFAULT_APP, "kept", "a", {})
        top = (await bench.node.history(DEFAULT_APP, "kept")).top
        client = bench.client("ann")
        await client.subscribe("kept", since=StreamPosition(since.offset, since.epoch or top.epoch))
        assert client.greetings == [Subscribed("kept", top, False, (), ())]
        assert bench.statistics.recoveries == {"lost": 1}


@pytest.mark.parametrize(("limit", "is_recovered"), [(4, False), (5, True), (0, True)])
@pytest.mark.gen_test
async def test_more_than_may_be_recovered_is_not_recovered(limit: int, is_recovered: bool) -> None:
    async with Bench(rules=RULES, limits=ChannelLimits(recovered_publications=limit)) as bench:
        since = (await bench.node.history(DEFAULT_APP, "kept")).top
        for _ in range(5):
            await bench.node.publish(DEFAULT_APP, "kept", "a", {})
        client = bench.client("ann")
        await client.subscribe("kept", since=since)
        assert client.greetings[0].is_recovered is is_recovered
        assert len(client.greetings[0].recovered) == (5 if is_recovered else 0)


@pytest.mark.gen_test
async def test_without_history_there_is_nothing_to_recover() -> None:
    async with Bench(rules=RULES) as bench:
        client = bench.client("ann")
        await client.subscribe("news", since=StreamPosition(1, "e"))
        assert client.greetings == [Subscribed("news", None, False)]


@pytest.mark.gen_test
async def test_members_are_told_in_the_order_of_their_coming_and_users_once() -> None:
    async with Bench(rules=RULES) as bench:
        phone, laptop = (bench.client(name, user_id="ann") for name in ("phone", "laptop"))
        bob, watcher = bench.client("bob", user_id="bob"), bench.client("watcher")
        await watcher.subscribe("room")
        for client in (phone, laptop, bob):
            await client.subscribe("room", is_member=True)
        bench.node.disconnect(phone.connection)
        bench.tick()
        await bench.node.unsubscribe(laptop.connection, "room")
        bench.tick()
        assert [member.connection_id for member in bob.greetings[0].members] == ["phone", "laptop", "bob"]
        assert bob.lines == ["<room>", "-phone", "-Ulaptop"]
        assert laptop.lines == ["<room>", "+Ubob", "-phone"]
        assert watcher.lines == ["<room>"]
        state = await bench.node.members(DEFAULT_APP, "room")
        assert state.members == (Member("bob", "bob"),)


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("users", PermissionDenied),
        ("echo", PermissionDenied),
        ("", InvalidValue),
        (" tap", InvalidValue),
        (" news", InvalidValue),
        ("x" * 201, InvalidValue),
        ("\ud800", InvalidValue),
        ("taken", Conflict),
        ("third", LimitExceeded),
    ],
)
@pytest.mark.gen_test
async def test_refusals(channel: str, error: type[UsersServerError]) -> None:
    async with Bench(limits=ChannelLimits(per_connection=1 + (channel == "taken"))) as bench:
        client = bench.client("ann")
        await client.subscribe("taken")
        with pytest.raises(error):
            await client.subscribe(channel)
        assert client.connection.subscriptions == ("taken",)


@pytest.mark.gen_test
async def test_system_channels_of_other_apps_are_channels_as_all() -> None:
    async with Bench() as bench:
        client = bench.client("ann", app="another")
        await client.subscribe("users")
        await bench.node.publish(DEFAULT_APP, "users", "Login", {})
        await bench.node.publish("another", "users", "theirs", {})
        bench.tick()
        assert client.lines == ["<users>", "theirs"]


@pytest.mark.gen_test
async def test_a_connection_that_is_gone_cannot_subscribe() -> None:
    async with Bench() as bench:
        client = bench.client("ann")
        bench.node.disconnect(client.connection)
        with pytest.raises(Conflict):
            await client.subscribe("news")
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_a_channel_has_room_for_so_many_members() -> None:
    async with Bench(limits=ChannelLimits(members=1)) as bench:
        ann, bob = bench.client("ann"), bench.client("bob")
        await ann.subscribe("room", is_member=True)
        with pytest.raises(LimitExceeded):
            await bob.subscribe("room", is_member=True)
        bench.tick()
        assert bob.lines == []
        assert ann.lines == ["<room>"]
        for client in (ann, bob):
            bench.node.disconnect(client.connection)
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_who_may_publish() -> None:
    async with Bench(rules=RULES) as bench:
        client = bench.client("ann")
        with pytest.raises(PermissionDenied):
            await bench.node.publish(DEFAULT_APP, "official", "a", {}, by=client.connection.client_info)
        await bench.node.publish(DEFAULT_APP, "official", "a", {})
        with pytest.raises(InvalidValue):
            await bench.node.publish(DEFAULT_APP, " tap", "a", {}, by=ClientInfo("c"))


@pytest.mark.gen_test
async def test_a_greeting_that_fails_ends_the_subscription() -> None:
    def fail(subscribed: Subscribed) -> bytes:
        raise ZeroDivisionError

    async with Bench() as bench:
        client = bench.client("ann")
        for member in (None, client.member):
            with pytest.raises(ZeroDivisionError):
                await bench.node.subscribe(client.connection, "news", fail, member=member)
        assert client.connection.subscriptions == ()
        assert (await bench.node.members(DEFAULT_APP, "news")).members == ()
        bench.node.disconnect(client.connection)
        assert_nothing_is_left(bench.node)


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
async def test_a_gap_is_told_to_live_subscribers() -> None:
    async with Bench(rules=RULES) as bench:
        client = bench.client("ann")
        await client.subscribe("kept")
        bench.node.handle_gap(Gap(DEFAULT_APP, "kept", StreamPosition(7, "e")))
        bench.tick()
        assert client.lines == ["<kept0>", "gap"]


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
