"""
Apps as documents. Operations for :class:`~.client.Client`; the promises are :class:`AppStore`'s.

Each key has a document of its own in ``app_keys``, so that it is unique. The app's record is what counts: a key that it
does not have finds nothing, so that what a crash leaves in ``app_keys`` does no harm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.paging import bounds
from users_server.backends.records import dump_app, load_app
from users_server.core.accounts import Page
from users_server.core.apps import App
from users_server.errors import Conflict


async def create(database: Database, app: App) -> None:
    if await database["retired_app_ids"].find_one({"_id": app.id}):
        raise Conflict("An app had that id before")
    await _take_keys(database, app)
    try:
        await database["apps"].insert_one({"_id": app.id, "version": app.version, **_fields(app)})
    except DuplicateKeyError as error:
        await _release_keys(database, app.id, _keys(app))
        raise Conflict("An app with that id already exists") from error


async def get(database: Database, app_id: str) -> App | None:
    document = await database["apps"].find_one({"_id": app_id})
    return _app(document) if document else None


async def find_by_key(database: Database, key: str) -> App | None:
    row = await database["app_keys"].find_one({"_id": key})
    app = await get(database, row["app_id"]) if row else None
    return app if app is not None and key in _keys(app) else None


async def page(database: Database, *, owner_id: str | None, index: int, limit: int) -> Page[App]:
    criteria = {} if owner_id is None else {"owner_id": owner_id}
    apps = database["apps"]
    skip, most = bounds(index, limit)
    count = await apps.count_documents(criteria)
    if not most or skip >= count:
        return Page([], count)
    order = [("created_on", ASCENDING), ("_id", ASCENDING)]
    documents = await apps.find(criteria).sort(order).skip(skip).limit(most).to_list(length=None)
    return Page([_app(document) for document in documents], count)


async def replace(database: Database, app: App) -> bool:
    criteria = {"_id": app.id, "version": app.version}
    current = await database["apps"].find_one(criteria)
    if current is None:
        return False
    await _take_keys(database, app)
    changed = await database["apps"].update_one(criteria, {"$set": {**_fields(app), "version": app.version + 1}})
    if changed.matched_count == 1:
        await _release_keys(database, app.id, _keys(_app(current)) - _keys(app))
        return True
    await _release_keys(database, app.id, _keys(app))
    return False


async def delete(database: Database, app_id: str) -> bool:
    if await get(database, app_id) is None:
        return False
    with contextlib.suppress(DuplicateKeyError):  # another caller is here, or a crash came after this line
        await database["retired_app_ids"].insert_one({"_id": app_id})
    is_ours = (await database["apps"].delete_one({"_id": app_id})).deleted_count == 1
    await database["app_keys"].delete_many({"app_id": app_id})
    return is_ours


async def _take_keys(database: Database, app: App) -> None:
    """Make the app's keys its own. Raises :class:`Conflict` if another app has one; none was taken then."""
    taken: list[str] = []
    for key in _keys(app):
        try:
            await database["app_keys"].insert_one({"_id": key, "app_id": app.id})
            taken.append(key)
        except DuplicateKeyError as error:
            row = await database["app_keys"].find_one({"_id": key})
            if row is None or row["app_id"] != app.id:
                await _release_keys(database, app.id, taken)
                raise Conflict("Another app has that key") from error


async def _release_keys(database: Database, app_id: str, keys: Iterable[str]) -> None:
    """Give back those of ``keys`` that the app, as it is now, does not have."""
    current = await get(database, app_id)
    unused = set(keys) - (_keys(current) if current else set())
    if unused:
        await database["app_keys"].delete_many({"_id": {"$in": sorted(unused)}, "app_id": app_id})


def _keys(app: App) -> set[str]:
    return {credentials.key for credentials in app.credentials}


def _fields(app: App) -> dict[str, Any]:
    return {"owner_id": app.owner_id, "created_on": app.created_on, "record": dump_app(app)}


def _app(document: dict[str, Any]) -> App:
    return load_app(document["record"], int(document["version"]))
