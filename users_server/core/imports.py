"""What is read when another server's database is imported, and what is remembered of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from users_server.core.messages import JSON


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """
    One record of the source.

    Attributes:
        id: 24 lower-case hex digits, or, where ``problem`` says that it has no such id, what it has.
        values: As JSON, its id left out.
        problem: Why it cannot be read; empty for one that can.
    """

    id: str
    values: Mapping[str, JSON]
    problem: str = ""


class ImportSource(Protocol):
    """
    A database that is read, and never written to.

    Every method may raise :class:`StoreUnavailable`.
    """

    @property
    def name(self) -> str:
        """What tells it from other sources; no secret is in it."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Let go. Idempotent."""

    async def count(self, collection: str) -> int:
        """About how many records there are."""

    def read(self, collection: str, *, after: str, size: int) -> AsyncGenerator[Sequence[SourceRecord], None]:
        """
        The records whose id is greater than ``after``, by id, in lists of ``size``; the last one may be shorter.

        Those without a proper id are left out. As long as a list is worked on, the next one waits in the source.
        """

    def read_strange(self, collection: str) -> AsyncIterator[SourceRecord]:
        """The records without a proper id."""

    async def has_user(self, user_id: str, username: str) -> bool:
        """Whether there is such a user; the name is compared without case."""

    async def owners_of_sessions(self, session_ids: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Session id to the ids of the users who say that it is theirs."""


class ImportStore(Protocol):
    """How far imports have come. Every method may raise :class:`StoreUnavailable`."""

    async def get_import(self, name: str) -> dict[str, JSON] | None:
        """What was put last for this import."""

    async def put_import(self, name: str, state: Mapping[str, JSON]) -> None:
        """Remember ``state`` in place of what was put before; durable when this returns."""
