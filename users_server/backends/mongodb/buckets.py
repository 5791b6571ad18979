"""
Buckets as documents. Operations for :class:`~.client.Client`; the promises are :class:`BucketStore`'s.

``taken_name`` is unique with the user: the bucket's name, and of one that is being removed its id, so that the name is
free again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.backends.mongodb.users import literal_pattern
from users_server.core.accounts import Page
from users_server.core.files import Bucket
from users_server.errors import Conflict

NOT_REMOVED = 0


async def create(database: Database, bucket: Bucket) -> None:
    document = {
        "_id": bucket.id,
        "name": bucket.name,
        "name_key": bucket.name.casefold(),
        "taken_name": _taken(bucket.name),
        "identifier": bucket.identifier,
        "user_id": bucket.user_id,
        "username": bucket.username,
        "created_on": bucket.created_on,
        "meta": orjson.dumps(bucket.meta).decode(),
        "removed_until": NOT_REMOVED,
    }
    try:
        await database["buckets"].insert_one(document)
    except DuplicateKeyError as error:
        raise Conflict("A bucket of that name exists already") from error


async def find(database: Database, user_id: str, name: str) -> Bucket | None:
    criteria = {"user_id": user_id, "removed_until": NOT_REMOVED, "$or": [{"name": name}, {"identifier": name}]}
    documents = await database["buckets"].find(criteria).limit(2).to_list(length=2)
    documents.sort(key=lambda document: document["name"] != name)
    return (await _with_memory(database, documents[:1]))[0] if documents else None


async def page(database: Database, user_id: str, *, search: str, index: int, limit: int) -> Page[Bucket]:
    criteria: dict[str, Any] = {"user_id": user_id, "removed_until": NOT_REMOVED}
    if search:
        criteria["name_key"] = {"$regex": literal_pattern(search.casefold())}
    skip, most = bounds(index, limit)
    count = await database["buckets"].count_documents(criteria)
    if not most or skip >= count:
        return Page([], count)
    order = [("created_on", ASCENDING), ("_id", ASCENDING)]
    documents = await database["buckets"].find(criteria).sort(order).skip(skip).limit(most).to_list(length=None)
    return Page(await _with_memory(database, documents), count)


async def remove(database: Database, bucket_id: str, *, expires_at: int) -> Bucket | None:
    document = await database["buckets"].find_one({"_id": bucket_id, "removed_until": NOT_REMOVED})
    if document is None:
        return None
    bucket = (await _with_memory(database, [document]))[0]
    changed = await database["buckets"].update_one(
        {"_id": bucket_id, "removed_until": NOT_REMOVED},
        {"$set": {"removed_until": expires_at, "taken_name": bucket_id}},
    )
    return bucket if changed.matched_count else None


async def forget(database: Database, bucket_id: str) -> None:
    await database["buckets"].delete_one({"_id": bucket_id, "removed_until": {"$ne": NOT_REMOVED}})


async def left_off(database: Database, *, now: int, limit: int) -> Sequence[tuple[Bucket, int]]:
    """Those whose removal was left off, each with when it was to be done."""
    _, most = bounds(0, limit)
    if not most:
        return []
    criteria = {"removed_until": {"$gt": NOT_REMOVED, "$lte": now}}
    documents = await database["buckets"].find(criteria).limit(most).to_list(length=None)
    buckets = await _with_memory(database, documents)
    return [(bucket, int(document["removed_until"])) for bucket, document in zip(buckets, documents, strict=True)]


async def take(database: Database, bucket_id: str, was_until: int, *, expires_at: int) -> bool:
    """True for the one caller that took it over."""
    changed = await database["buckets"].update_one(
        {"_id": bucket_id, "removed_until": was_until}, {"$set": {"removed_until": expires_at}}
    )
    return changed.matched_count == 1


async def is_there(database: Database, bucket_id: str) -> bool:
    """Whether it takes files."""
    return await database["buckets"].find_one({"_id": bucket_id, "removed_until": NOT_REMOVED}) is not None


async def _with_memory(database: Database, documents: Sequence[dict[str, Any]]) -> list[Bucket]:
    """Summed up from the files, so that no crash can make it wrong."""
    ids = [document["_id"] for document in documents]
    sums = await (
        database["files"]
        .aggregate(
            [
                {"$match": {"bucket_id": {"$in": ids}, "state": "saved"}},
                {"$group": {"_id": "$bucket_id", "size": {"$sum": "$size"}}},
            ]
        )
        .to_list(length=None)
    )
    sizes = {row["_id"]: int(row["size"]) for row in sums}
    return [replace(_bucket(document), memory_used=sizes.get(document["_id"], 0)) for document in documents]


def _taken(name: str) -> str:
    """Never the same as an id, which has no equals sign."""
    return f"={name}"


def _bucket(document: dict[str, Any]) -> Bucket:
    return Bucket(
        id=document["_id"],
        name=document["name"],
        identifier=document["identifier"],
        user_id=document["user_id"],
        username=document["username"],
        created_on=int(document["created_on"]),
        meta=orjson.loads(document["meta"]),
    )
