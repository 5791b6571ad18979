"""What :mod:`users_server.core.content_stores` promises of stats and buckets, on every store."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.contract.content_records import OWNER, make_bucket, make_stats, prepare, save
from tests.contract.databases import Database, opened
from tests.contract.records import LATER, NOW, make_user
from users_server.core.interfaces import Store
from users_server.errors import Conflict

pytestmark = pytest.mark.gen_test(timeout=30)


class TestStats:
    async def test_they_come_back_as_they_were_written(self, database: Database) -> None:
        stats = make_stats(calls_allocated=2**40, memory_allocated=2**45, calls_used=3, memory_used=2**41)
        async with opened(database) as store:
            assert await store.create_stats(stats)
            assert await store.get_stats(OWNER) == stats
            assert await store.get_stats("0" * 24) is None

    async def test_an_account_has_one(self, database: Database) -> None:
        first = make_stats(calls_used=7)
        async with opened(database) as store:
            made = await asyncio.gather(*(store.create_stats(stats) for stats in (first, make_stats(), make_stats())))
            assert sorted(made) == [False, False, True]

    async def test_numbers_are_set_one_by_one(self, database: Database) -> None:
        async with opened(database) as store:
            stats = make_stats()
            await store.create_stats(stats)
            assert await store.change_stats(OWNER, calls_used=5)
            assert await store.change_stats(OWNER, memory_allocated=2**40, memory_used=0)
            expected = dataclasses.replace(stats, calls_used=5, memory_allocated=2**40)
            assert await store.get_stats(OWNER) == expected
            assert not await store.change_stats("0" * 24, calls_used=1)

    async def test_calls_are_counted_up_to_the_limit_and_no_further(self, database: Database) -> None:
        async with opened(database) as store:
            await store.create_stats(make_stats(calls_allocated=7))
            counted = await asyncio.gather(*(store.count_call(OWNER) for _ in range(20)))
            assert sum(counted) == 7
            assert await used(store) == (7, 0)
            assert not await store.count_call("0" * 24)

    async def test_calls_are_given_back_but_never_below_zero(self, database: Database) -> None:
        async with opened(database) as store:
            await store.create_stats(make_stats(calls_used=1, calls_allocated=1))
            await store.add_calls(OWNER, 3)
            assert await used(store) == (4, 0)
            await store.add_calls(OWNER, -9)
            assert await used(store) == (0, 0)

    async def test_removal(self, database: Database) -> None:
        async with opened(database) as store:
            await store.create_stats(make_stats())
            for _ in range(2):
                await store.delete_stats(OWNER)
            assert await store.get_stats(OWNER) is None

    async def test_accounts_that_are_gone_are_found(self, database: Database) -> None:
        user = make_user()
        async with opened(database) as store:
            await store.create_user(user)
            await store.create_stats(make_stats(user.id))
            assert await store.find_ownerless(limit=10) == []
            for owner in ("1" * 24, "2" * 24, "3" * 24):
                await store.create_stats(make_stats(owner))
            assert len(await store.find_ownerless(limit=2)) == 2
            assert sorted(await store.find_ownerless(limit=10)) == ["1" * 24, "2" * 24, "3" * 24]


class TestBuckets:
    async def test_a_bucket_comes_back_as_it_was_written(self, database: Database) -> None:
        bucket = make_bucket("A name_-", meta={"a.b": [1, None, {"$c": "ß"}]})
        async with opened(database) as store:
            await store.create_bucket(bucket)
            assert await store.find_bucket(OWNER, "A name_-") == bucket
            assert await store.find_bucket(OWNER, bucket.identifier) == bucket
            assert await store.find_bucket(OWNER, "a name_-") is None
            assert await store.find_bucket("0" * 24, "A name_-") is None

    async def test_a_user_has_a_name_once(self, database: Database) -> None:
        async with opened(database) as store:
            results = await asyncio.gather(
                *(store.create_bucket(make_bucket("one")) for _ in range(5)), return_exceptions=True
            )
            assert sum(isinstance(result, Conflict) for result in results) == 4
            await store.create_bucket(make_bucket("one", user_id="0" * 24))

    async def test_lists_and_search(self, database: Database) -> None:
        async with opened(database) as store:
            for name in ("Alpha", "beta", "al-pha", "100%", "a_b"):
                await store.create_bucket(make_bucket(name))
            await store.create_bucket(make_bucket("Alpha", user_id="0" * 24))
            page = await store.list_buckets(OWNER, index=1, limit=2)
            assert ([bucket.name for bucket in page.items], page.count) == (["beta", "al-pha"], 5)
            for search, found in {"ALPHA": ["Alpha"], "%": ["100%"], "_": ["a_b"], ".": [], "": 5}.items():
                page = await store.list_buckets(OWNER, search=search, limit=10)
                assert page.count == (found if isinstance(found, int) else len(found))
                assert found == page.count or [bucket.name for bucket in page.items] == found

    async def test_its_memory_is_that_of_its_files(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            await store.change_stats(OWNER, memory_allocated=2**40)
            await save(store, bucket, size=2**33)
            second = await save(store, bucket, size=5)
            found = await store.find_bucket(OWNER, bucket.name)
            assert found is not None
            assert found.memory_used == 2**33 + 5
            await store.remove_file(second.id, expires_at=LATER)
            page = await store.list_buckets(OWNER)
            assert [listed.memory_used for listed in page.items] == [2**33]

    async def test_removal_is_one_callers(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            removed = await asyncio.gather(*(store.remove_bucket(bucket.id, expires_at=LATER) for _ in range(5)))
            assert [found for found in removed if found is not None] == [bucket]
            assert await store.find_bucket(OWNER, bucket.name) is None
            assert (await store.list_buckets(OWNER)).count == 0
            await store.create_bucket(make_bucket(bucket.name))
            for _ in range(2):
                await store.forget_bucket(bucket.id)
            assert await store.take_removed_buckets(now=LATER, expires_at=LATER, limit=10) == []

    async def test_a_removal_that_was_left_off_is_taken_over_once(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            await store.remove_bucket(bucket.id, expires_at=NOW + 10)
            assert await store.take_removed_buckets(now=NOW + 9, expires_at=LATER, limit=10) == []
            taken = [
                found
                for _ in range(2)
                for found in await store.take_removed_buckets(now=NOW + 10, expires_at=LATER, limit=10)
            ]
            assert taken == [bucket]

    async def test_forgetting_needs_a_removal(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            await store.forget_bucket(bucket.id)
            assert await store.find_bucket(OWNER, bucket.name) == bucket


async def used(store: Store) -> tuple[int, int]:
    """Calls and memory of the owner."""
    stats = await store.get_stats(OWNER)
    assert stats is not None
    return stats.calls_used, stats.memory_used
