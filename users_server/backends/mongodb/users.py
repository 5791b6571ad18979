"""Accounts as documents. Operations for :class:`~.client.Client`; the promises are :class:`UserStore`'s."""

from __future__ import annotations

from typing import Any

import orjson
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError, OperationFailure

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.core.accounts import Page, User
from users_server.core.interfaces import MOST_COUNTED
from users_server.core.messages import JSON
from users_server.errors import Conflict

_LONGEST_PATTERN_BYTES = 32_000
"""MongoDB refuses longer ones. No name is that long, so nothing contains what needs such a pattern."""

_SEARCH_MS = 3000


async def create(database: Database, user: User) -> None:
    document = {
        "_id": user.id,
        "username": user.username,
        "username_key": user.username.casefold(),
        "email": user.email,
        "email_key": user.email.casefold(),
        "password_hash": user.password_hash,
        "privileges": int(user.privileges),
        "created_on": user.created_on,
        "last_logged_in": user.last_logged_in,
        "register_key": user.register_key,
        "password_tag": user.password_tag,
        "session_id": user.session_id,
        "meta": _dump(user.meta),
        "meta_version": user.meta_version,
    }
    try:
        await database["users"].insert_one(document)
    except DuplicateKeyError as error:
        raise Conflict("A user with that name or email already exists") from error


async def find(database: Database, name: str) -> User | None:
    key = name.casefold()
    # Two accounts can answer: one's username may be another's email address. Then the username counts.
    documents = (
        await database["users"].find({"$or": [{"username_key": key}, {"email_key": key}]}).limit(2).to_list(length=2)
    )
    documents.sort(key=lambda document: document["username_key"] != key)
    return _user(documents[0]) if documents else None


async def get(database: Database, user_id: str) -> User | None:
    document = await database["users"].find_one({"_id": user_id})
    return _user(document) if document else None


async def page(
    database: Database,
    *,
    search: str,
    search_emails: bool,
    index: int,
    limit: int,
) -> Page[User]:
    """
    A search reads the keys of an index and stops at :data:`MOST_COUNTED` matches; one that lasts too long is ended by
    the server, so that nobody can keep it busy.
    """
    criteria: dict[str, Any] = {}
    if search:
        pattern = literal_pattern(search.casefold())
        if len(pattern.encode()) > _LONGEST_PATTERN_BYTES:
            return Page([], 0)
        fields = ("username_key", "email_key") if search_emails else ("username_key",)
        criteria = {"$or": [{field: {"$regex": pattern}} for field in fields]}
    users = database["users"]
    skip, most = bounds(index, limit)
    if criteria:
        found = await users.count_documents(criteria, limit=MOST_COUNTED, maxTimeMS=_SEARCH_MS)
    else:
        found = await count(database)
    is_complete = not criteria or found < MOST_COUNTED
    if not most or (skip >= found and is_complete):
        return Page([], found)
    order = [("created_on", ASCENDING), ("_id", ASCENDING)]
    cursor = users.find(criteria).sort(order).skip(skip).limit(most).max_time_ms(_SEARCH_MS)
    documents = await cursor.to_list(length=None)
    return Page([_user(document) for document in documents], found)


async def count(database: Database) -> int:
    return await database["users"].estimated_document_count()


async def delete(database: Database, user_id: str) -> bool:
    return (await database["users"].delete_one({"_id": user_id})).deleted_count == 1


async def set_password_hash(database: Database, user_id: str, password_hash: str, *, expected: str | None) -> bool:
    criteria = {"_id": user_id} if expected is None else {"_id": user_id, "password_hash": expected}
    return await _update(database, criteria, {"$set": {"password_hash": password_hash}})


async def activate(database: Database, user_id: str) -> bool:
    return await _update(database, {"_id": user_id, "register_key": {"$ne": ""}}, {"$set": {"register_key": ""}})


async def set_email(database: Database, user_id: str, email: str, *, expected: str) -> bool:
    key = email.casefold()
    change = {"$set": {"email": email, "email_key": key}}
    try:
        return await _update(database, {"_id": user_id, "email": expected}, change)
    except OperationFailure as error:
        # FerretDB calls it an internal error when an update breaks a unique index
        other = {"email_key": key, "_id": {"$ne": user_id}}
        if isinstance(error, DuplicateKeyError) or await database["users"].find_one(other) is not None:
            raise Conflict("A user with that name or email already exists") from error
        raise


async def renew_register_key(database: Database, user_id: str, register_key: str) -> bool:
    criteria = {"_id": user_id, "register_key": {"$ne": ""}}
    return await _update(database, criteria, {"$set": {"register_key": register_key}})


async def set_password_tag(database: Database, user_id: str, password_tag: str) -> bool:
    return await _update(database, {"_id": user_id}, {"$set": {"password_tag": password_tag}})


async def record_login(database: Database, user_id: str, *, session_id: str, at: int) -> None:
    await _update(database, {"_id": user_id}, {"$set": {"session_id": session_id, "last_logged_in": at}})


async def record_logout(database: Database, user_id: str, *, session_id: str) -> None:
    await _update(database, {"_id": user_id, "session_id": session_id}, {"$set": {"session_id": ""}})


async def replace_meta(database: Database, user_id: str, meta: dict[str, JSON], *, expected_version: int) -> bool:
    criteria = {"_id": user_id, "meta_version": expected_version}
    return await _update(database, criteria, {"$set": {"meta": _dump(meta)}, "$inc": {"meta_version": 1}})


def literal_pattern(text: str) -> str:
    r"""
    A regular expression that finds ``text`` itself, for PCRE (MongoDB) and RE2 (FerretDB) alike.

    Every ASCII character but letters and digits is written by its number (``\x2e``): then none is special in any mode,
    and none is a NUL, which a pattern cannot hold. :func:`re.escape` leaves NUL and some others as they are.
    """
    return "".join(letter if letter.isalnum() or not letter.isascii() else f"\\x{ord(letter):02x}" for letter in text)


async def _update(database: Database, criteria: dict[str, Any], change: dict[str, Any]) -> bool:
    return (await database["users"].update_one(criteria, change)).matched_count == 1


def _dump(meta: dict[str, JSON]) -> str:
    return orjson.dumps(meta).decode()


def _user(document: dict[str, Any]) -> User:
    # int(): the driver gives large integers a type of its own, which must not leave this folder.
    return User(
        id=document["_id"],
        username=document["username"],
        email=document["email"],
        password_hash=document["password_hash"],
        privileges=int(document["privileges"]),
        created_on=int(document["created_on"]),
        last_logged_in=int(document["last_logged_in"]),
        register_key=document["register_key"],
        password_tag=document["password_tag"],
        session_id=document["session_id"],
        meta=orjson.loads(document["meta"]),
        meta_version=int(document["meta_version"]),
    )
