"""What an import asks of every store."""

from __future__ import annotations

import pytest

from tests.contract.content_records import OWNER, make_bucket, make_file, make_stats
from tests.contract.databases import Database, opened
from tests.contract.records import LATER

pytestmark = pytest.mark.gen_test(timeout=30)


class TestImportStore:
    async def test_a_state_is_kept_for_each_name(self, database: Database) -> None:
        async with opened(database) as store:
            assert await store.get_import("one") is None
            await store.put_import("one", {"collections": {"users": {"after": "a", "read": 2**40}}})
            await store.put_import("two", {})
            await store.put_import("one", {"collections": {"$where": [None, "b.c"]}})
        async with opened(database) as store:
            assert await store.get_import("one") == {"collections": {"$where": [None, "b.c"]}}
            assert await store.get_import("two") == {}

    async def test_an_imported_file_counts_its_size_and_nothing_limits_it(self, database: Database) -> None:
        async with opened(database) as store:
            stats = make_stats(calls_allocated=1, calls_used=1, memory_allocated=2)
            await store.create_stats(stats)
            bucket = make_bucket()
            await store.create_bucket(bucket)
            file = make_file(bucket, size=5)
            await store.begin_upload(file, expires_at=LATER)
            assert await store.commit_upload(file) is not None
            assert await store.commit_upload(file, is_import=True) is None
            found = await store.get_stats(OWNER)
            assert found is not None
            assert (found.calls_used, found.memory_used) == (1, 5)
            assert await store.find_file(file.identifier) == file
