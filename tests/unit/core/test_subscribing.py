"""Subscribing: what the client is greeted with, what is refused, and who is there."""

from __future__ import annotations

import pytest

from tests.unit.core.doubles import Bench, assert_nothing_is_left
from users_server.core.acceptance import Accepted
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules, Publishers
from users_server.core.messages import (
    DEFAULT_APP,
    ClientInfo,
    Gap,
    HistoryRule,
    Member,
    StreamPosition,
)
from users_server.core.subscriptions import Subscribed
from users_server.errors import (
    Conflict,
    InvalidValue,
    LimitExceeded,
    PermissionDenied,
    UsersServerError,
)

HISTORY = HistoryRule(10, 60.0)
RULES = ChannelRules([ChannelRule("kept*", history=HISTORY), ChannelRule("official", publishers=Publishers.SERVER)])


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


@pytest.mark.gen_test
async def test_a_member_may_be_listed_without_being_told_of_the_others() -> None:
    async with Bench(rules=RULES) as bench:
        ann, quiet, bob = (bench.client(name, user_id=name) for name in ("ann", "quiet", "bob"))
        await ann.subscribe("room", is_member=True)
        await quiet.subscribe("room", is_member=True, hears_presence=False)
        await bob.subscribe("room", is_member=True)
        await bench.node.publish(DEFAULT_APP, "room", "a", {})
        bench.node.disconnect(bob.connection)
        bench.tick()
        assert quiet.greetings == [Subscribed("room")]
        assert quiet.lines == ["<room>", "a"]
        assert [member.connection_id for member in bob.greetings[0].members] == ["ann", "quiet", "bob"]
        await bench.node.unsubscribe(quiet.connection, "room")
        await quiet.subscribe("room", is_member=True, hears_presence=False)
        bench.node.disconnect(quiet.connection)
        bench.tick()
        assert ann.lines == ["<room>", "+Uquiet", "+Ubob", "a", "-Ubob", "-Uquiet", "+Uquiet", "-Uquiet"]
        bench.node.disconnect(ann.connection)
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_who_is_listed_quietly_needs_room_as_all_members() -> None:
    async with Bench(limits=ChannelLimits(members=1)) as bench:
        ann, bob = bench.client("ann"), bench.client("bob")
        await ann.subscribe("room", is_member=True, hears_presence=False)
        with pytest.raises(LimitExceeded):
            await bob.subscribe("room", is_member=True, hears_presence=False)
        assert bob.connection.subscriptions == ()
        assert (await bench.node.members(DEFAULT_APP, "room")).members == (ann.member,)
        for client in (ann, bob):
            bench.node.disconnect(client.connection)
        assert (await bench.node.members(DEFAULT_APP, "room")).members == ()
        assert_nothing_is_left(bench.node)


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
async def test_a_gap_is_told_to_live_subscribers() -> None:
    async with Bench(rules=RULES) as bench:
        client = bench.client("ann")
        await client.subscribe("kept")
        bench.node.handle_gap(Gap(DEFAULT_APP, "kept", StreamPosition(7, "e")))
        bench.tick()
        assert client.lines == ["<kept0>", "gap"]
