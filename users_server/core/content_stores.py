"""
What the services beside the accounts keep, as :mod:`users_server.core.interfaces` has it for accounts and sessions.

Every method may raise :class:`StoreUnavailable`; then nothing was changed, or it was changed whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from users_server.core.accounts import Page
from users_server.core.files import Bucket, Refusal, StorageStats, StoredFile


class StorageStatsStore(Protocol):
    """What accounts use of the storage. One record for each account."""

    async def create_stats(self, stats: StorageStats) -> bool:
        """Insert. False if the account has stats already; nothing was changed then."""

    async def get_stats(self, user_id: str) -> StorageStats | None:
        """Of an account."""

    async def change_stats(
        self,
        user_id: str,
        *,
        calls_used: int | None = None,
        calls_allocated: int | None = None,
        memory_used: int | None = None,
        memory_allocated: int | None = None,
    ) -> bool:
        """Set what is given. False if the account has no stats."""

    async def count_call(self, user_id: str) -> bool:
        """Count one call if one is left. False if none is, or the account has no stats; nothing was changed then."""

    async def add_calls(self, user_id: str, calls: int) -> None:
        """Count calls whether they are left or not, or with a negative number give them back; never below 0."""

    async def delete_stats(self, user_id: str) -> None:
        """Remove. Idempotent."""

    async def find_ownerless(self, *, limit: int) -> Sequence[str]:
        """The ids of up to ``limit`` accounts that are gone although their stats are there. Slow; for the start."""


class BucketStore(Protocol):
    """Buckets. One that is being removed is found by nothing but :meth:`take_removed_buckets`."""

    async def create_bucket(self, bucket: Bucket) -> None:
        """Insert; durable when this returns. Raises :class:`Conflict` if the user has one of that name."""

    async def find_bucket(self, user_id: str, name: str) -> Bucket | None:
        """By its name, to the letter, or its identifier."""

    async def list_buckets(self, user_id: str, *, search: str = "", index: int = 0, limit: int = 20) -> Page[Bucket]:
        """A user's whose name contains ``search``, literally and without case, oldest first."""

    async def remove_bucket(self, bucket_id: str, *, expires_at: int) -> Bucket | None:
        """
        Begin to remove it: it takes no more files. The bucket for the one caller that did it.

        Whoever did it removes the files and then calls :meth:`forget_bucket`; if that has not happened by
        ``expires_at``, somebody else takes it over.
        """

    async def forget_bucket(self, bucket_id: str) -> None:
        """Remove the rest of it. Idempotent."""

    async def take_removed_buckets(self, *, now: int, expires_at: int, limit: int) -> Sequence[Bucket]:
        """Up to ``limit`` whose removal was left off. They are the caller's until ``expires_at``."""


class FileStore(Protocol):
    """
    Files, and the accounting of their sizes in :class:`StorageStatsStore`.

    A file is *being uploaded*, then *saved*, then *being removed*, then gone. Only saved ones are found and listed. Its
    bytes may be deleted only while it is being removed, and its record is forgotten only after that: so no bytes are
    ever without a record.
    """

    async def begin_upload(self, file: StoredFile, *, expires_at: int) -> None:
        """Record that bytes will be written under ``file.id``; durable when this returns."""

    async def extend_uploads(self, file_ids: Sequence[str], *, expires_at: int) -> None:
        """Those of them that are being uploaded still are, until ``expires_at``."""

    async def commit_upload(self, file: StoredFile, *, is_import: bool = False) -> Refusal | None:
        """
        Save a file that is being uploaded, count its size and one call, if all of that is possible; else nothing.

        However many do it at once, no account gets over what it is allowed. Of a file that ``is_import``, which the
        account had before, only the size is counted, and nothing limits it.
        """

    async def abandon_upload(self, file_id: str, *, expires_at: int) -> bool:
        """From being uploaded to being removed. False if it is not being uploaded."""

    async def find_file(self, identifier: str) -> StoredFile | None:
        """By its identifier."""

    async def list_files(
        self, bucket_id: str, *, search: str = "", index: int = 0, limit: int = 20
    ) -> Page[StoredFile]:
        """A bucket's whose name contains ``search``, literally and without case, oldest first."""

    async def list_children(self, parent_file: str, *, limit: int) -> Sequence[StoredFile]:
        """Some of those whose parent it is."""

    async def rename_file(self, file_id: str, name: str) -> StoredFile | None:
        """The file as it is now; :obj:`None` if it is gone."""

    async def publish_file(self, file_id: str, *, is_public: bool) -> StoredFile | None:
        """Make it public or private. The file as it is now; :obj:`None` if it is gone."""

    async def count_download(self, file_id: str) -> None:
        """Count one; nothing happens for a file that is gone."""

    async def remove_file(self, file_id: str, *, expires_at: int) -> StoredFile | None:
        """
        Begin to remove a saved file: give back its size and count one call, whether one is left or not.

        The file for the one caller that did it, who then deletes the bytes and calls :meth:`forget_file`. If that has
        not happened by ``expires_at``, somebody else takes it over.
        """

    async def forget_file(self, file_id: str) -> None:
        """Remove the record of a file that is being removed. Idempotent."""

    async def take_unfinished_files(self, *, now: int, expires_at: int, limit: int) -> Sequence[StoredFile]:
        """
        Up to ``limit`` whose upload or removal was left off; all are being removed now.

        They are the caller's until ``expires_at``.
        """


class ContentStore(StorageStatsStore, BucketStore, FileStore, Protocol):
    """All that the services of buckets and files keep."""
