"""Records of buckets and files, and what their bytes are kept in. Times are milliseconds since 1970, sizes bytes."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from users_server.core.messages import JSON

CALLS_ALLOCATED = 20_000
MEMORY_ALLOCATED = 500_000_000


@dataclass(frozen=True, slots=True)
class StorageStats:
    """What an account may use of the storage, and what it has used (users-http-api.md, Storage accounting)."""

    id: str
    user_id: str
    username: str
    calls_allocated: int = CALLS_ALLOCATED
    memory_allocated: int = MEMORY_ALLOCATED
    calls_used: int = 0
    memory_used: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A named place for files; the name is the user's, ``identifier`` is random. ``memory_used`` is its files' size."""

    id: str
    name: str
    identifier: str
    user_id: str
    username: str
    created_on: int
    memory_used: int = 0
    meta: JSON = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """
    A file whose bytes are in the storage under ``id``. They never change.

    ``identifier`` is what clients name it by. ``digest`` is the lower-case hex SHA-256 of the bytes. ``parent_file`` is
    the identifier of the file that it goes with, or empty.
    """

    id: str
    name: str
    identifier: str
    user_id: str
    username: str
    bucket_id: str
    bucket_name: str
    created_on: int
    size: int = 0
    mime_type: str = "application/octet-stream"
    digest: str = ""
    is_public: bool = True
    downloads: int = 0
    parent_file: str = ""
    meta: JSON = None


class Refusal(enum.Enum):
    """Why an upload was not taken."""

    MEMORY = "memory"
    CALLS = "calls"
    GONE = "gone"
    """Its bucket or its parent file was removed meanwhile, or it lasted so long that it was taken for dead."""


class FileStorage(Protocol):
    """
    Where the bytes of files are. Keys are random hex that this server has made, each used once.

    Every method may raise :class:`StoreUnavailable`.
    """

    async def open(self) -> None:
        """Ready to be used. Idempotent. Raises :class:`StartupError` if it never can be."""

    async def close(self) -> None:
        """Let go. Idempotent."""

    async def check(self) -> None:
        """Return if it works."""

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """
        Keep all ``chunks``; durable and readable when this returns, and not readable before.

        Takes the next chunk when it has written the one before. If it raises, or the process dies, a rest may remain
        that cannot be read, until :meth:`delete`.
        """

    def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """
        ``length`` bytes from ``start``, in chunks of at most 256 KiB, of which one is in memory at a time.

        Raises :class:`NotFound` if the key is not there, or not to its end.
        """

    async def delete(self, key: str) -> None:
        """Remove it, and whatever an unfinished write has left. Idempotent."""
