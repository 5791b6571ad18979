"""What an import needs of the store that it fills; :class:`~users_server.core.interfaces.Store` has it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from users_server.core.accounts import OneTimeKey, Session, User
from users_server.core.files import Bucket, Refusal, StorageStats, StoredFile
from users_server.core.messages import JSON


class ImportTarget(Protocol):
    """The methods have the promises of the store's."""

    async def create_user(self, user: User) -> None: ...

    async def find_user(self, name: str) -> User | None: ...

    async def get_user(self, user_id: str) -> User | None: ...

    async def put_key(self, key: OneTimeKey) -> None: ...

    async def create_session(self, session: Session) -> None: ...

    async def find_session(self, token_hash: str, *, now: int) -> Session | None: ...

    async def create_stats(self, stats: StorageStats) -> bool: ...

    async def change_stats(
        self,
        user_id: str,
        *,
        calls_used: int | None = None,
        calls_allocated: int | None = None,
        memory_used: int | None = None,
        memory_allocated: int | None = None,
    ) -> bool: ...

    async def create_bucket(self, bucket: Bucket) -> None: ...

    async def find_bucket(self, user_id: str, name: str) -> Bucket | None: ...

    async def find_file(self, identifier: str) -> StoredFile | None: ...

    async def begin_upload(self, file: StoredFile, *, expires_at: int) -> None: ...

    async def commit_upload(self, file: StoredFile, *, is_import: bool = False) -> Refusal | None: ...

    async def abandon_upload(self, file_id: str, *, expires_at: int) -> bool: ...

    async def forget_file(self, file_id: str) -> None: ...

    async def put_import(self, name: str, state: Mapping[str, JSON]) -> None: ...


class ContentTarget(Protocol):
    """Where the contents go; :class:`~users_server.core.files.FileStorage` has it."""

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None: ...

    async def delete(self, key: str) -> None: ...
