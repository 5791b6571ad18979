"""
What accounts use of the storage, one document for each.

Promises are :class:`StorageStatsStore`'s. A change reads the document, computes, and writes it where its version still
is the one that was read: atomic on MongoDB between any number of nodes; on FerretDB 1 the callers take turns.

``marks`` joins a file's document with the account's. It holds a file's size from before the file is saved until after
it, and -1 from when its size is given back until its document is gone. So whoever finishes what another
left off sees what has been counted, and counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.core.files import StorageStats
from users_server.errors import StoreUnavailable

Document = dict[str, Any]

_MAX_TRIES = 100
_BATCH = 500


async def create(database: Database, stats: StorageStats) -> bool:
    document = {
        "_id": stats.user_id,
        "id": stats.id,
        "username": stats.username,
        "calls_allocated": stats.calls_allocated,
        "memory_allocated": stats.memory_allocated,
        "calls_used": stats.calls_used,
        "memory_used": stats.memory_used,
        "marks": {},
        "version": 0,
    }
    try:
        await database["storage_stats"].insert_one(document)
    except DuplicateKeyError:
        return False
    return True


async def get(database: Database, user_id: str) -> StorageStats | None:
    document = await database["storage_stats"].find_one({"_id": user_id})
    if document is None:
        return None
    return StorageStats(
        id=document["id"],
        user_id=document["_id"],
        username=document["username"],
        calls_allocated=int(document["calls_allocated"]),
        memory_allocated=int(document["memory_allocated"]),
        calls_used=int(document["calls_used"]),
        memory_used=int(document["memory_used"]),
    )


async def change(database: Database, user_id: str, values: dict[str, int | None]) -> bool:
    def set_values(document: Document) -> bool:
        document.update({name: value for name, value in values.items() if value is not None})
        return True

    return await update(database, user_id, set_values)


async def count_call(database: Database, user_id: str) -> bool:
    def count(document: Document) -> bool:
        document["calls_used"] += 1
        return bool(document["calls_used"] <= document["calls_allocated"])

    return await update(database, user_id, count)


async def add(database: Database, user_id: str, *, calls: int, memory: int) -> None:
    def count(document: Document) -> bool:
        add_to(document, calls=calls, memory=memory)
        return True

    await update(database, user_id, count)


async def delete(database: Database, user_id: str) -> None:
    await database["storage_stats"].delete_one({"_id": user_id})


async def ownerless(database: Database, *, limit: int) -> Sequence[str]:
    found: list[str] = []
    after = ""
    while len(found) < limit:
        query = database["storage_stats"].find({"_id": {"$gt": after}}, {"_id": 1}).sort("_id", ASCENDING)
        ids = [document["_id"] for document in await query.limit(_BATCH).to_list(length=None)]
        if not ids:
            break
        after = ids[-1]
        users = await database["users"].find({"_id": {"$in": ids}}, {"_id": 1}).to_list(length=None)
        present = {document["_id"] for document in users}
        found.extend(user_id for user_id in ids if user_id not in present)
    return found[:limit]


async def update(database: Database, user_id: str, decide: Callable[[Document], bool]) -> bool:
    """
    Let ``decide`` change the document; false if it returned so, or there is none, and nothing was changed then.

    Raises :class:`StoreUnavailable` if other nodes changed it again and again meanwhile.
    """
    for _ in range(_MAX_TRIES):
        document = await database["storage_stats"].find_one({"_id": user_id})
        if document is None or not decide(document):
            return False
        version = document["version"]
        fields = ("calls_allocated", "memory_allocated", "calls_used", "memory_used", "marks")
        values = {name: document[name] for name in fields} | {"version": version + 1}
        changed = await database["storage_stats"].update_one({"_id": user_id, "version": version}, {"$set": values})
        if changed.matched_count:
            return True
    raise StoreUnavailable("The account's storage is used by too many requests at once; please try again later")


def add_to(document: Document, *, calls: int, memory: int) -> None:
    """Count so much, or give it back; never below 0."""
    document["calls_used"] = max(document["calls_used"] + calls, 0)
    document["memory_used"] = max(document["memory_used"] + memory, 0)
