"""Requests that are made once, however often they are sent (Idempotency-Key). Times are milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """
    What is known of a request that was sent before.

    Attributes:
        fingerprint: Of the request that came first.
        answer: What was answered, as JSON text; empty while it is not answered yet.
    """

    fingerprint: str
    answer: str


class IdempotencyStore(Protocol):
    """Keys of requests. Every method may raise :class:`StoreUnavailable`."""

    async def claim_idempotency_key(
        self, scope: str, key: str, *, fingerprint: str, now: int, abandoned_at: int, expires_at: int
    ) -> KeptAnswer | None:
        """
        :obj:`None` for the one caller that may make the request.

        That is the first, or the first at or after ``expires_at`` of the earlier one; or at or after ``abandoned_at``
        of one that was never answered, since its process has died.
        """

    async def keep_answer(self, scope: str, key: str, *, answer: str) -> None:
        """The request was made; nothing happens if the key was forgotten."""

    async def release_idempotency_key(self, scope: str, key: str) -> None:
        """The request was not made, so that it may be sent again. A key with an answer stays."""

    async def trim_idempotency_keys(self, *, now: int, most: int) -> int:
        """Forget keys that have expired; then, of each scope, the oldest beyond ``most``. How many were forgotten."""
