"""Deliveries and their queues: what :class:`~users_server.core.outbox.OutboxStore` promises, on every store."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter

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
from users_server.core.outbox import Announce, QueueOutcome

pytestmark = pytest.mark.gen_test(timeout=60)


class TestQueues:
    async def test_a_delivery_comes_back_as_it_was_written(self, database: Database) -> None:
        delivery = make_delivery("räum\0 1.$x", body='{"a":"\\u0000é"}')
        async with opened(database) as store:
            await owe(store, delivery)
            claimed = await claim_one(store)
            assert (claimed.app, claimed.queue, claimed.deliveries) == (APP, delivery.queue, (delivery,))
            assert {type(value) for value in dataclasses.astuple(claimed.deliveries[0])} == {str, int}

    async def test_a_queue_keeps_the_order_in_which_it_was_written(self, database: Database) -> None:
        deliveries = [make_delivery(created_on=NOW - number) for number in range(30)]
        async with opened(database) as store:
            for start in range(0, 30, 3):
                await owe(store, *deliveries[start : start + 3])
            expected = [delivery.id for delivery in deliveries]
            assert await waiting(store) == expected
            assert ids_of(await claim_one(store, max_deliveries=7)) == expected[:7]
            assert await deliver_all(store, now=NOW + LEASE) == expected

    async def test_a_queue_goes_to_one_caller(self, database: Database) -> None:
        async with opened(database) as store:
            await owe(store, *(make_delivery(f"room{number % 40}") for number in range(80)))
            found = await asyncio.gather(*(claim(store, max_queues=7) for _ in range(12)))
            queues = Counter(each.queue for claims in found for each in claims)
            assert queues == Counter(f"room{number}" for number in range(40))
            assert len({each.token for claims in found for each in claims}) == 40
            assert await claim(store) == []

    async def test_a_queue_goes_to_one_node(self, database: Database) -> None:
        if not database.has_atomic_changes:
            pytest.skip("FerretDB 1 is for one node")
        async with opened(database) as store, opened(database) as other:
            await owe(store, *(make_delivery(f"room{number}") for number in range(40)))
            found = await asyncio.gather(*(claim(node, max_queues=10) for node in (store, other) * 4))
            queues = Counter(each.queue for claims in found for each in claims)
            assert queues == Counter(f"room{number}" for number in range(40))

    async def test_the_longest_due_comes_first(self, database: Database) -> None:
        async with opened(database) as store:
            for number in (3, 1, 2):
                await owe(store, make_delivery(f"room{number}", created_on=NOW + number))
            claims = await claim(store, now=NOW + 3, max_queues=2)
            assert [each.queue for each in claims] == ["room1", "room2"]
            assert [each.queue for each in await claim(store, now=NOW + 3)] == ["room3"]

    async def test_what_is_written_while_a_queue_is_claimed_waits_for_it(self, database: Database) -> None:
        async with opened(database) as store:
            first = await owe(store, make_delivery())
            claimed = await claim_one(store)
            second = await owe(store, make_delivery())
            assert await claim(store) == []
            await store.settle_queues([QueueOutcome(claimed, delivered=tuple(first), due_at=NOW)])
            assert ids_of(await claim_one(store)) == second

    async def test_a_claim_ends_when_it_has_run_out(self, database: Database) -> None:
        async with opened(database) as store:
            ids = await owe(store, make_delivery(), make_delivery())
            lost = await claim_one(store)
            assert await claim(store, now=NOW + LEASE - 1) == []
            assert await store.due_apps(now=NOW + LEASE - 1) == []
            assert await store.due_apps(now=NOW + LEASE) == [APP]
            present = await claim_one(store, now=NOW + LEASE)
            assert ids_of(present) == ids
            assert present.token != lost.token

    async def test_of_a_lost_claim_only_what_was_delivered_counts(self, database: Database) -> None:
        first, second, third = (make_delivery() for _ in range(3))
        async with opened(database) as store:
            await owe(store, first, second, third)
            lost = await claim_one(store)
            present = await claim_one(store, now=NOW + LEASE)
            failed = dataclasses.replace(second, attempts=9, last_error="late")
            dead = dataclasses.replace(third, died_on=NOW)
            await store.settle_queues([QueueOutcome(lost, (first.id,), failed, (dead,), due_at=NOW)])
            assert (await store.list_deliveries(app=APP)).items == [second, third]
            assert await claim(store, now=NOW + LEASE) == []
            await store.settle_queues([QueueOutcome(present, (first.id, second.id), due_at=NOW + LEASE)])
            assert (await claim_one(store, now=NOW + LEASE)).deliveries == (third,)

    async def test_a_claim_that_ran_out_and_that_nobody_has_can_be_settled(self, database: Database) -> None:
        async with opened(database) as store:
            ids = await owe(store, make_delivery())
            late = await claim_one(store)
            await store.settle_queues([QueueOutcome(late, delivered=tuple(ids))])
            assert await store.due_apps(now=NOW + 10 * LEASE) == []

    async def test_settling_twice_harms_nothing(self, database: Database) -> None:
        async with opened(database) as store:
            first = await owe(store, make_delivery())
            claimed = await claim_one(store)
            outcome = QueueOutcome(claimed, delivered=tuple(first))
            await store.settle_queues([outcome, outcome])
            second = await owe(store, make_delivery())
            present = await claim_one(store)
            await store.settle_queues([outcome])
            assert await claim(store) == []
            assert ids_of(present) == second

    async def test_a_failure_is_kept_until_its_queue_is_due(self, database: Database) -> None:
        first, second = make_delivery(), make_delivery()
        async with opened(database) as store:
            await owe(store, first, second)
            failed = dataclasses.replace(first, attempts=1, last_error="refused")
            await store.settle_queues([QueueOutcome(await claim_one(store), failed=failed, due_at=NOW + 500)])
            third = make_delivery()
            await owe(store, third)
            assert await claim(store, now=NOW + 499) == []
            assert (await claim_one(store, now=NOW + 500)).deliveries == (failed, second, third)

    async def test_hastened_queues_are_due_but_for_claimed_ones(self, database: Database) -> None:
        async with opened(database) as store:
            await owe(store, *(make_delivery(f"room{number}") for number in range(3)), make_delivery(app="other"))
            claims = {each.queue: each for each in (*await claim(store), *await claim(store, "other"))}
            for queue in ("room0", "room1", "room"):
                failed = dataclasses.replace(claims[queue].deliveries[0], attempts=1)
                outcome = QueueOutcome(claims[queue], failed=failed, due_at=NOW + LEASE)
                await store.settle_queues([outcome])
            await store.hasten_queues(APP, now=NOW + 5)
            assert await store.due_apps(now=NOW + 5) == [APP]
            assert {each.queue for each in await claim(store, now=NOW + 5)} == {"room0", "room1"}
            assert await claim(store, "other", now=NOW + 5) == []

    async def test_due_apps_come_in_order_and_in_pages(self, database: Database) -> None:
        async with opened(database) as store:
            assert await store.due_apps(now=NOW) == []
            for name in ("d", "a", "c", "b", "e"):
                created_on = NOW + 1 if name == "c" else NOW
                await owe(store, *(make_delivery(f"{number}", app=name, created_on=created_on) for number in range(3)))
            assert await store.due_apps(now=NOW) == ["a", "b", "d", "e"]
            assert await store.due_apps(now=NOW, limit=2) == ["a", "b"]
            assert await store.due_apps(now=NOW, after="b", limit=2) == ["d", "e"]
            assert await store.due_apps(now=NOW, after="e") == []
            assert await deliver_all(store, "a") != []
            assert await store.due_apps(now=NOW + 1) == ["b", "c", "d", "e"]

    async def test_apps_have_queues_of_their_own(self, database: Database) -> None:
        async with opened(database) as store:
            mine = await owe(store, make_delivery())
            theirs = await owe(store, make_delivery(app="other"))
            assert ids_of(await claim_one(store)) == mine
            assert ids_of(await claim_one(store, "other")) == theirs

    async def test_a_repeated_call_owes_nothing_twice(self, database: Database) -> None:
        async with opened(database) as store:
            steps = [Announce(make_delivery(f"room{number % 2}"), None, NODE) for number in range(6)]
            await store.write_outbox(steps[:3])  # as far as a call came that failed
            for _ in range(2):
                await store.write_outbox(steps)
            expected = [step.delivery.id for step in steps if step.delivery]
            assert await waiting(store) == expected
            assert sorted(await deliver_all(store)) == expected

    async def test_many_writers_of_one_queue_lose_nothing(self, database: Database) -> None:
        deliveries = [[make_delivery() for _ in range(5)] for _ in range(20)]
        async with opened(database) as store:
            await asyncio.gather(*(owe(store, *each) for each in deliveries))
            made = await deliver_all(store)
            assert sorted(made) == [delivery.id for each in deliveries for delivery in each]
            for each in deliveries:
                places = [made.index(delivery.id) for delivery in each]
                assert places == sorted(places)

    async def test_writers_and_workers_at_once_lose_nothing(self, database: Database) -> None:
        made: list[str] = []
        written: list[str] = []
        async with opened(database) as store:

            async def write(number: int) -> None:
                for _ in range(15):
                    written.extend(await owe(store, make_delivery(f"room{number % 3}")))

            async def work() -> None:
                while len(made) < 60:
                    claims = await claim(store, max_queues=1, max_deliveries=2)
                    for each in claims:
                        made.extend(ids_of(each))
                    await store.settle_queues([QueueOutcome(each, tuple(ids_of(each)), due_at=NOW) for each in claims])

            await asyncio.gather(*(write(number) for number in range(4)), work(), work())
            assert Counter(made) == Counter(written)
            assert await store.due_apps(now=NOW + LEASE) == []
            assert (await store.list_deliveries()).count == 0


class TestDeadDeliveries:
    async def test_what_was_given_up_is_not_tried_and_can_be_seen(self, database: Database) -> None:
        first, second = make_delivery(), make_delivery()
        async with opened(database) as store:
            await owe(store, first, second)
            dead = dataclasses.replace(first, attempts=5, last_error="gone", died_on=NOW + 7)
            await store.settle_queues([QueueOutcome(await claim_one(store), dead=(dead,), due_at=NOW + 7)])
            assert (await store.list_deliveries(app=APP, is_dead=True)).items == [dead]
            assert (await store.list_deliveries(app=APP)).items == [second]
            assert (await claim_one(store, now=NOW + 7)).deliveries == (second,)

    async def test_a_queue_whose_last_was_given_up_is_gone(self, database: Database) -> None:
        delivery = make_delivery()
        async with opened(database) as store:
            await owe(store, delivery)
            dead = dataclasses.replace(delivery, died_on=NOW)
            await store.settle_queues([QueueOutcome(await claim_one(store), dead=(dead,))])
            assert await store.due_apps(now=NOW + LEASE) == []

    async def test_replayed_ones_come_behind_what_waits_as_if_they_were_new(self, database: Database) -> None:
        first, second, third = (make_delivery() for _ in range(3))
        async with opened(database) as store:
            await owe(store, first, second)
            dead = [dataclasses.replace(each, attempts=5, last_error="gone", died_on=NOW) for each in (first, second)]
            await store.settle_queues([QueueOutcome(await claim_one(store), dead=tuple(dead))])
            await owe(store, third)
            assert await store.replay_deliveries(APP, None, now=NOW + 9) == 2
            expected = [third, *(dataclasses.replace(each, created_on=NOW + 9) for each in (first, second))]
            assert (await store.list_deliveries(app=APP)).items == expected
            assert (await store.list_deliveries(is_dead=True)).items == []
            assert (await claim_one(store, now=NOW + 9)).deliveries == tuple(expected)

    async def test_some_are_replayed_by_id_and_only_dead_ones_of_the_app(self, database: Database) -> None:
        deliveries = [make_delivery(f"room{number}") for number in range(4)]
        async with opened(database) as store:
            await owe(store, *deliveries)
            outcomes = [
                QueueOutcome(each, dead=(dataclasses.replace(each.deliveries[0], died_on=NOW),))
                for each in await claim(store, max_queues=3)
            ]
            await store.settle_queues(outcomes)
            ids = [delivery.id for delivery in deliveries]
            assert await store.replay_deliveries("other", ids, now=NOW) == 0
            assert await store.replay_deliveries(APP, [ids[1], "unknown", ids[1], ids[3]], now=NOW) == 1
            assert await store.replay_deliveries(APP, None, now=NOW, limit=1) == 1
            assert await waiting(store) == [ids[3], ids[1], ids[0]]
            assert await store.replay_deliveries(APP, None, now=NOW) == 1
            assert await store.replay_deliveries(APP, None, now=NOW) == 0

    async def test_lists_are_paged(self, database: Database) -> None:
        async with opened(database) as store:
            mine = await owe(store, *(make_delivery(f"room{number % 2}") for number in range(5)))
            theirs = await owe(store, make_delivery(app="other"))
            page = await store.list_deliveries(app=APP, index=1, limit=2)
            assert ([delivery.id for delivery in page.items], page.count) == (mine[1:3], 5)
            page = await store.list_deliveries(index=4)
            assert ([delivery.id for delivery in page.items], page.count) == ([mine[4], *theirs], 6)
            page = await store.list_deliveries(index=9, limit=0)
            assert (page.items, page.count) == ([], 6)
            page = await store.list_deliveries(app="nobody")
            assert (page.items, page.count) == ([], 0)

    async def test_too_many_that_wait_are_given_up_the_oldest_first(self, database: Database) -> None:
        async with opened(database) as store:
            mine = await owe(store, *(make_delivery(f"room{number}") for number in range(6)))
            theirs = await owe(store, *(make_delivery(app="other") for _ in range(3)))
            trimmed = await store.trim_deliveries(dead_before=0, most_waiting=4, most_dead=100, now=NOW + 1)
            assert trimmed == (2, 0)
            dead = (await store.list_deliveries(is_dead=True)).items
            assert [(each.id, each.died_on, bool(each.last_error)) for each in dead] == [
                (each, NOW + 1, True) for each in mine[:2]
            ]
            assert await waiting(store, None) == mine[2:] + theirs
            assert {each.queue for each in await claim(store)} == {f"room{number}" for number in range(2, 6)}

    async def test_dead_ones_are_removed_by_age_and_number(self, database: Database) -> None:
        deliveries = [make_delivery(f"room{number}") for number in range(6)]
        async with opened(database) as store:
            await owe(store, *deliveries, make_delivery(app="other"))
            claims = [*await claim(store), *await claim(store, "other")]
            await store.settle_queues(
                [
                    QueueOutcome(
                        each, dead=(dataclasses.replace(each.deliveries[0], died_on=NOW + int(each.queue[4:] or 9)),)
                    )
                    for each in claims
                ]
            )
            trimmed = await store.trim_deliveries(dead_before=NOW + 2, most_waiting=0, most_dead=3, now=NOW + 9)
            assert trimmed == (0, 3)
            left = (await store.list_deliveries(app=APP, is_dead=True)).items
            assert [each.id for each in left] == [each.id for each in deliveries[3:]]
            assert (await store.list_deliveries(app="other", is_dead=True)).count == 1

    async def test_one_call_gives_up_and_removes(self, database: Database) -> None:
        async with opened(database) as store:
            ids = await owe(store, *(make_delivery() for _ in range(10)))
            assert await store.trim_deliveries(dead_before=0, most_waiting=2, most_dead=3, now=NOW) == (8, 5)
            assert await waiting(store) == ids[8:]

    async def test_a_claimed_delivery_that_is_given_up_meanwhile_can_be_settled(self, database: Database) -> None:
        async with opened(database) as store:
            ids = await owe(store, make_delivery(), make_delivery())
            claimed = await claim_one(store)
            assert await store.trim_deliveries(dead_before=0, most_waiting=0, most_dead=9, now=NOW) == (2, 0)
            await store.settle_queues([QueueOutcome(claimed, delivered=(ids[0],))])
            assert [delivery.id for delivery in (await store.list_deliveries(is_dead=True)).items] == ids[1:]
            assert await claim(store, now=NOW + LEASE) == []
            assert await store.due_apps(now=NOW + LEASE) == []

    async def test_everything_of_an_app_is_forgotten(self, database: Database) -> None:
        delivery = make_delivery("dead")
        async with opened(database) as store:
            await owe(store, delivery)
            await store.settle_queues(
                [QueueOutcome(await claim_one(store), dead=(dataclasses.replace(delivery, died_on=NOW),))]
            )
            await store.write_outbox([Announce(make_delivery(), make_delivery(), NODE) for _ in range(600)])
            claimed = await claim_one(store)
            theirs = make_delivery(app="other")
            await store.write_outbox([Announce(theirs, make_delivery(app="other"), NODE)])
            await store.forget_app_deliveries(APP)
            await store.settle_queues([QueueOutcome(claimed, failed=claimed.deliveries[0], due_at=NOW)])
            assert (await store.list_deliveries()).items == [theirs]
            assert (await store.list_deliveries(is_dead=True)).count == 0
            assert await store.due_apps(now=NOW + LEASE) == ["other"]
            assert await store.execute_wills(NODE, at=NOW) == 1
            await store.forget_app_deliveries(APP)
