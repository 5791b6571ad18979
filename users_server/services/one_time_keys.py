"""
Keys that are sent by mail: random, single-use, of limited life, stored hashed and compared in constant time.

An account has one live key of each kind; a new one replaces it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from users_server.core.accounts import KeyKind, OneTimeKey, User
from users_server.core.clock import Clock
from users_server.core.stores import KeyStore

KEY_BYTES = 32
MAX_KEY_LENGTH = 128


class OneTimeKeys:
    """Makes, finds and takes keys. As an observer of accounts it removes those of an account that is gone."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def new(self, kind: KeyKind, user_id: str, lifetime_seconds: int, *, email: str = "") -> tuple[OneTimeKey, str]:
        """A record that is not stored yet, and the key itself."""
        key = secrets.token_urlsafe(KEY_BYTES)
        now = self._clock.now_ms()
        return OneTimeKey(kind, user_id, hash_key(key), now, now + lifetime_seconds * 1000, email), key

    async def put(self, record: OneTimeKey) -> None:
        """Store it; the account's older key of this kind is worth nothing from now on."""
        await self._store.put_key(record)

    async def find(self, kind: KeyKind, user_id: str, key: str) -> OneTimeKey | None:
        """The account's live key of this kind, if ``key`` is it. It stays valid."""
        record = await self._store.find_key(kind, user_id, now=self._clock.now_ms())
        # compared in any case, so that the time does not tell whether there is a key
        expected = record.key_hash if record is not None else hash_key("")
        is_equal = hmac.compare_digest(expected, hash_key(key[:MAX_KEY_LENGTH]))
        return record if is_equal and key and len(key) <= MAX_KEY_LENGTH else None

    async def take(self, record: OneTimeKey) -> bool:
        """Use it up. True for the one caller that did."""
        return await self._store.take_key(record)

    async def cancel(self, kind: KeyKind, user_id: str) -> None:
        """The account's key of this kind, if there is one, is worth nothing from now on."""
        record = await self._store.find_key(kind, user_id, now=self._clock.now_ms())
        if record is not None:
            await self._store.take_key(record)

    async def created(self, user: User) -> None:
        """Nothing: a key is made when a mail needs one."""

    async def removed(self, user: User) -> None:
        """The account is gone, and so are its keys."""
        await self._store.delete_keys_of_user(user.id)


def hash_key(key: str) -> str:
    """What is stored of a key: its SHA-256 in lower-case hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
