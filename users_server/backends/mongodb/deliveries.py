"""
Owed web hook calls: lists, second chances and bounds. Operations for :class:`~.client.Client`; the promises are
:class:`~users_server.core.outbox.OutboxStore`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.outbox_records import DEAD, DELIVERIES, QUEUES, WAITING, delivery_of, touch_queues
from users_server.backends.mongodb.paging import bounds
from users_server.core.accounts import Page
from users_server.core.outbox import CROWDED_OUT, Delivery


async def page(database: Database, *, app: str | None, is_dead: bool, index: int, limit: int) -> Page[Delivery]:
    criteria = {"state": DEAD if is_dead else WAITING} | ({} if app is None else {"app": app})
    skip, most = bounds(index, limit)
    count = await database[DELIVERIES].count_documents(criteria)
    if not most or skip >= count:
        return Page([], count)
    documents = database[DELIVERIES].find(criteria).sort("place", ASCENDING).skip(skip).limit(most)
    return Page([delivery_of(document) async for document in documents], count)


async def dead_ones(database: Database, app: str, ids: Sequence[str] | None, *, limit: int) -> list[dict[str, Any]]:
    """Those to be replayed, the oldest first, without their bodies."""
    criteria: dict[str, Any] = {"app": app, "state": DEAD}
    if ids is not None:
        criteria["_id"] = {"$in": list(ids)}
    _, most = bounds(0, limit if ids is None else len(ids))
    if not most:
        return []
    found = database[DELIVERIES].find(criteria, {"key": 1, "app": 1, "queue": 1})
    return await found.sort("place", ASCENDING).limit(most).to_list(length=None)


async def replay(database: Database, dead: Sequence[dict[str, Any]], *, now: int, first_place: int) -> int:
    """How many were replayed by this call."""
    fields = {"state": WAITING, "created_on": now, "attempts": 0, "last_error": "", "died_on": 0}
    owed = [{**each, "created_on": now} for each in dead]
    await touch_queues(database, owed)
    operations = [
        UpdateOne({"_id": each["_id"], "state": DEAD}, {"$set": {**fields, "place": first_place + number}})
        for number, each in enumerate(dead)
    ]
    changed = await database[DELIVERIES].bulk_write(operations, ordered=True)
    await touch_queues(database, owed)
    return int(changed.matched_count)


async def excess(database: Database, *, state: str, most: int) -> Sequence[tuple[str, int]]:
    """Apps with more than ``most`` in a state, and up to which place these are too many."""
    found: list[tuple[str, int]] = []
    skip, _ = bounds(most, 1)
    for app in await database[DELIVERIES].distinct("app", {"state": state}):
        newest_first = database[DELIVERIES].find({"app": app, "state": state}, {"place": 1}).sort("place", DESCENDING)
        found += [(app, int(document["place"])) async for document in newest_first.skip(skip).limit(1)]
    return found


async def give_up(database: Database, app: str, up_to: int, *, now: int, limit: int) -> int:
    """Up to ``limit`` of those that wait longest, up to a place; how many."""
    criteria = {"app": app, "state": WAITING, "place": {"$lte": up_to}}
    found = database[DELIVERIES].find(criteria, {"_id": 1}).sort("place", ASCENDING).limit(limit)
    criteria["_id"] = {"$in": [document["_id"] async for document in found]}
    dead = {"state": DEAD, "died_on": now}
    untried = await database[DELIVERIES].update_many(
        {**criteria, "last_error": ""}, {"$set": {**dead, "last_error": CROWDED_OUT}}
    )
    tried = await database[DELIVERIES].update_many(criteria, {"$set": dead})
    return int(untried.matched_count + tried.matched_count)


async def remove_excess(database: Database, app: str, up_to: int, *, limit: int) -> int:
    """Up to ``limit`` of the dead ones, up to a place; how many."""
    return await _remove(database, {"app": app, "state": DEAD, "place": {"$lte": up_to}}, limit=limit)


async def remove_old(database: Database, *, dead_before: int, limit: int) -> int:
    """Up to ``limit`` of those that died before that moment; how many."""
    return await _remove(database, {"state": DEAD, "died_on": {"$lt": dead_before}}, limit=limit)


async def forget_app(database: Database, app: str, *, limit: int) -> bool:
    """Remove up to ``limit`` deliveries and wills, then as many queues. Whether there may be more."""
    if await _remove(database, {"app": app}, limit=limit):
        return True
    found = database[QUEUES].find({"app": app}, {"_id": 1}).limit(limit)
    removed = await database[QUEUES].delete_many({"_id": {"$in": [document["_id"] async for document in found]}})
    return bool(removed.deleted_count)


async def _remove(database: Database, criteria: dict[str, Any], *, limit: int) -> int:
    found = database[DELIVERIES].find(criteria, {"_id": 1}).limit(limit)
    ids = [document["_id"] async for document in found]
    if not ids:
        return 0
    # The criteria again: one may have been replayed meanwhile.
    return int((await database[DELIVERIES].delete_many({**criteria, "_id": {"$in": ids}})).deleted_count)
