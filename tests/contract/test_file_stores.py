"""What :class:`~users_server.core.content_stores.FileStore` promises, on every store."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.contract.content_records import OWNER, make_file, make_stats, prepare, save
from tests.contract.databases import Database, opened
from tests.contract.records import LATER, NOW
from users_server.core.files import Refusal
from users_server.core.interfaces import Store

pytestmark = pytest.mark.gen_test(timeout=30)

META = {"a.b": 1, "$x": [None, "ß", 2**60], "": {}}


class TestUploads:
    async def test_a_file_comes_back_as_it_was_committed(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            begun = make_file(bucket, size=0, digest="")
            await store.begin_upload(begun, expires_at=LATER)
            assert await store.find_file(begun.identifier) is None
            assert (await store.list_files(bucket.id)).count == 0
            file = dataclasses.replace(begun, size=123, digest="d" * 64, meta=META, mime_type="image/png")
            assert await store.commit_upload(file) is None
            assert await store.find_file(file.identifier) == file
            assert await store.find_file(file.id) is None
            assert (await store.list_files(bucket.id)).items == [file]
            assert await used(store) == (1, 123)

    async def test_a_commit_that_is_over_the_memory_changes_nothing(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store, memory_allocated=10)
            await save(store, bucket, size=10)
            file = make_file(bucket, size=1)
            await store.begin_upload(file, expires_at=LATER)
            assert await store.commit_upload(file) is Refusal.MEMORY
            assert await used(store) == (1, 10)
            assert await store.find_file(file.identifier) is None

    async def test_a_commit_without_a_call_left_changes_nothing(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store, calls_allocated=1)
            await save(store, bucket, size=0)
            file = make_file(bucket)
            await store.begin_upload(file, expires_at=LATER)
            assert await store.commit_upload(file) is Refusal.CALLS
            assert await used(store) == (1, 0)

    async def test_no_number_of_commits_gets_over_the_quota(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store, memory_allocated=75)
            files = [make_file(bucket, size=10) for _ in range(20)]
            for file in files:
                await store.begin_upload(file, expires_at=LATER)
            results = await asyncio.gather(*(store.commit_upload(file) for file in files))
            assert results.count(None) == 7
            assert results.count(Refusal.MEMORY) == 13
            assert await used(store) == (7, 70)
            assert (await store.list_files(bucket.id, limit=50)).count == 7

    async def test_a_file_is_committed_once(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = await save(store, bucket)
            assert await store.commit_upload(file) is Refusal.GONE
            assert await store.commit_upload(make_file(bucket)) is Refusal.GONE
            assert await used(store) == (1, 10)

    async def test_nothing_is_saved_in_a_bucket_that_is_gone(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = make_file(bucket)
            await store.begin_upload(file, expires_at=LATER)
            await store.remove_bucket(bucket.id, expires_at=LATER)
            assert await store.commit_upload(file) is Refusal.GONE
            assert await used(store) == (0, 0)

    async def test_nothing_is_saved_under_a_parent_that_is_gone(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            parent = await save(store, bucket)
            child = await save(store, bucket, parent_file=parent.identifier)
            late = make_file(bucket, parent_file=parent.identifier)
            await store.begin_upload(late, expires_at=LATER)
            assert list(await store.list_children(parent.identifier, limit=5)) == [child]
            await store.remove_file(parent.id, expires_at=LATER)
            assert await store.commit_upload(late) is Refusal.GONE
            assert list(await store.list_children("", limit=5)) == []

    async def test_nothing_is_saved_for_an_account_without_stats(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = make_file(bucket)
            await store.begin_upload(file, expires_at=LATER)
            await store.delete_stats(OWNER)
            assert await store.commit_upload(file) is Refusal.GONE

    async def test_an_abandoned_upload_cannot_be_committed(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = make_file(bucket)
            await store.begin_upload(file, expires_at=LATER)
            assert await store.abandon_upload(file.id, expires_at=LATER)
            assert not await store.abandon_upload(file.id, expires_at=LATER)
            assert await store.commit_upload(file) is Refusal.GONE
            await store.forget_file(file.id)
            assert await used(store) == (0, 0)
            saved = await save(store, bucket)
            assert not await store.abandon_upload(saved.id, expires_at=LATER)


class TestSweeping:
    async def test_what_was_left_off_is_taken_once_and_cannot_be_committed(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            saved = await save(store, bucket)
            dead, alive = make_file(bucket), make_file(bucket)
            for file in (dead, alive):
                await store.begin_upload(file, expires_at=NOW + 10)
            await store.extend_uploads([alive.id, saved.id, "0" * 24], expires_at=LATER)
            assert list(await store.take_unfinished_files(now=NOW + 9, expires_at=LATER, limit=10)) == []
            takers = (store.take_unfinished_files(now=NOW + 10, expires_at=LATER, limit=10) for _ in range(3))
            taken = [file.id for found in await asyncio.gather(*takers) for file in found]
            assert taken == [dead.id]
            assert await store.commit_upload(dead) is Refusal.GONE
            assert await store.commit_upload(alive) is None
            await store.forget_file(dead.id)
            assert list(await store.take_unfinished_files(now=LATER, expires_at=LATER, limit=10)) == []
            assert await used(store) == (2, 20)

    async def test_a_removal_that_was_left_off_is_taken_and_counted_once(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = await save(store, bucket)
            assert await store.remove_file(file.id, expires_at=NOW + 10) == file
            assert await used(store) == (2, 0)
            taken = await store.take_unfinished_files(now=NOW + 10, expires_at=NOW + 20, limit=10)
            assert [found.id for found in taken] == [file.id]
            again = await store.take_unfinished_files(now=NOW + 20, expires_at=LATER, limit=10)
            assert [found.id for found in again] == [file.id]
            for _ in range(2):
                await store.forget_file(file.id)
            assert await used(store) == (2, 0)

    async def test_as_many_as_were_asked_for(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            for _ in range(3):
                await store.begin_upload(make_file(bucket), expires_at=NOW)
            assert list(await store.take_unfinished_files(now=NOW, expires_at=LATER, limit=0)) == []
            assert len(await store.take_unfinished_files(now=NOW, expires_at=LATER, limit=2)) == 2


class TestSavedFiles:
    async def test_lists_and_search(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            for name in ("Holiday.PNG", "straße.txt", "100%", "a_b", "holiday.txt"):
                await save(store, bucket, name=name)
            page = await store.list_files(bucket.id, index=1, limit=2)
            assert ([file.name for file in page.items], page.count) == (["straße.txt", "100%"], 5)
            found = {"HOLIDAY": 2, "STRASSE": 1, "%": 1, "_": 1, ".*": 0, "": 5}
            for search, count in found.items():
                assert (await store.list_files(bucket.id, search=search)).count == count, search
            assert (await store.list_files(bucket.id, limit=0)).items == []

    async def test_names_and_publicity(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = await save(store, bucket)
            renamed = await store.rename_file(file.id, "Neu")
            assert renamed == dataclasses.replace(file, name="Neu")
            assert (await store.list_files(bucket.id, search="neu")).count == 1
            hidden = await store.publish_file(file.id, is_public=False)
            assert hidden == dataclasses.replace(file, name="Neu", is_public=False)
            assert await store.rename_file("0" * 24, "x") is None
            assert await store.publish_file("0" * 24, is_public=True) is None

    async def test_downloads_are_counted(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = await save(store, bucket)
            await asyncio.gather(*(store.count_download(file.id) for _ in range(5)))
            await store.count_download("0" * 24)
            found = await store.find_file(file.identifier)
            assert found is not None
            assert found.downloads == 5

    async def test_a_removal_is_one_callers_and_counted_once(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store, calls_allocated=2)
            file = await save(store, bucket, size=7)
            await save(store, bucket, size=5)
            removed = await asyncio.gather(*(store.remove_file(file.id, expires_at=LATER) for _ in range(5)))
            assert [found for found in removed if found is not None] == [file]
            assert await store.find_file(file.identifier) is None
            assert await used(store) == (3, 5), "removals are counted although no call was left"
            await store.forget_file(file.id)
            assert await used(store) == (3, 5)

    async def test_forgetting_needs_a_removal(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = await save(store, bucket)
            await store.forget_file(file.id)
            assert await store.find_file(file.identifier) == file

    async def test_an_empty_file_is_counted_as_any_other(self, database: Database) -> None:
        async with opened(database) as store:
            bucket = await prepare(store)
            file = await save(store, bucket, size=0)
            assert await used(store) == (1, 0)
            await store.remove_file(file.id, expires_at=LATER)
            await store.forget_file(file.id)
            assert await used(store) == (2, 0)

    async def test_two_nodes_share_one_quota(self, database: Database) -> None:
        if not database.has_atomic_changes:
            pytest.skip("this server does not change documents atomically")
        async with opened(database) as one, opened(database) as two:
            bucket = await prepare(one, memory_allocated=75)
            files = [make_file(bucket, size=10) for _ in range(20)]
            for file in files:
                await one.begin_upload(file, expires_at=LATER)
            commits = [store.commit_upload(file) for store, file in zip([one, two] * 10, files, strict=True)]
            results = await asyncio.gather(*commits)
            assert results.count(None) == 7
            assert await used(two) == (7, 70)

    async def test_other_accounts_are_not_touched(self, database: Database) -> None:
        async with opened(database) as store:
            other = make_stats("1" * 24, calls_used=1)
            await store.create_stats(other)
            bucket = await prepare(store)
            file = await save(store, bucket)
            await store.remove_file(file.id, expires_at=LATER)
            assert await store.get_stats(other.user_id) == other


async def used(store: Store) -> tuple[int, int]:
    """Calls and memory of the owner."""
    stats = await store.get_stats(OWNER)
    assert stats is not None
    return stats.calls_used, stats.memory_used
