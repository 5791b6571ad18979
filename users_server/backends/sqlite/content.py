"""Buckets, files and their accounting: the store's methods for them."""

from __future__ import annotations

from collections.abc import Sequence

from users_server.backends.sqlite import buckets, files, storage_stats
from users_server.backends.sqlite.database import Database
from users_server.core.accounts import Page
from users_server.core.files import Bucket, Refusal, StorageStats, StoredFile


class SQLiteContent:
    """A :class:`~users_server.core.content_stores.ContentStore`; a part of the whole store."""

    _database: Database

    async def create_stats(self, stats: StorageStats) -> bool:
        return await self._database.write(storage_stats.create, stats)

    async def get_stats(self, user_id: str) -> StorageStats | None:
        return await self._database.read(storage_stats.get, user_id)

    async def change_stats(
        self,
        user_id: str,
        *,
        calls_used: int | None = None,
        calls_allocated: int | None = None,
        memory_used: int | None = None,
        memory_allocated: int | None = None,
    ) -> bool:
        return await self._database.write(
            storage_stats.change,
            user_id,
            calls_used=calls_used,
            calls_allocated=calls_allocated,
            memory_used=memory_used,
            memory_allocated=memory_allocated,
        )

    async def count_call(self, user_id: str) -> bool:
        return await self._database.write(storage_stats.count_call, user_id)

    async def add_calls(self, user_id: str, calls: int) -> None:
        await self._database.write(storage_stats.add, user_id, calls=calls, memory=0)

    async def delete_stats(self, user_id: str) -> None:
        await self._database.write(storage_stats.delete, user_id)

    async def find_ownerless(self, *, limit: int) -> Sequence[str]:
        return await self._database.read(storage_stats.ownerless, limit=limit)

    async def create_bucket(self, bucket: Bucket) -> None:
        await self._database.write(buckets.create, bucket)

    async def find_bucket(self, user_id: str, name: str) -> Bucket | None:
        return await self._database.read(buckets.find, user_id, name)

    async def list_buckets(self, user_id: str, *, search: str = "", index: int = 0, limit: int = 20) -> Page[Bucket]:
        return await self._database.read(buckets.page, user_id, search=search, index=index, limit=limit)

    async def remove_bucket(self, bucket_id: str, *, expires_at: int) -> Bucket | None:
        return await self._database.write(buckets.remove, bucket_id, expires_at=expires_at)

    async def forget_bucket(self, bucket_id: str) -> None:
        await self._database.write(buckets.forget, bucket_id)

    async def take_removed_buckets(self, *, now: int, expires_at: int, limit: int) -> Sequence[Bucket]:
        return await self._database.write(buckets.take_removed, now=now, expires_at=expires_at, limit=limit)

    async def begin_upload(self, file: StoredFile, *, expires_at: int) -> None:
        await self._database.write(files.begin, file, expires_at=expires_at)

    async def extend_uploads(self, file_ids: Sequence[str], *, expires_at: int) -> None:
        await self._database.write(files.extend, file_ids, expires_at=expires_at)

    async def commit_upload(self, file: StoredFile, *, is_import: bool = False) -> Refusal | None:
        return await self._database.write(files.commit, file, is_import=is_import)

    async def abandon_upload(self, file_id: str, *, expires_at: int) -> bool:
        return await self._database.write(files.abandon, file_id, expires_at=expires_at)

    async def find_file(self, identifier: str) -> StoredFile | None:
        return await self._database.read(files.find, identifier)

    async def list_files(
        self, bucket_id: str, *, search: str = "", index: int = 0, limit: int = 20
    ) -> Page[StoredFile]:
        return await self._database.read(files.page, bucket_id, search=search, index=index, limit=limit)

    async def list_children(self, parent_file: str, *, limit: int) -> Sequence[StoredFile]:
        return await self._database.read(files.children, parent_file, limit=limit)

    async def rename_file(self, file_id: str, name: str) -> StoredFile | None:
        return await self._database.write(files.rename, file_id, name)

    async def publish_file(self, file_id: str, *, is_public: bool) -> StoredFile | None:
        return await self._database.write(files.publish, file_id, is_public=is_public)

    async def count_download(self, file_id: str) -> None:
        await self._database.write(files.count_download, file_id)

    async def remove_file(self, file_id: str, *, expires_at: int) -> StoredFile | None:
        return await self._database.write(files.remove, file_id, expires_at=expires_at)

    async def forget_file(self, file_id: str) -> None:
        await self._database.write(files.forget, file_id)

    async def take_unfinished_files(self, *, now: int, expires_at: int, limit: int) -> Sequence[StoredFile]:
        return await self._database.write(files.take_unfinished, now=now, expires_at=expires_at, limit=limit)
