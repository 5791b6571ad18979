"""The MongoDB store's owed web hook calls: what a process left that died in the middle, and an older database."""

from __future__ import annotations

from typing import Any

import pymongo
import pytest

from tests.contract.databases import MongoDatabase, opened
from tests.contract.outbox_records import APP, NODE, claim, claim_one, deliver_all, ids_of, make_delivery, owe
from tests.contract.records import NOW
from users_server.core.outbox import Announce, OutboxNode, QueueOutcome

pytestmark = pytest.mark.gen_test(timeout=60)


def forget_queues(database: MongoDatabase) -> None:
    """As if the process had died before it told them."""
    with pymongo.MongoClient[dict[str, Any]](database.url, serverSelectionTimeoutMS=5000) as client:
        client.get_default_database()["outbox_queues"].delete_many({})


class TestDeathInTheMiddle:
    async def test_deliveries_whose_queue_was_not_told_are_found_when_their_node_is_forgotten(
        self, mongodb_database: MongoDatabase
    ) -> None:
        async with opened(mongodb_database) as store:
            await store.renew_outbox_node(OutboxNode(NODE, "", NOW))
            ids = await owe(store, *(make_delivery(f"room{number % 3}") for number in range(30)))
            forget_queues(mongodb_database)
            assert await claim(store) == []
            assert await store.forget_outbox_node(NODE, alive_until=NOW) is True
            assert sorted(await deliver_all(store)) == ids
            assert await store.due_apps(now=NOW) == []

    async def test_the_next_delivery_of_the_queue_brings_them_too(self, mongodb_database: MongoDatabase) -> None:
        async with opened(mongodb_database) as store:
            first = await owe(store, make_delivery())
            forget_queues(mongodb_database)
            second = await owe(store, make_delivery())
            assert ids_of(await claim_one(store)) == first + second

    async def test_so_does_a_repeated_call(self, mongodb_database: MongoDatabase) -> None:
        async with opened(mongodb_database) as store:
            step = Announce(make_delivery(), None, NODE)
            await store.write_outbox([step])
            forget_queues(mongodb_database)
            await store.write_outbox([step])
            assert len(ids_of(await claim_one(store))) == 1

    async def test_a_queue_in_which_nothing_is_left_is_removed(self, mongodb_database: MongoDatabase) -> None:
        async with opened(mongodb_database) as store:
            step = Announce(make_delivery(), None, NODE)
            await store.write_outbox([step])
            claimed = await claim_one(store)
            # It is told of a delivery that is in the claim already, as by a writer that was slower than the worker.
            await store.write_outbox([step])
            await store.settle_queues([QueueOutcome(claimed, tuple(ids_of(claimed)), due_at=NOW)])
            assert await store.due_apps(now=NOW) == [APP]
            assert await claim(store) == []
            assert await store.due_apps(now=NOW) == []


class TestOlderDatabase:
    async def test_the_database_of_a_release_without_web_hooks_is_brought_up_to_date(
        self, mongodb_database: MongoDatabase
    ) -> None:
        async with opened(mongodb_database):
            pass
        with pymongo.MongoClient[dict[str, Any]](mongodb_database.url, serverSelectionTimeoutMS=5000) as client:
            database = client.get_default_database()
            for name in ("outbox_deliveries", "outbox_queues", "idempotency_keys", "counters"):
                database.drop_collection(name)
        mongodb_database.set_schema_version(mongodb_database.latest_schema - 1)
        for _ in range(2):  # a step does no harm when it is repeated
            async with opened(mongodb_database) as store:
                ids = await owe(store, make_delivery())
                assert await deliver_all(store) == ids
            mongodb_database.set_schema_version(mongodb_database.latest_schema - 1)
