"""
The audit log as documents. Operations for :class:`~.client.Client`; the promises are
:class:`~users_server.core.safety_stores.AuditStore`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import BulkWriteError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.backends.records import audit_fields
from users_server.core.accounts import Page
from users_server.core.audit import AuditEntry, AuditQuery

COLLECTION = "audit_entries"

_DUPLICATE_KEY = 11000


async def add(database: Database, entries: Sequence[AuditEntry]) -> None:
    if not entries:
        return
    try:
        await database[COLLECTION].insert_many(
            [{"_id": entry.id, **audit_fields(entry)} for entry in entries], ordered=False
        )
    except BulkWriteError as error:
        if any(failure["code"] != _DUPLICATE_KEY for failure in error.details["writeErrors"]):
            raise


async def page(database: Database, query: AuditQuery, *, index: int, limit: int) -> Page[AuditEntry]:
    criteria = _criteria(query)
    skip, most = bounds(index, limit)
    count = await database[COLLECTION].count_documents(criteria)
    if not most or skip >= count:
        return Page([], count)
    documents = database[COLLECTION].find(criteria).sort("_id", DESCENDING).skip(skip).limit(most)
    return Page([_entry(document) for document in await documents.to_list(length=None)], count)


async def trim(database: Database, *, before: int, most: int) -> int:
    collection = database[COLLECTION]
    aged = (await collection.delete_many({"_id": {"$lt": f"{max(before, 0):012x}"}})).deleted_count
    excess = await collection.count_documents({}) - most
    if excess <= 0:
        return aged
    found = await collection.find({}, {"_id": 1}).sort("_id", ASCENDING).skip(excess - 1).limit(1).to_list(length=1)
    if not found:
        return aged
    return aged + (await collection.delete_many({"_id": {"$lte": found[0]["_id"]}})).deleted_count


async def erase(database: Database, user_id: str, names: Sequence[str], *, pseudonym: str) -> int:
    collection = database[COLLECTION]
    keys = sorted({name.casefold() for name in names if name})
    is_actor = {"$or": [{"by_id": user_id}, {"by_key": {"$in": keys}}]}
    is_subject = {"$or": [{"user_id": user_id}, {"username_key": {"$in": keys}}]}
    hidden = {"address": "", "user_agent": "", "details": "{}"}
    count = await collection.count_documents({"$or": [is_actor, is_subject]})
    for whose, fields in (
        (is_actor, ("by_id", "by_name", "by_key")),
        (is_subject, ("user_id", "username", "username_key")),
    ):
        await collection.update_many(whose, {"$set": dict.fromkeys(fields, pseudonym) | hidden})
    return count


def _criteria(query: AuditQuery) -> dict[str, Any]:
    criteria: dict[str, Any] = {}
    whose: list[dict[str, str]] = []
    if query.user_id:
        whose += [{"user_id": query.user_id}, {"by_id": query.user_id}]
    if query.name:
        whose += [{"username_key": query.name.casefold()}, {"by_key": query.name.casefold()}]
    if whose:
        criteria["$or"] = whose
    if query.action:
        criteria["action"] = query.action
    if query.address:
        criteria["address"] = query.address
    moments = {name: value for name, value in (("$gte", query.since), ("$lt", query.until)) if value is not None}
    if moments:
        criteria["at"] = moments
    return criteria


def _entry(document: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
        id=document["_id"],
        at=int(document["at"]),
        action=document["action"],
        user_id=document["user_id"],
        username=document["username"],
        by_id=document["by_id"],
        by_name=document["by_name"],
        address=document["address"],
        user_agent=document["user_agent"],
        details=orjson.loads(document["details"]),
    )
