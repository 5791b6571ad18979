"""An import that changes nothing: it fills a scratch store, and looks into the real one for what is in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from users_server.core.accounts import OneTimeKey, Session, User
from users_server.core.files import Bucket, Refusal, StorageStats, StoredFile
from users_server.core.messages import JSON
from users_server.errors import Conflict
from users_server.services.importing.target import ImportTarget


class Rehearsal:
    """
    An :class:`~.target.ImportTarget`.

    So a dry run takes the same way as the import, and finds what is in conflict with the target and within the source
    alike, without holding the source in memory.

    Args:
        real: Is only read.
        scratch: An empty store, which is thrown away afterwards.
    """

    def __init__(self, real: ImportTarget, scratch: ImportTarget) -> None:
        self._real = real
        self._scratch = scratch

    async def create_user(self, user: User) -> None:
        for name in (user.username, user.email):
            if await self._real.find_user(name) is not None:
                raise Conflict
        await self._scratch.create_user(user)

    async def find_user(self, name: str) -> User | None:
        return await self._real.find_user(name) or await self._scratch.find_user(name)

    async def get_user(self, user_id: str) -> User | None:
        return await self._real.get_user(user_id) or await self._scratch.get_user(user_id)

    async def put_key(self, key: OneTimeKey) -> None:
        await self._scratch.put_key(key)

    async def create_session(self, session: Session) -> None:
        await self._scratch.create_session(session)

    async def find_session(self, token_hash: str, *, now: int) -> Session | None:
        found = await self._real.find_session(token_hash, now=now)
        return found or await self._scratch.find_session(token_hash, now=now)

    async def create_stats(self, stats: StorageStats) -> bool:
        return await self._scratch.create_stats(stats)

    async def change_stats(
        self,
        user_id: str,
        *,
        calls_used: int | None = None,
        calls_allocated: int | None = None,
        memory_used: int | None = None,
        memory_allocated: int | None = None,
    ) -> bool:
        return True

    async def create_bucket(self, bucket: Bucket) -> None:
        for name in (bucket.name, bucket.identifier):
            if await self._real.find_bucket(bucket.user_id, name) is not None:
                raise Conflict
        await self._scratch.create_bucket(bucket)

    async def find_bucket(self, user_id: str, name: str) -> Bucket | None:
        return await self._real.find_bucket(user_id, name) or await self._scratch.find_bucket(user_id, name)

    async def find_file(self, identifier: str) -> StoredFile | None:
        return await self._real.find_file(identifier) or await self._scratch.find_file(identifier)

    async def begin_upload(self, file: StoredFile, *, expires_at: int) -> None:
        await self._scratch.begin_upload(file, expires_at=expires_at)

    async def commit_upload(self, file: StoredFile, *, is_import: bool = False) -> Refusal | None:
        """What the file needs may be in the real store alone; the scratch store only remembers that it came."""
        await self._scratch.create_stats(StorageStats(file.user_id, file.user_id, file.username))
        if await self._scratch.find_bucket(file.user_id, file.bucket_name) is None:
            bucket = await self._real.find_bucket(file.user_id, file.bucket_name)
            if bucket is not None:
                await self._scratch.create_bucket(bucket)
        return await self._scratch.commit_upload(file, is_import=is_import)

    async def abandon_upload(self, file_id: str, *, expires_at: int) -> bool:
        return await self._scratch.abandon_upload(file_id, expires_at=expires_at)

    async def forget_file(self, file_id: str) -> None:
        await self._scratch.forget_file(file_id)

    async def put_import(self, name: str, state: Mapping[str, JSON]) -> None:
        """Nothing: the import itself begins where the last import ended."""


class RehearsalStorage:
    """A :class:`~.target.ContentTarget` that reads the contents, so that what cannot be read is found, and no more."""

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        async for _ in chunks:
            pass

    async def delete(self, key: str) -> None:
        """Nothing was kept."""
