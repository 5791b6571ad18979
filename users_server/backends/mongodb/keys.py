"""One-time keys as documents. Operations for :class:`~.client.Client`; the promises are :class:`KeyStore`'s."""

from __future__ import annotations

from users_server.backends.mongodb.client import Database
from users_server.core.accounts import KeyKind, OneTimeKey


def key_id(kind: KeyKind, user_id: str) -> str:
    """The document of an account's key, and whose turn its changes are."""
    return f"{kind.value}:{user_id}"


async def put(database: Database, key: OneTimeKey) -> None:
    document = {
        "user_id": key.user_id,
        "key_hash": key.key_hash,
        "created_on": key.created_on,
        "expires_at": key.expires_at,
        "email": key.email,
    }
    await database["one_time_keys"].replace_one({"_id": key_id(key.kind, key.user_id)}, document, upsert=True)


async def find(database: Database, kind: KeyKind, user_id: str, *, now: int) -> OneTimeKey | None:
    document = await database["one_time_keys"].find_one({"_id": key_id(kind, user_id), "expires_at": {"$gt": now}})
    if document is None:
        return None
    return OneTimeKey(
        kind=kind,
        user_id=document["user_id"],
        key_hash=document["key_hash"],
        created_on=int(document["created_on"]),
        expires_at=int(document["expires_at"]),
        email=document["email"],
    )


async def take(database: Database, key: OneTimeKey) -> bool:
    criteria = {"_id": key_id(key.kind, key.user_id), "key_hash": key.key_hash}
    return (await database["one_time_keys"].delete_one(criteria)).deleted_count == 1


async def delete_of_user(database: Database, user_id: str) -> None:
    await database["one_time_keys"].delete_many({"_id": {"$in": [key_id(kind, user_id) for kind in KeyKind]}})
