"""The SQLite store's owed web hook calls: several processes, one that is killed, an older file, and the costs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections import Counter

import pytest

from tests.contract.databases import SQLiteDatabase, opened
from tests.contract.outbox_records import APP, NODE, claim_one, deliver_all, ids_of, make_delivery, owe, waiting
from tests.contract.processes import output, running
from tests.contract.records import NOW, make_user
from users_server.backends.sqlite import outbox_queues
from users_server.backends.sqlite.connections import open_writer
from users_server.backends.sqlite.migrations import LATEST
from users_server.core.outbox import QueueOutcome

PRELUDE = """
import asyncio, itertools, json, os, sys
from users_server.backends.sqlite import SQLiteStore
from users_server.core.outbox import Announce, Delivery, QueueOutcome
"""

WORKS = """
async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    made = []
    now = int(sys.argv[2])
    while claims := await store.claim_queues("shop", now=now, until=now + 10_000, max_queues=2, max_deliveries=3):
        for claim in claims:
            made.append([claim.queue, [delivery.id for delivery in claim.deliveries]])
        await store.settle_queues(
            [QueueOutcome(claim, tuple(each.id for each in claim.deliveries), due_at=now) for claim in claims]
        )
    await store.close()
    print(json.dumps(made))
"""

ANNOUNCES_FOREVER = """
async def announce(store, prefix):
    for number in itertools.count():
        name = f"{prefix}{number}"
        delivery, will = (Delivery(f"{name}.{kind}", "shop", prefix, "{}", 1) for kind in ("now", "end"))
        await store.write_outbox([Announce(delivery, will, "node-1")])
        os.write(1, f"{name}\\n".encode())  # acknowledged

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    await asyncio.gather(*(announce(store, prefix) for prefix in "abcd"))
"""


class TestProcesses:
    @pytest.mark.gen_test(timeout=60)
    async def test_each_delivery_is_made_by_one_process_in_its_order(self, sqlite_database: SQLiteDatabase) -> None:
        deliveries = [make_delivery(f"room{number % 40}") for number in range(400)]
        async with opened(sqlite_database) as store:
            await owe(store, *deliveries)
            with contextlib.ExitStack() as stack:
                processes = [stack.enter_context(running(PRELUDE + WORKS, sqlite_database.path, NOW)) for _ in range(2)]
                for process in processes:
                    assert process.stdout is not None
                    assert process.stdout.readline() == "ready\n"
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write("go\n")
                    process.stdin.flush()
                made = [part for process in processes for part in json.loads(output(process))]
            assert Counter(each for _, ids in made for each in ids) == Counter(each.id for each in deliveries)
            for _, ids in made:
                assert ids == sorted(ids)
            assert await store.due_apps(now=NOW) == []

    @pytest.mark.gen_test(timeout=60)
    async def test_a_killed_process_loses_no_announcement_and_leaves_none_in_halves(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        with running(PRELUDE + ANNOUNCES_FOREVER, sqlite_database.path) as process:
            assert process.stdout is not None
            names = [process.stdout.readline() for _ in range(200)]
            process.kill()
            names += process.stdout.readlines()
        acknowledged = {name.removesuffix("\n") for name in names}
        async with opened(sqlite_database) as store:
            announced = {each.removesuffix(".now") for each in await waiting(store)}
            assert acknowledged <= announced
            assert len(announced) <= len(acknowledged) + 4
            assert [node.id for node in await store.list_outbox_nodes()] == [NODE]
            assert await store.execute_wills(NODE, at=NOW, limit=10_000) == len(announced)
            made = await deliver_all(store)
            assert set(made) == {f"{name}.{kind}" for name in announced for kind in ("now", "end")}
            assert all(made.index(f"{name}.now") < made.index(f"{name}.end") for name in announced)


class TestOlderFile:
    @pytest.mark.gen_test(timeout=30)
    async def test_the_file_of_a_release_without_web_hooks_is_brought_up_to_date(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        user = make_user()
        async with opened(sqlite_database) as store:
            await store.create_user(user)
        with contextlib.closing(sqlite3.connect(sqlite_database.path)) as connection:
            for table in ("outbox_deliveries", "outbox_queues", "outbox_wills", "outbox_nodes", "idempotency_keys"):
                connection.execute(f"DROP TABLE {table}")
        sqlite_database.set_schema_version(LATEST - 1)
        async with opened(sqlite_database) as store:
            assert await store.get_user(user.id) == user
            ids = await owe(store, make_delivery())
            assert ids_of(await claim_one(store)) == ids


class TestCosts:
    """In instructions of SQLite's machine, with much and with little of others' in the database."""

    @pytest.mark.gen_test(timeout=60)
    async def test_an_app_with_very_many_queues_costs_others_nothing(self, sqlite_database: SQLiteDatabase) -> None:
        costs: list[tuple[int, int, int]] = []
        for queues in (10, 10_000):
            async with opened(sqlite_database) as store:
                dead = [make_delivery(f"room{number}", app="dead") for number in range(queues)]
                await owe(store, *dead)
                while claims := await store.claim_queues(
                    "dead", now=NOW, until=NOW + 1, max_queues=500, max_deliveries=1
                ):
                    await store.settle_queues(
                        [
                            QueueOutcome(
                                each, failed=dataclasses.replace(each.deliveries[0], attempts=1), due_at=NOW + 10**6
                            )
                            for each in claims
                        ]
                    )
                await owe(store, *(make_delivery(f"room{number}") for number in range(20)))
            meter = Meter(sqlite_database)
            with contextlib.closing(meter.connection) as connection:
                meter.take()
                assert outbox_queues.due_apps(connection, now=NOW, after="", limit=10) == [APP]
                asking = meter.take()
                claims = outbox_queues.claim(connection, APP, now=NOW, until=NOW + 1, max_queues=20, max_deliveries=9)
                claiming = meter.take()
                assert len(claims) == 20
                outbox_queues.settle(connection, [QueueOutcome(each, tuple(ids_of(each))) for each in claims])
                costs.append((asking, claiming, meter.take()))
        for little, much in zip(*costs, strict=True):
            assert much <= 1.2 * little + 20


class Meter:
    """A connection that counts the instructions of SQLite's machine, in tens."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self.connection = open_writer(str(database.path), 5.0)
        self.connection.set_progress_handler(self._tick, 10)
        self._count = 0

    def take(self) -> int:
        """How many since the last call."""
        count, self._count = self._count, 0
        return count

    def _tick(self) -> int:
        self._count += 1
        return 0  # go on
