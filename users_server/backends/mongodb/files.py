"""
Files as documents. Operations for :class:`~.client.Client`; the promises are :class:`FileStore`'s.

The state of a file's document decides, and its changes are single updates: whoever makes one is the only one. The
account's document is changed before the file is saved and after its removal has begun, with a mark (``storage_stats``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pymongo import ASCENDING

from users_server.backends.mongodb import storage_stats
from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.backends.mongodb.storage_stats import Document
from users_server.backends.mongodb.users import literal_pattern
from users_server.backends.records import file_fields
from users_server.core.accounts import Page
from users_server.core.files import Refusal, StoredFile

UPLOADING, SAVED, REMOVED = "uploading", "saved", "removed"
NEVER = 0
SETTLED = -1
_LONGEST_PATTERN_BYTES = 32_000


async def begin(database: Database, file: StoredFile, *, expires_at: int) -> None:
    document = {"_id": file.id, "state": UPLOADING, "was_saved": False, "expires_at": expires_at, **file_fields(file)}
    await database["files"].insert_one(document)


async def extend(database: Database, file_id: str, *, expires_at: int) -> None:
    await _move(database, file_id, UPLOADING, {"expires_at": expires_at})


async def reserve(database: Database, file: StoredFile, *, is_import: bool) -> Refusal | None:
    """Count a file that is about to be saved."""
    refusals: list[Refusal] = []

    def count(document: Document) -> bool:
        refusals.clear()
        if not is_import and document["memory_used"] + file.size > document["memory_allocated"]:
            refusals.append(Refusal.MEMORY)
        elif not is_import and document["calls_used"] >= document["calls_allocated"]:
            refusals.append(Refusal.CALLS)
        else:
            storage_stats.add_to(document, calls=0 if is_import else 1, memory=file.size)
            document["marks"][file.id] = file.size
        return not refusals

    is_counted = await storage_stats.update(database, file.user_id, count)
    return None if is_counted else (refusals or [Refusal.GONE])[0]


async def save(database: Database, file: StoredFile) -> bool:
    """From being uploaded to saved."""
    changes = {**file_fields(file), "state": SAVED, "was_saved": True, "expires_at": NEVER}
    return await _move(database, file.id, UPLOADING, changes)


async def release(database: Database, file: StoredFile) -> None:
    """Give back what :func:`reserve` counted, unless that was done."""

    def give_back(document: Document) -> bool:
        mark = document["marks"].pop(file.id, None)
        if mark is None:
            return False
        if mark != SETTLED:
            storage_stats.add_to(document, calls=-1, memory=-mark)
        return True

    await storage_stats.update(database, file.user_id, give_back)


async def unmark(database: Database, user_id: str, file_id: str) -> None:
    await storage_stats.update(database, user_id, lambda document: document["marks"].pop(file_id, None) is not None)


async def abandon(database: Database, file_id: str, *, expires_at: int) -> bool:
    return await _move(database, file_id, UPLOADING, {"state": REMOVED, "expires_at": expires_at})


async def find(database: Database, identifier: str) -> StoredFile | None:
    document = await database["files"].find_one({"identifier": identifier, "state": SAVED})
    return _file(document) if document else None


async def page(database: Database, bucket_id: str, *, search: str, index: int, limit: int) -> Page[StoredFile]:
    criteria: dict[str, Any] = {"bucket_id": bucket_id, "state": SAVED}
    if search:
        pattern = literal_pattern(search.casefold())
        if len(pattern.encode()) > _LONGEST_PATTERN_BYTES:
            return Page([], 0)
        criteria["name_key"] = {"$regex": pattern}
    skip, most = bounds(index, limit)
    count = await database["files"].count_documents(criteria)
    if not most or skip >= count:
        return Page([], count)
    order = [("created_on", ASCENDING), ("_id", ASCENDING)]
    documents = await database["files"].find(criteria).sort(order).skip(skip).limit(most).to_list(length=None)
    return Page([_file(document) for document in documents], count)


async def children(database: Database, parent_file: str, *, limit: int) -> Sequence[StoredFile]:
    _, most = bounds(0, limit)
    if not parent_file or not most:
        return []
    documents = database["files"].find({"parent_file": parent_file, "state": SAVED}).limit(most)
    return [_file(document) for document in await documents.to_list(length=None)]


async def rename(database: Database, file_id: str, name: str) -> StoredFile | None:
    await _move(database, file_id, SAVED, {"name": name, "name_key": name.casefold()})
    return await get(database, file_id)


async def publish(database: Database, file_id: str, *, is_public: bool) -> StoredFile | None:
    await _move(database, file_id, SAVED, {"is_public": is_public})
    return await get(database, file_id)


async def count_download(database: Database, file_id: str) -> None:
    await database["files"].update_one({"_id": file_id, "state": SAVED}, {"$inc": {"downloads": 1}})


async def remove(database: Database, file_id: str, *, expires_at: int) -> StoredFile | None:
    file = await get(database, file_id)
    is_ours = file is not None and await _move(database, file_id, SAVED, {"state": REMOVED, "expires_at": expires_at})
    return file if is_ours else None


async def removed(database: Database, file_id: str) -> tuple[StoredFile, bool] | None:
    """A file that is being removed, and whether it was saved before."""
    document = await database["files"].find_one({"_id": file_id, "state": REMOVED})
    return None if document is None else (_file(document), bool(document["was_saved"]))


async def settle(database: Database, file: StoredFile, *, was_saved: bool) -> None:
    """Count a removal: once, however often this is called before the document is gone."""

    def count(document: Document) -> bool:
        mark = document["marks"].get(file.id)
        if mark == SETTLED or (mark is None and not was_saved):
            return False
        if was_saved:
            storage_stats.add_to(document, calls=1, memory=-file.size)
        else:
            storage_stats.add_to(document, calls=-1, memory=-mark)
        document["marks"][file.id] = SETTLED
        return True

    await storage_stats.update(database, file.user_id, count)


async def delete(database: Database, file_id: str) -> None:
    await database["files"].delete_one({"_id": file_id, "state": REMOVED})


async def withdraw(database: Database, file_id: str, *, expires_at: int) -> None:
    """Take back :func:`save`."""
    await _move(database, file_id, SAVED, {"state": REMOVED, "was_saved": False, "expires_at": expires_at})


async def left_off(database: Database, *, now: int, limit: int) -> Sequence[tuple[StoredFile, int]]:
    """Whose upload or removal was left off, each with when it was to be done."""
    _, most = bounds(0, limit)
    if not most:
        return []
    criteria = {"expires_at": {"$gt": NEVER, "$lte": now}}
    documents = database["files"].find(criteria).sort("expires_at", ASCENDING).limit(most)
    return [(_file(document), int(document["expires_at"])) for document in await documents.to_list(length=None)]


async def take(database: Database, file_id: str, was_until: int, *, expires_at: int) -> bool:
    """True for the one caller that took it over; it is being removed now."""
    changed = await database["files"].update_one(
        {"_id": file_id, "expires_at": was_until}, {"$set": {"state": REMOVED, "expires_at": expires_at}}
    )
    return changed.matched_count == 1


async def get(database: Database, file_id: str) -> StoredFile | None:
    """A saved one by id."""
    document = await database["files"].find_one({"_id": file_id, "state": SAVED})
    return _file(document) if document else None


async def _move(database: Database, file_id: str, state: str, changes: dict[str, Any]) -> bool:
    """Change it if it is in ``state``; false if it is not."""
    changed = await database["files"].update_one({"_id": file_id, "state": state}, {"$set": changes})
    return changed.matched_count == 1


def _file(document: dict[str, Any]) -> StoredFile:
    return StoredFile(
        id=document["_id"],
        name=document["name"],
        identifier=document["identifier"],
        user_id=document["user_id"],
        username=document["username"],
        bucket_id=document["bucket_id"],
        bucket_name=document["bucket_name"],
        created_on=int(document["created_on"]),
        size=int(document["size"]),
        mime_type=document["mime_type"],
        digest=document["digest"],
        is_public=document["is_public"],
        downloads=int(document["downloads"]),
        parent_file=document["parent_file"],
        meta=orjson.loads(document["meta"]),
    )
