"""Logins as documents. Operations for :class:`~.client.Client`; the promises are :class:`SessionStore`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.core.accounts import Page, Session
from users_server.errors import Conflict


async def create(database: Database, session: Session) -> None:
    document = asdict(session)
    document["_id"] = document.pop("id")
    try:
        await database["sessions"].insert_one(document)
    except DuplicateKeyError as error:
        raise Conflict("A session with that id or token exists already") from error


async def find(database: Database, token_hash: str, *, now: int) -> Session | None:
    return await _find_one(database, {"token_hash": token_hash, "expires_at": {"$gt": now}})


async def get(database: Database, session_id: str, *, now: int) -> Session | None:
    session = await _find_one(database, {"_id": session_id})  # a question by the id alone is quick on FerretDB too
    return session if session is not None and session.expires_at > now else None


async def touch(database: Database, session_id: str, *, expires_at: int) -> bool:
    updated = await database["sessions"].update_one({"_id": session_id}, {"$max": {"expires_at": expires_at}})
    return updated.matched_count == 1


async def delete(database: Database, session_id: str) -> Session | None:
    session = await _find_one(database, {"_id": session_id})
    return session if session is not None and await remove(database, session_id) else None


async def of_user(database: Database, user_id: str) -> Sequence[Session]:
    """All of a user's, oldest first."""
    documents = database["sessions"].find({"user_id": user_id}).sort([("created_on", ASCENDING), ("_id", ASCENDING)])
    return [_session(document) for document in await documents.to_list(length=None)]


async def alive_of_user(database: Database, user_id: str, *, now: int, limit: int) -> Sequence[Session]:
    """Up to ``limit`` of a user's that are alive, the newest first."""
    _, most = bounds(0, limit)
    if not most:
        return []
    documents = database["sessions"].find({"user_id": user_id, "expires_at": {"$gt": now}})
    documents = documents.sort([("created_on", DESCENDING), ("_id", DESCENDING)]).limit(most)
    return [_session(document) for document in await documents.to_list(length=None)]


async def expired(database: Database, *, now: int, limit: int) -> Sequence[Session]:
    """Up to ``limit`` that expired at or before ``now``, the longest ago first."""
    _, most = bounds(0, limit)
    if not most:
        return []
    documents = database["sessions"].find({"expires_at": {"$lte": now}}).sort("expires_at", ASCENDING).limit(most)
    return [_session(document) for document in await documents.to_list(length=None)]


async def remove(database: Database, session_id: str, *, expired_at: int | None = None) -> bool:
    """
    True for the one caller that removed it; with ``expired_at`` only if it expired at or before then.

    The answer is the server's count, and not a ``findAndModify`` that returns the document: FerretDB returns one
    document to several callers there, but counts what it really deleted.
    """
    criteria: dict[str, Any] = {"_id": session_id}
    if expired_at is not None:
        criteria["expires_at"] = {"$lte": expired_at}
    return (await database["sessions"].delete_one(criteria)).deleted_count == 1


async def page(database: Database, *, now: int, index: int, limit: int) -> Page[Session]:
    criteria = {"expires_at": {"$gt": now}}
    sessions = database["sessions"]
    skip, most = bounds(index, limit)
    count = await sessions.count_documents(criteria)
    if not most or skip >= count:
        return Page([], count)
    order = [("created_on", ASCENDING), ("_id", ASCENDING)]
    documents = await sessions.find(criteria).sort(order).skip(skip).limit(most).to_list(length=None)
    return Page([_session(document) for document in documents], count)


async def _find_one(database: Database, criteria: dict[str, Any]) -> Session | None:
    document = await database["sessions"].find_one(criteria)
    return _session(document) if document else None


def _session(document: dict[str, Any]) -> Session:
    return Session(
        id=document["_id"],
        token_hash=document["token_hash"],
        user_id=document["user_id"],
        username=document["username"],
        created_on=int(document["created_on"]),
        expires_at=int(document["expires_at"]),
        lifetime_ms=int(document["lifetime_ms"]),
        is_persistent=document["is_persistent"],
        address=document["address"],
        user_agent=document["user_agent"],
    )
