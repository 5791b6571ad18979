"""
Idempotency keys as documents. Operations for :class:`~.client.Client`; the promises are
:class:`~users_server.core.idempotency.IdempotencyStore`'s.

Who may make a request is who could insert the key; one that has expired is deleted before, by whoever can.
"""

from __future__ import annotations

from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.core.idempotency import KeptAnswer
from users_server.errors import StoreUnavailable

COLLECTION = "idempotency_keys"

MAX_TRIES = 20
"""Each further one needs another caller that has just taken the key and lost it again."""


def key_id(scope: str, key: str) -> str:
    return f"{len(scope)}:{scope}:{key}"


async def claim(
    database: Database, scope: str, key: str, *, fingerprint: str, now: int, abandoned_at: int, expires_at: int
) -> KeptAnswer | None:
    document = {
        "_id": key_id(scope, key),
        "scope": scope,
        "fingerprint": fingerprint,
        "answer": "",
        "abandoned_at": abandoned_at,
        "expires_at": expires_at,
    }
    for _ in range(MAX_TRIES):
        try:
            await database[COLLECTION].insert_one(document)
        except DuplicateKeyError:
            found = await database[COLLECTION].find_one({"_id": document["_id"]})
            if found is not None and _counts(found, now=now):
                return KeptAnswer(found["fingerprint"], found["answer"])
            if found is not None:
                await database[COLLECTION].delete_one(found)
            continue
        return None
    raise StoreUnavailable("An idempotency key is changed by others all the time; please try again later")


async def keep(database: Database, scope: str, key: str, *, answer: str) -> None:
    await database[COLLECTION].update_one({"_id": key_id(scope, key)}, {"$set": {"answer": answer}})


async def release(database: Database, scope: str, key: str) -> None:
    await database[COLLECTION].delete_one({"_id": key_id(scope, key), "answer": ""})


async def trim(database: Database, *, now: int, most: int, limit: int) -> int:
    """Forget up to ``limit`` keys of each scope for each reason; how many."""
    forgotten = 0
    for scope in await database[COLLECTION].distinct("scope"):
        forgotten += await _remove(database, {"scope": scope, "expires_at": {"$lte": now}}, limit=limit)
        newest_excess = await _newest_excess(database, scope, most=most)
        if newest_excess is not None:
            until, last = newest_excess["expires_at"], newest_excess["_id"]
            older = [{"expires_at": {"$lt": until}}, {"expires_at": until, "_id": {"$lte": last}}]
            forgotten += await _remove(database, {"scope": scope, "$or": older}, limit=limit)
    return forgotten


async def _newest_excess(database: Database, scope: str, *, most: int) -> dict[str, Any] | None:
    """The oldest are those that expire first."""
    skip, _ = bounds(most, 1)
    order = [("expires_at", DESCENDING), ("_id", DESCENDING)]
    return await database[COLLECTION].find_one({"scope": scope}, {"expires_at": 1}, sort=order, skip=skip)


async def _remove(database: Database, criteria: dict[str, Any], *, limit: int) -> int:
    found = database[COLLECTION].find(criteria, {"_id": 1}).limit(limit)
    ids = [document["_id"] async for document in found]
    if not ids:
        return 0
    # The criteria again: a key may have been taken anew meanwhile.
    return int((await database[COLLECTION].delete_many({**criteria, "_id": {"$in": ids}})).deleted_count)


def _counts(document: dict[str, Any], *, now: int) -> bool:
    return document["expires_at"] > now and bool(document["answer"] or document["abandoned_at"] > now)
