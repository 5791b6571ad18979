"""
What keeps accounts safe, and where it is kept: one's own logins, counters of failed logins, the audit log.

As in :mod:`users_server.core.interfaces`: each method states its promises, every store passes the same contract tests,
and every method may raise :class:`StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from users_server.core.accounts import Page, Session
from users_server.core.attempts import AttemptOutcome
from users_server.core.audit import AuditEntry, AuditQuery


class UserSessionStore(Protocol):
    """What a user sees of his own logins."""

    async def list_sessions_of_user(self, user_id: str, *, now: int, limit: int = 100) -> Sequence[Session]:
        """Up to ``limit`` of those alive at ``now``, the newest first."""


class AttemptStore(Protocol):
    """
    Counters of failed logins, which all nodes share. A key says what is counted.

    Both methods change each counter atomically; several counters one after the other.
    """

    async def begin_attempt(self, limits: Mapping[str, int], *, window_ms: int, now: int) -> int:
        """
        Count an attempt under each key, unless one of them has reached its limit.

        0 if it was counted; then :meth:`end_attempt` must follow. Else the milliseconds to wait, and nothing was
        counted.
        """

    async def end_attempt(self, outcomes: Mapping[str, AttemptOutcome], *, window_ms: int, now: int) -> None:
        """Say for each key how its attempt ended."""

    async def trim_attempts(self, *, now: int, most: int) -> int:
        """
        Forget the counters whose window has ended; then, over ``most``, those with the fewest failures.

        How many were forgotten.
        """


class AuditStore(Protocol):
    """The audit log."""

    async def add_audit_entries(self, entries: Sequence[AuditEntry]) -> None:
        """Append; durable when this returns. An entry whose id is there already is passed over."""

    async def list_audit_entries(self, query: AuditQuery, *, index: int = 0, limit: int = 20) -> Page[AuditEntry]:
        """The newest first; ``count`` is the number of all that match."""

    async def trim_audit_entries(self, *, before: int, most: int) -> int:
        """Remove the entries before that moment, and the oldest of more than ``most``. How many were removed."""

    async def erase_audit_traces(self, user_id: str, names: Sequence[str], *, pseudonym: str) -> int:
        """
        Make the entries of an account anonymous: those about it, by it, and under its names (without case).

        Where it is named, id and name become ``pseudonym``, and address, user agent and details empty. Other people's
        ids and names stay. How many entries were changed.
        """


class SafetyStore(UserSessionStore, AttemptStore, AuditStore, Protocol):
    """All of this."""
