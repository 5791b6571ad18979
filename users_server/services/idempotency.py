"""Requests that take effect once, however often they are sent with the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from users_server.core.clock import Clock
from users_server.core.idempotency import IdempotencyStore
from users_server.errors import BackendError, Conflict, InvalidValue

log = structlog.stdlib.get_logger(__name__)

EXPIRE_SECONDS = 60.0
"""How often :meth:`IdempotentRequests.expire` is to be called."""

MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """
    Config section ``idempotency``.

    Attributes:
        kept_seconds: How long an answer is given again.
        max_keys: How many are kept of one scope; beyond that the oldest are forgotten.
        abandoned_seconds: After which a request without an answer counts as one whose process has died.
    """

    kept_seconds: int = 86_400
    max_keys: int = 100_000
    abandoned_seconds: int = 60


DEFAULTS = IdempotencySettings()


class RequestChanged(InvalidValue):
    """The key came with another request before; sending this one again will not help."""

    default_message = "The idempotency key was sent before, with another request"


class IdempotentRequests:
    """Makes a request once in a scope, on whatever node it is sent."""

    def __init__(self, store: IdempotencyStore, clock: Clock, settings: IdempotencySettings = DEFAULTS) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    async def once(self, scope: str, key: str, fingerprint: str, make: Callable[[], Awaitable[str]]) -> str:
        """
        The answer of ``make``, which is called for the first request with ``key`` alone.

        If it raises, the request may be sent again with the same key. If the process dies meanwhile, or the store is
        away when the request has been made, nobody knows that it was, and it may be sent again after
        ``abandoned_seconds``. Answers are remembered for ``kept_seconds``. ``make`` returns no empty text.

        Raises:
            InvalidValue: If ``key`` can be none.
            RequestChanged: If it came with another request before.
            Conflict: If the first request is not answered yet.
            StoreUnavailable: If the keys cannot be looked up; nothing was made then.
        """
        if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
            raise InvalidValue(f"An idempotency key has 1 to {MAX_KEY_LENGTH} printable ASCII characters")
        now = self._clock.now_ms()
        kept = await self._store.claim_idempotency_key(
            scope,
            key,
            fingerprint=fingerprint,
            now=now,
            abandoned_at=now + self._settings.abandoned_seconds * 1000,
            expires_at=now + self._settings.kept_seconds * 1000,
        )
        if kept is None:
            return await self._make(scope, key, make)
        if kept.fingerprint != fingerprint:
            raise RequestChanged
        if not kept.answer:
            raise Conflict("The request with this idempotency key is being made")
        return kept.answer

    async def _make(self, scope: str, key: str, make: Callable[[], Awaitable[str]]) -> str:
        try:
            answer = await make()
        except BaseException:
            await asyncio.shield(self._quietly(self._store.release_idempotency_key(scope, key)))
            raise
        # the request was made: a store that is away now must not make the caller send it again
        await asyncio.shield(self._quietly(self._store.keep_answer(scope, key, answer=answer)))
        return answer

    async def _quietly(self, work: Awaitable[None]) -> None:
        try:
            await work
        except BackendError as error:
            log.warning("an idempotency key could not be kept", error=error.message)

    async def expire(self) -> None:
        """Forget what is too old. Called from time to time."""
        await self._store.trim_idempotency_keys(now=self._clock.now_ms(), most=self._settings.max_keys)
