"""
Counters of failed logins as documents. Operations for :class:`~.client.Client`; the promises are
:class:`~users_server.core.safety_stores.AttemptStore`'s.

A change is a compare-and-swap by version, so that no node's count is lost.
"""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.core import attempts as counting
from users_server.core.attempts import BUSY_MS, AttemptOutcome, Attempts
from users_server.errors import StoreUnavailable

COLLECTION = "login_attempts"

MAX_TRIES = 50
"""Attempts of one node take turns; only another node can make a swap fail."""


async def begin(database: Database, key: str, limit: int, *, window_ms: int, now: int) -> int:
    """0 if the attempt was counted, else the milliseconds to wait."""
    for _ in range(MAX_TRIES):
        document = await database[COLLECTION].find_one({"_id": key})
        attempts = counting.begin(_attempts(document), limit=limit, window_ms=window_ms, now=now)
        if isinstance(attempts, int):
            return attempts
        if await _swap(database, key, document, attempts):
            return 0
    return BUSY_MS


async def end(database: Database, key: str, outcome: AttemptOutcome, *, window_ms: int, now: int) -> None:
    """Raises :class:`StoreUnavailable` if other nodes change the counter again and again."""
    for _ in range(MAX_TRIES):
        document = await database[COLLECTION].find_one({"_id": key})
        attempts = counting.end(_attempts(document), outcome, window_ms=window_ms, now=now)
        if await _swap(database, key, document, attempts):
            return
    raise StoreUnavailable("A counter of failed logins is changed by others all the time; please try again later")


async def trim(database: Database, *, now: int, most: int) -> int:
    collection = database[COLLECTION]
    expired = (await collection.delete_many({"ends_at": {"$lte": now}})).deleted_count
    excess = await collection.count_documents({}) - most
    if excess <= 0:
        return expired
    order = [("failures", ASCENDING), ("ends_at", ASCENDING), ("_id", ASCENDING)]
    found = await collection.find({}, {"_id": 1}).sort(order).limit(excess).to_list(length=None)
    pushed_out = await collection.delete_many({"_id": {"$in": [document["_id"] for document in found]}})
    return expired + pushed_out.deleted_count


async def _swap(database: Database, key: str, document: dict[str, Any] | None, attempts: Attempts | None) -> bool:
    """Whether the counter was still as in ``document``, and is now as in ``attempts``."""
    collection = database[COLLECTION]
    if document is None:
        if attempts is None:
            return True
        try:
            await collection.insert_one(_document(key, attempts, 1))
        except DuplicateKeyError:
            return False
        return True
    version = int(document["version"])
    criteria = {"_id": key, "version": version}
    if attempts is None:
        return (await collection.delete_one(criteria)).deleted_count == 1
    return (await collection.replace_one(criteria, _document(key, attempts, version + 1))).matched_count == 1


def _document(key: str, attempts: Attempts, version: int) -> dict[str, Any]:
    return {
        "_id": key,
        "failures": attempts.failures,
        "pending": attempts.pending,
        "ends_at": attempts.ends_at,
        "version": version,
    }


def _attempts(document: dict[str, Any] | None) -> Attempts | None:
    if document is None:
        return None
    return Attempts(int(document["failures"]), int(document["pending"]), int(document["ends_at"]))
