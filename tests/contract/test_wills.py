"""Wills, nodes and what is taken back: what :class:`~users_server.core.outbox.OutboxStore` promises, on every store."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.contract.databases import Database, opened
from tests.contract.outbox_records import (
    APP,
    LEASE,
    NODE,
    claim,
    claim_one,
    deliver_all,
    ids_of,
    make_delivery,
    owe,
    waiting,
)
from tests.contract.records import NOW
from users_server.core.interfaces import Store
from users_server.core.outbox import UNKNOWN_NODE_MS, Announce, Delivery, Execute, OutboxNode, QueueOutcome, Retract

pytestmark = pytest.mark.gen_test(timeout=60)

LATER = NOW + 50


async def announce(
    store: Store, queue: str = "room", *, node: str = NODE, with_delivery: bool = True
) -> tuple[Delivery | None, Delivery]:
    """A join, if asked for, and the leave as its will."""
    delivery, will = make_delivery(queue) if with_delivery else None, make_delivery(queue)
    await store.write_outbox([Announce(delivery, will, node)])
    return delivery, will


class TestWills:
    async def test_a_will_is_owed_when_it_is_executed(self, database: Database) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            assert await deliver_all(store) == [delivery.id]
            (between,) = await owe(store, make_delivery())
            await store.write_outbox([Execute(will.id, LATER)])
            claimed = await claim_one(store, now=LATER)
            assert ids_of(claimed) == [between, will.id]
            assert claimed.deliveries[1] == dataclasses.replace(will, created_on=LATER)

    async def test_a_will_without_a_delivery_begins_its_queue(self, database: Database) -> None:
        async with opened(database) as store:
            _, will = await announce(store, with_delivery=False)
            assert await store.due_apps(now=LATER) == []
            await store.write_outbox([Execute(will.id, LATER)])
            assert await claim(store, now=LATER - 1) == []
            assert ids_of(await claim_one(store, now=LATER)) == [will.id]

    async def test_announced_and_executed_in_one_call(self, database: Database) -> None:
        async with opened(database) as store:
            first, second = ([make_delivery(), make_delivery()] for _ in range(2))
            steps = [
                Announce(first[0], first[1], NODE),
                Execute(first[1].id, LATER),
                Announce(second[0], second[1], NODE),
                Execute(second[1].id, LATER),
            ]
            await store.write_outbox(steps)
            assert await deliver_all(store, now=LATER) == [each.id for each in (*first, *second)]

    async def test_a_will_is_executed_once_however_often_it_is_asked_for(self, database: Database) -> None:
        async with opened(database) as store:
            _, will = await announce(store, with_delivery=False)
            step = Execute(will.id, LATER)
            await asyncio.gather(*(store.write_outbox([step, step]) for _ in range(10)))
            assert await deliver_all(store, now=LATER) == [will.id]
            await store.write_outbox([step, Execute("unknown", LATER)])
            assert await claim(store, now=LATER) == []

    async def test_an_announcement_that_is_repeated_does_not_bring_a_will_back_that_is_owed(
        self, database: Database
    ) -> None:
        async with opened(database) as store:
            step = Announce(make_delivery(), make_delivery(), NODE)
            assert step.delivery is not None
            assert step.will is not None
            await store.write_outbox([step])
            await store.write_outbox([Execute(step.will.id, NOW)])
            await store.write_outbox([step])
            assert await store.execute_wills(NODE, at=LATER) == 0
            assert await deliver_all(store) == [step.delivery.id, step.will.id]

    async def test_all_wills_of_a_dead_node_are_executed_in_their_order(self, database: Database) -> None:
        async with opened(database) as store:
            wills = [(await announce(store, f"room{number % 2}", with_delivery=False))[1] for number in range(7)]
            _, other = await announce(store, node="node-2", with_delivery=False)
            assert await store.execute_wills(NODE, at=LATER, limit=3) == 3
            assert await waiting(store) == [will.id for will in wills[:3]]
            assert await store.execute_wills(NODE, at=LATER) == 4
            assert await store.execute_wills(NODE, at=LATER) == 0
            assert await waiting(store) == [will.id for will in wills]
            assert await store.execute_wills("node-2", at=LATER) == 1
            assert sorted(await deliver_all(store, now=LATER)) == sorted(will.id for will in (*wills, other))

    async def test_several_that_execute_the_wills_of_one_node_owe_each_once(self, database: Database) -> None:
        if not database.has_atomic_changes:
            pytest.skip("FerretDB 1 is for one node")
        async with opened(database) as store, opened(database) as other:
            wills = [make_delivery(f"room{number % 5}") for number in range(60)]
            await store.write_outbox([Announce(None, will, NODE) for will in wills])
            executed = await asyncio.gather(
                *(node.execute_wills(NODE, at=LATER, limit=20) for node in (store, other) * 5),
                store.write_outbox([Execute(will.id, LATER) for will in wills[::7]]),
            )
            assert sum(count or 0 for count in executed) <= len(wills)
            assert await store.execute_wills(NODE, at=LATER) == 0
            assert sorted(await deliver_all(store, now=LATER)) == [will.id for will in wills]

    async def test_callers_of_one_process_execute_each_will_once(self, database: Database) -> None:
        async with opened(database) as store:
            wills = [make_delivery() for _ in range(40)]
            await store.write_outbox([Announce(None, will, NODE) for will in wills])
            counts = await asyncio.gather(*(store.execute_wills(NODE, at=LATER) for _ in range(4)))
            assert sum(counts) == len(wills)
            assert await deliver_all(store, now=LATER) == [will.id for will in wills]


class TestRetractions:
    async def test_what_nobody_has_heard_of_is_dropped_whole(self, database: Database) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            await store.write_outbox([Retract(delivery.id, will.id, LATER)])
            assert await claim(store, now=LATER) == []
            assert await store.execute_wills(NODE, at=LATER) == 0
            assert await store.due_apps(now=LATER) == []

    async def test_others_of_the_queue_stay(self, database: Database) -> None:
        async with opened(database) as store:
            (first,) = await owe(store, make_delivery())
            delivery, will = await announce(store)
            assert delivery is not None
            (last,) = await owe(store, make_delivery())
            await store.write_outbox([Retract(delivery.id, will.id, LATER)])
            assert await deliver_all(store, now=LATER) == [first, last]

    async def test_without_a_delivery_the_will_is_dropped(self, database: Database) -> None:
        async with opened(database) as store:
            _, will = await announce(store, with_delivery=False)
            await store.write_outbox([Retract(None, will.id, LATER)])
            assert await store.execute_wills(NODE, at=LATER) == 0
            assert await claim(store, now=LATER) == []

    async def test_a_delivery_without_a_will_is_dropped(self, database: Database) -> None:
        async with opened(database) as store:
            (first,) = await owe(store, make_delivery())
            await store.write_outbox([Retract(first, None, LATER), Retract(None, None, LATER)])
            assert await claim(store, now=LATER) == []

    async def test_what_is_claimed_may_have_been_heard_of(self, database: Database) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            claimed = await claim_one(store)
            await store.write_outbox([Retract(delivery.id, will.id, LATER)])
            await store.settle_queues([QueueOutcome(claimed, delivered=(delivery.id,), due_at=NOW)])
            assert await deliver_all(store, now=LATER) == [will.id]

    async def test_so_may_what_a_claim_left_that_ran_out(self, database: Database) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            await claim_one(store)
            await store.write_outbox([Retract(delivery.id, will.id, NOW + LEASE)])
            assert await deliver_all(store, now=NOW + LEASE) == [delivery.id, will.id]

    @pytest.mark.parametrize("is_given_up", [False, True])
    async def test_so_may_what_was_tried(self, database: Database, is_given_up: bool) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            tried = dataclasses.replace(delivery, attempts=1, last_error="timed out")
            dead = (dataclasses.replace(tried, died_on=NOW),) if is_given_up else ()
            outcome = QueueOutcome(await claim_one(store), failed=None if dead else tried, dead=dead, due_at=NOW)
            await store.settle_queues([outcome])
            await store.write_outbox([Retract(delivery.id, will.id, LATER)])
            made = await deliver_all(store, now=LATER)
            assert made == ([] if is_given_up else [delivery.id]) + [will.id]

    async def test_what_was_delivered_was_heard_of(self, database: Database) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            await deliver_all(store)
            step = Retract(delivery.id, will.id, LATER)
            await store.write_outbox([step])
            await store.write_outbox([step])
            assert await deliver_all(store, now=LATER) == [will.id]

    async def test_a_retraction_may_be_repeated(self, database: Database) -> None:
        async with opened(database) as store:
            delivery, will = await announce(store)
            assert delivery is not None
            step = Retract(delivery.id, will.id, LATER)
            await asyncio.gather(*(store.write_outbox([step]) for _ in range(5)))
            assert await claim(store, now=LATER) == []

    async def test_whoever_comes_first_the_leave_goes_with_its_join(self, database: Database) -> None:
        if not database.has_atomic_changes:
            pytest.skip("FerretDB 1 is for one node")
        async with opened(database) as store, opened(database) as other:
            for number in range(30):
                delivery, will = await announce(store, f"room{number}")
                assert delivery is not None
                step = Retract(delivery.id, will.id, NOW)
                claims, _ = await asyncio.gather(claim(other), store.write_outbox([step]))
                heard = [each for claimed in claims for each in ids_of(claimed)]
                outcomes = [QueueOutcome(each, delivered=tuple(ids_of(each)), due_at=NOW) for each in claims]
                await other.settle_queues(outcomes)
                heard += await deliver_all(other)
                assert heard in ([], [delivery.id, will.id])


class TestNodes:
    async def test_nodes_are_known_until_they_are_forgotten(self, database: Database) -> None:
        async with opened(database) as store:
            assert list(await store.list_outbox_nodes()) == []
            nodes = [OutboxNode("a", "boot 1 2 3", NOW), OutboxNode("b", "", NOW)]
            for node in nodes:
                await store.renew_outbox_node(node)
            assert sorted(await store.list_outbox_nodes(), key=lambda node: node.id) == nodes
            await store.renew_outbox_node(OutboxNode("a", "boot 1 2 3", LATER))
            assert await store.forget_outbox_node("a", alive_until=NOW) is False
            assert await store.forget_outbox_node("b", alive_until=NOW) is True
            assert list(await store.list_outbox_nodes()) == [OutboxNode("a", "boot 1 2 3", LATER)]
            assert await store.forget_outbox_node("a", alive_until=LATER) is True
            assert await store.forget_outbox_node("a", alive_until=LATER) is True

    async def test_a_node_with_wills_is_not_forgotten(self, database: Database) -> None:
        async with opened(database) as store:
            await store.renew_outbox_node(OutboxNode(NODE, "", NOW))
            await announce(store)
            assert await store.forget_outbox_node(NODE, alive_until=NOW) is False
            assert await store.execute_wills(NODE, at=LATER) == 1
            assert await store.forget_outbox_node(NODE, alive_until=NOW) is True
            assert len(await waiting(store)) == 2

    async def test_a_will_makes_its_node_known_and_alive_for_a_time(self, database: Database) -> None:
        async with opened(database) as store:
            await announce(store)
            assert list(await store.list_outbox_nodes()) == [OutboxNode(NODE, "", NOW + UNKNOWN_NODE_MS)]
            await store.renew_outbox_node(OutboxNode(NODE, "boot", NOW + 1))
            await announce(store)
            assert list(await store.list_outbox_nodes()) == [OutboxNode(NODE, "boot", NOW + 1)]
            await owe(store, make_delivery(app=APP))

    async def test_no_will_is_without_its_node_although_that_is_forgotten_meanwhile(self, database: Database) -> None:
        async with opened(database) as store:
            for _ in range(20):
                await store.renew_outbox_node(OutboxNode(NODE, "", NOW))
                await asyncio.gather(announce(store), store.forget_outbox_node(NODE, alive_until=NOW))
                assert [node.id for node in await store.list_outbox_nodes()] == [NODE]
                assert await store.execute_wills(NODE, at=LATER) == 1
