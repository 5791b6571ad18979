"""
Queues of owed web hook calls as documents. Operations for :class:`~.client.Client`; the promises are
:class:`~users_server.core.outbox.OutboxStore`'s.

A queue's document is there while something waits in it, and for a while longer: who claims an empty one removes it.
Claiming and letting go are conditional updates of that one document.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.outbox_records import (
    DEAD,
    DELIVERIES,
    QUEUES,
    WAITING,
    ClaimToken,
    delivery_of,
    new_queue,
    queue_key,
)
from users_server.backends.mongodb.paging import bounds
from users_server.core.outbox import QueueClaim, QueueOutcome

HOLD_MS = 10_000
"""How long a queue is held at most by who looks into it without working on it, should its process die."""


async def due_apps(database: Database, *, now: int, after: str, limit: int) -> Sequence[str]:
    # MongoDB goes from one app to the next by the index, without a look at the queues between.
    apps = await database[QUEUES].distinct("app", {"app": {"$gt": after}, "ready_at": {"$lte": now}})
    return sorted(apps)[: max(limit, 0)]


async def claim(
    database: Database, app: str, *, now: int, until: int, max_queues: int, max_deliveries: int
) -> Sequence[QueueClaim]:
    _, most = bounds(0, max_queues)
    if not most:
        return []
    queues = database[QUEUES]
    due = queues.find({"app": app, "ready_at": {"$lte": now}}, {"_id": 1}).sort("ready_at", ASCENDING).limit(most)
    keys = [queue["_id"] async for queue in due]
    if not keys:
        return []
    name = secrets.token_hex(16)
    await queues.update_many(
        {"_id": {"$in": keys}, "ready_at": {"$lte": now}}, {"$set": {"ready_at": until, "token": name}}
    )
    held = {queue["_id"]: queue async for queue in queues.find({"_id": {"$in": keys}, "token": name})}
    most_deliveries = max(max_deliveries, 1)
    waiting = await _oldest(database, held, most=most_deliveries)
    await _end_empty(database, [queue for key, queue in held.items() if not waiting[key]], now=now)
    # as they were found: the longest due first
    return [
        _claim(held[key], number, waiting[key], most=most_deliveries)
        for number, key in enumerate(keys)
        if waiting.get(key)
    ]


async def settle(database: Database, outcomes: Sequence[QueueOutcome]) -> None:
    deliveries, queues = database[DELIVERIES], database[QUEUES]
    delivered = [each for outcome in outcomes for each in outcome.delivered]
    if delivered:
        await deliveries.delete_many({"_id": {"$in": delivered}, "state": {"$in": [WAITING, DEAD]}})
    await _keep_failures(database, [outcome for outcome in outcomes if outcome.failed or outcome.dead])
    ended: dict[tuple[str, int], list[str]] = {}
    released: dict[tuple[str, int], list[str]] = {}
    for outcome in outcomes:
        token = ClaimToken.of(outcome.claim)
        key = queue_key(outcome.claim.app, outcome.claim.queue)
        gone = {*outcome.delivered, *(each.id for each in outcome.dead)}
        left = [each for each in outcome.claim.deliveries if each.id not in gone]
        if token.is_whole and not left:
            ended.setdefault((token.name, token.writes), []).append(key)
        oldest = left[0] if left else outcome.claim.deliveries[-1]
        released.setdefault((token.name, outcome.due_at or oldest.created_on), []).append(key)
    for (name, writes), keys in ended.items():
        await queues.delete_many({"_id": {"$in": keys}, "token": name, "writes": writes})
    for (name, ready_at), keys in released.items():
        await queues.update_many({"_id": {"$in": keys}, "token": name}, {"$set": {"ready_at": ready_at, "token": ""}})


async def hasten(database: Database, app: str, *, now: int, limit: int) -> bool:
    """Make up to ``limit`` queues due. Whether there may be more."""
    criteria = {"app": app, "ready_at": {"$gt": now}, "token": ""}
    found = await database[QUEUES].find(criteria, {"_id": 1}).limit(limit).to_list(length=None)
    if found:
        keys = [queue["_id"] for queue in found]
        await database[QUEUES].update_many({"_id": {"$in": keys}, **criteria}, {"$set": {"ready_at": now}})
    return len(found) == limit


async def hold(database: Database, delivery: Mapping[str, Any], *, at: int) -> dict[str, Any] | None:
    """Keep the delivery's queue from workers: the queue as it was, for :func:`let_go`. None if a worker has it."""
    name = secrets.token_hex(16)
    held = {"ready_at": at + HOLD_MS, "token": name}
    found: Any = await database[QUEUES].find_one_and_update(
        {"_id": delivery["key"], "token": ""}, {"$set": held}, return_document=ReturnDocument.BEFORE
    )
    if found is not None:
        return {**found, "token": name}
    queue = {"_id": delivery["key"], **new_queue(delivery), "writes": 0}
    try:
        await database[QUEUES].insert_one({**queue, **held})
    except DuplicateKeyError:
        return None
    return {**queue, "token": name}


async def let_go(database: Database, queue: Mapping[str, Any]) -> None:
    """After :func:`hold`."""
    criteria = {"_id": queue["_id"], "token": queue["token"]}
    if await database[DELIVERIES].find_one({"key": queue["_id"], "state": WAITING}, {"_id": 1}) is None:
        await database[QUEUES].delete_one({**criteria, "writes": queue["writes"]})
    await database[QUEUES].update_one(criteria, {"$set": {"ready_at": queue["ready_at"], "token": ""}})


async def _oldest(
    database: Database, held: Mapping[str, Mapping[str, Any]], *, most: int
) -> dict[str, list[dict[str, Any]]]:
    """Of each queue up to ``most`` deliveries, and one more if there is one."""
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in held}
    order = [("key", ASCENDING), ("place", ASCENDING)]
    # Nothing more waits in a queue than was written to it: those with little are read together.
    small = [key for key, queue in held.items() if queue["writes"] <= most]
    if small:
        async for document in database[DELIVERIES].find({"key": {"$in": small}, "state": WAITING}).sort(order):
            found[document["key"]].append(document)
    for key in held.keys() - set(small):
        documents = database[DELIVERIES].find({"key": key, "state": WAITING}).sort(order).limit(most + 1)
        found[key] = await documents.to_list(length=None)
    return found


def _claim(queue: Mapping[str, Any], number: int, documents: Sequence[Mapping[str, Any]], *, most: int) -> QueueClaim:
    token = ClaimToken(queue["token"], number, int(queue["writes"]), is_whole=len(documents) <= most)
    deliveries = tuple(delivery_of(document) for document in documents[:most])
    return QueueClaim(queue["app"], queue["queue"], str(token), deliveries)


async def _end_empty(database: Database, queues: Sequence[Mapping[str, Any]], *, now: int) -> None:
    """Remove claimed queues in which nothing waits, or let go of those that are written to at this moment."""
    for queue in queues:
        criteria = {"_id": queue["_id"], "token": queue["token"]}
        if not (await database[QUEUES].delete_one({**criteria, "writes": queue["writes"]})).deleted_count:
            await database[QUEUES].update_one(criteria, {"$set": {"ready_at": now, "token": ""}})


async def _keep_failures(database: Database, outcomes: Sequence[QueueOutcome]) -> None:
    """Attempts, errors and deaths, of claims that nobody else has now."""
    names = {queue_key(each.claim.app, each.claim.queue): ClaimToken.of(each.claim).name for each in outcomes}
    if not names:
        return
    tokens = database[QUEUES].find({"_id": {"$in": list(names)}}, {"token": 1})
    ours = {queue["_id"] async for queue in tokens if queue["token"] == names[queue["_id"]]}
    operations = [
        UpdateOne(
            {"_id": each.id, "state": {"$in": [WAITING, DEAD]}},
            {
                "$set": {"attempts": each.attempts, "last_error": each.last_error}
                | ({"state": DEAD, "died_on": each.died_on} if each.died_on else {})
            },
        )
        for outcome in outcomes
        if queue_key(outcome.claim.app, outcome.claim.queue) in ours
        for each in (*outcome.dead, *([outcome.failed] if outcome.failed else []))
    ]
    if operations:
        await database[DELIVERIES].bulk_write(operations, ordered=False)
