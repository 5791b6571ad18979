"""What :class:`~users_server.core.interfaces.PresenceManager` promises, on every one."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.buses import Buses, BusNode, member, publication
from users_server.core.messages import Member, PresenceChange, Publication
from users_server.errors import BrokerUnavailable, LimitExceeded

pytestmark = pytest.mark.gen_test(timeout=30)


def story(node: BusNode) -> list[tuple[str, bool, bool]]:
    """Of each change: whose, whether it is a join, and whether of the user himself."""
    changes = node.handler.of(PresenceChange)
    return [(change.member.connection_id, change.is_join, change.is_of_user) for change in changes]


def refs(node: BusNode) -> list[tuple[str, bool]]:
    """Of each change: the member's ref, and whether it is a join."""
    return [(change.member.ref, change.is_join) for change in node.handler.of(PresenceChange)]


class TestPresence:
    async def test_everybody_is_listed_in_the_order_of_coming(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            members = [member(f"c{number}", f"user {number % 3}", {"n": ["ß", number]}) for number in range(9)]
            for number, each in enumerate(members):
                await (one, other)[number % 2].presence.join("app", "room", each)
            state = await one.presence.state("app", "room")
            assert list(state.members) == members
            assert state == await other.presence.state("app", "room")
            assert (await one.presence.state("app", "other")).members == ()
            assert (await one.presence.state("other", "room")).members == ()

    async def test_a_user_comes_with_his_first_connection_and_goes_with_his_last(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            for node in (one, other):
                await node.broker.subscribe("app", "room")
            await one.presence.join("app", "room", member("a1", "ann"))
            await other.presence.join("app", "room", member("a2", "ann"))
            await one.presence.leave("app", "room", "a1")
            await other.presence.leave("app", "room", "a2")
            for node in (one, other):
                await node.handler.until(lambda node=node: len(node.handler.events) >= 4)  # type: ignore[misc]
                assert story(node) == [
                    ("a1", True, True),
                    ("a2", True, False),
                    ("a1", False, False),
                    ("a2", False, True),
                ]
            assert (await one.presence.state("app", "room")).members == ()

    async def test_versions_count_the_changes(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.subscribe("app", "room")
            before = await node.presence.state("app", "room")
            for name in "abc":
                await node.presence.join("app", "room", member(name))
            await node.presence.leave("app", "room", "b")
            await node.handler.until(lambda: len(node.handler.events) >= 4)
            changes = node.handler.of(PresenceChange)
            state = await node.presence.state("app", "room")
            assert [change.version for change in changes] == list(range(before.version + 1, before.version + 5))
            assert {change.epoch for change in changes} == {before.epoch} == {state.epoch}
            assert state.version == changes[-1].version
            assert [each.connection_id for each in state.members] == ["a", "c"]

    async def test_joining_and_leaving_twice_change_nothing(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.subscribe("app", "room")
            await node.presence.leave("app", "room", "a")
            await asyncio.gather(*(node.presence.join("app", "room", member("a")) for _ in range(3)))
            await asyncio.gather(*(node.presence.leave("app", "room", "a") for _ in range(3)))
            await node.presence.leave("app", "room", "a")
            await node.presence.join("app", "room", member("b"))
            await node.handler.until(lambda: len(node.handler.events) >= 3)
            assert story(node) == [("a", True, True), ("a", False, True), ("b", True, True)]

    async def test_calls_take_effect_in_their_order_although_nothing_is_awaited(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.subscribe("app", "room")
            for _ in range(5):
                node.presence.join("app", "room", member("a"))
                node.presence.leave("app", "room", "a")
            await node.presence.join("app", "room", member("a"))
            await node.handler.until(lambda: len(node.handler.events) >= 11)
            assert [is_join for _, is_join, _ in story(node)] == [True, False] * 5 + [True]
            assert (await node.presence.state("app", "room")).members == (member("a"),)

    async def test_no_more_than_allowed(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            joins = [
                (one, other)[n % 2].presence.join("app", "room", member(f"c{n}"), max_members=5) for n in range(10)
            ]
            outcomes = await asyncio.gather(*(as_future(join) for join in joins), return_exceptions=True)
            assert sum(isinstance(outcome, LimitExceeded) for outcome in outcomes) == 5
            state = await one.presence.state("app", "room")
            assert len(state.members) == 5
            listed = state.members[0]
            node = (one, other)[int(listed.connection_id[1:]) % 2]
            await node.presence.join("app", "room", listed, max_members=5)
            await node.presence.leave("app", "room", listed.connection_id)
            await one.presence.join("app", "room", member("new"), max_members=5)
            with pytest.raises(LimitExceeded):
                await one.presence.join("app", "room", member("newer"), max_members=5)

    async def test_changes_and_publications_have_one_order(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            for node in (one, other):
                await node.broker.subscribe("app", "room")
            for number in range(20):
                await one.presence.join("app", "room", member(f"c{number}"))
                await other.broker.publish(publication(number))
            for node in (one, other):
                await node.handler.until(lambda node=node: len(node.handler.events) >= 40)  # type: ignore[misc]
            assert one.handler.events == other.handler.events
            kinds = [type(event) for event in one.handler.events]
            assert kinds == [PresenceChange, Publication] * 20

    async def test_each_time_of_being_listed_has_its_own_ref(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            for node in (one, other):
                await node.broker.subscribe("app", "room")
            await one.presence.join("app", "room", member("a", "ann", {"n": 1}, "first"))
            await other.presence.join("app", "room", member("b", "bob", None, "of bob"))
            one.presence.leave("app", "room", "a")
            await one.presence.join("app", "room", member("a", "ann", {"n": 1}, "second"))
            for node in (one, other):
                await node.handler.until(lambda node=node: len(node.handler.events) >= 4)  # type: ignore[misc]
                assert refs(node) == [("first", True), ("of bob", True), ("first", False), ("second", True)]
            state = await other.presence.state("app", "room")
            assert state.members == (member("b", "bob", None, "of bob"), member("a", "ann", {"n": 1}, "second"))

    async def test_a_connection_that_joins_as_another_member_leaves_first(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            await other.broker.subscribe("app", "room")
            for ref in ("first", "second", "second"):
                await one.presence.join("app", "room", member("a", "ann", None, ref), max_members=1)
            await one.presence.join("app", "room", member("a", "bob"), max_members=1)
            await one.presence.leave("app", "room", "a")
            await other.handler.until(lambda: len(other.handler.events) >= 6)
            changes = other.handler.of(PresenceChange)
            assert refs(other) == [
                *(("first", True), ("first", False), ("second", True), ("second", False)),
                *(("", True), ("", False)),
            ]
            assert [change.member.user_id for change in changes] == ["ann"] * 4 + ["bob"] * 2
            assert all(change.is_of_user for change in changes)
            assert [change.version for change in changes] == list(range(changes[0].version, changes[0].version + 6))
            assert (await one.presence.state("app", "room")).members == ()

    async def test_many_members(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            members = [Member(f"{number}", f"{number % 100}", {"name": "x" * 50}) for number in range(500)]
            await asyncio.gather(*(as_future(one.presence.join("app", "room", each)) for each in members))
            assert list((await other.presence.state("app", "room")).members) == members
            await asyncio.gather(
                *(as_future(one.presence.leave("app", "room", each.connection_id)) for each in members)
            )
            assert (await other.presence.state("app", "room")).members == ()

    async def test_nothing_works_after_the_stop(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.presence.join("app", "room", member("a"))
            await node.broker.stop()
            with pytest.raises(BrokerUnavailable):
                await node.presence.join("app", "room", member("b"))
            with pytest.raises(BrokerUnavailable):
                await node.presence.state("app", "room")


async def as_future(awaitable: object) -> object:
    """For gather, which would await equal awaitables once."""
    return await awaitable  # type: ignore[misc]
