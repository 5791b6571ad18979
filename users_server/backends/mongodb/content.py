"""Buckets, files and their accounting: the store's methods for them."""

from __future__ import annotations

from collections.abc import Sequence

from users_server.backends.mongodb import buckets, files, storage_stats
from users_server.backends.mongodb.client import Client
from users_server.core.accounts import Page
from users_server.core.files import Bucket, Refusal, StorageStats, StoredFile


class MongoContent:
    """A :class:`~users_server.core.content_stores.ContentStore`; a part of the whole store."""

    _client: Client

    async def create_stats(self, stats: StorageStats) -> bool:
        return await self._client.run(storage_stats.create, stats)

    async def get_stats(self, user_id: str) -> StorageStats | None:
        return await self._client.run(storage_stats.get, user_id)

    async def change_stats(
        self,
        user_id: str,
        *,
        calls_used: int | None = None,
        calls_allocated: int | None = None,
        memory_used: int | None = None,
        memory_allocated: int | None = None,
    ) -> bool:
        values = {
            "calls_used": calls_used,
            "calls_allocated": calls_allocated,
            "memory_used": memory_used,
            "memory_allocated": memory_allocated,
        }
        return await self._client.run_in_turn(_account(user_id), storage_stats.change, user_id, values)

    async def count_call(self, user_id: str) -> bool:
        return await self._client.run_in_turn(_account(user_id), storage_stats.count_call, user_id)

    async def add_calls(self, user_id: str, calls: int) -> None:
        await self._client.run_in_turn(_account(user_id), storage_stats.add, user_id, calls=calls, memory=0)

    async def delete_stats(self, user_id: str) -> None:
        await self._client.run_in_turn(_account(user_id), storage_stats.delete, user_id)

    async def find_ownerless(self, *, limit: int) -> Sequence[str]:
        return await self._client.run(storage_stats.ownerless, limit=limit)

    async def create_bucket(self, bucket: Bucket) -> None:
        await self._client.run(buckets.create, bucket)

    async def find_bucket(self, user_id: str, name: str) -> Bucket | None:
        return await self._client.run(buckets.find, user_id, name)

    async def list_buckets(self, user_id: str, *, search: str = "", index: int = 0, limit: int = 20) -> Page[Bucket]:
        return await self._client.run(buckets.page, user_id, search=search, index=index, limit=limit)

    async def remove_bucket(self, bucket_id: str, *, expires_at: int) -> Bucket | None:
        return await self._client.run_in_turn(bucket_id, buckets.remove, bucket_id, expires_at=expires_at)

    async def forget_bucket(self, bucket_id: str) -> None:
        await self._client.run_in_turn(bucket_id, buckets.forget, bucket_id)

    async def take_removed_buckets(self, *, now: int, expires_at: int, limit: int) -> Sequence[Bucket]:
        found = await self._client.run(buckets.left_off, now=now, limit=limit)
        return [
            bucket
            for bucket, was_until in found
            if await self._client.run_in_turn(bucket.id, buckets.take, bucket.id, was_until, expires_at=expires_at)
        ]

    async def begin_upload(self, file: StoredFile, *, expires_at: int) -> None:
        await self._client.run(files.begin, file, expires_at=expires_at)

    async def extend_uploads(self, file_ids: Sequence[str], *, expires_at: int) -> None:
        for file_id in file_ids:
            await self._client.run_in_turn(file_id, files.extend, file_id, expires_at=expires_at)

    async def commit_upload(self, file: StoredFile, *, is_import: bool = False) -> Refusal | None:
        """In steps, of which each can be found half done: the account's mark, the file's state, the mark again."""
        if not await self._has_place(file):
            return Refusal.GONE
        refusal = await self._client.run_in_turn(_account(file.user_id), files.reserve, file, is_import=is_import)
        if refusal is not None:
            return refusal
        is_saved = await self._client.run_in_turn(file.id, files.save, file)
        if is_saved and not await self._has_place(file):
            # its bucket was removed between the two looks, and whoever did it may not have seen this file
            await self._client.run_in_turn(file.id, files.withdraw, file.id, expires_at=1)
            is_saved = False
        if not is_saved:
            await self._client.run_in_turn(_account(file.user_id), files.release, file)
            return Refusal.GONE
        await self._client.run_in_turn(_account(file.user_id), files.unmark, file.user_id, file.id)
        return None

    async def abandon_upload(self, file_id: str, *, expires_at: int) -> bool:
        return await self._client.run_in_turn(file_id, files.abandon, file_id, expires_at=expires_at)

    async def find_file(self, identifier: str) -> StoredFile | None:
        return await self._client.run(files.find, identifier)

    async def list_files(
        self, bucket_id: str, *, search: str = "", index: int = 0, limit: int = 20
    ) -> Page[StoredFile]:
        return await self._client.run(files.page, bucket_id, search=search, index=index, limit=limit)

    async def list_children(self, parent_file: str, *, limit: int) -> Sequence[StoredFile]:
        return await self._client.run(files.children, parent_file, limit=limit)

    async def rename_file(self, file_id: str, name: str) -> StoredFile | None:
        return await self._client.run_in_turn(file_id, files.rename, file_id, name)

    async def publish_file(self, file_id: str, *, is_public: bool) -> StoredFile | None:
        return await self._client.run_in_turn(file_id, files.publish, file_id, is_public=is_public)

    async def count_download(self, file_id: str) -> None:
        await self._client.run_in_turn(file_id, files.count_download, file_id)

    async def remove_file(self, file_id: str, *, expires_at: int) -> StoredFile | None:
        file = await self._client.run_in_turn(file_id, files.remove, file_id, expires_at=expires_at)
        if file is not None:
            await self._client.run_in_turn(_account(file.user_id), files.settle, file, was_saved=True)
        return file

    async def forget_file(self, file_id: str) -> None:
        found = await self._client.run(files.removed, file_id)
        if found is None:
            return
        file, was_saved = found
        await self._client.run_in_turn(_account(file.user_id), files.settle, file, was_saved=was_saved)
        await self._client.run_in_turn(file_id, files.delete, file_id)
        await self._client.run_in_turn(_account(file.user_id), files.unmark, file.user_id, file_id)

    async def take_unfinished_files(self, *, now: int, expires_at: int, limit: int) -> Sequence[StoredFile]:
        found = await self._client.run(files.left_off, now=now, limit=limit)
        return [
            file
            for file, was_until in found
            if await self._client.run_in_turn(file.id, files.take, file.id, was_until, expires_at=expires_at)
        ]

    async def _has_place(self, file: StoredFile) -> bool:
        """Whether its bucket and its parent file are there."""
        if not await self._client.run(buckets.is_there, file.bucket_id):
            return False
        return not file.parent_file or await self._client.run(files.find, file.parent_file) is not None


def _account(user_id: str) -> str:
    """Whose turn it is at an account's storage; another one than at the account itself."""
    return f"storage:{user_id}"
