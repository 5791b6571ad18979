"""
Steps of the outbox, wills and nodes. Operations for :class:`~.client.Client`; the promises are
:class:`~users_server.core.outbox.OutboxStore`'s.

Of one queue, what is announced and executed is written in its order, so that a worker never sees a later one without an
earlier one. The queues are told afterwards (``touch_queues``). If the process dies between
the two, :func:`forget_node` finds what it had written last; what is executed for a dead node or replayed tells its
queue before as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pymongo import ASCENDING, DESCENDING, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.outbox_queues import hold, let_go
from users_server.backends.mongodb.outbox_records import (
    DEAD,
    DELIVERIES,
    NODES,
    WAITING,
    WILL,
    document_of,
    insert_new,
    queue_key,
    touch_queues,
)
from users_server.backends.mongodb.outbox_schema import COUNTER
from users_server.core.outbox import UNKNOWN_NODE_MS, Announce, Execute, OutboxNode, Retract, Step

LAST_WRITES = 5000
"""So many of a node's newest deliveries may have been on their way when it died."""

_Round: TypeAlias = tuple[list[dict[str, Any]], list[tuple[int, Execute]]]

_QUEUE_FIELDS = {"key": 1, "app": 1, "queue": 1, "created_on": 1}


async def take_places(database: Database, count: int) -> int:
    """The first of ``count`` places in a row, which nobody else gets."""
    counter = await database["counters"].find_one_and_update(
        {"_id": COUNTER}, {"$inc": {"value": count}}, return_document=ReturnDocument.AFTER
    )
    return int(counter["value"]) - count + 1


async def locate(database: Database, steps: Sequence[Step]) -> dict[str, tuple[str, str]]:
    """App and queue's key of each delivery and will that the steps name, as far as they are there."""
    ids = [step.will_id for step in steps if isinstance(step, Execute)]
    ids += [each for step in steps if isinstance(step, Retract) for each in (step.delivery_id, step.will_id) if each]
    found: dict[str, tuple[str, str]] = {}
    if ids:
        documents = database[DELIVERIES].find({"_id": {"$in": ids}}, {"app": 1, "key": 1})
        found = {document["_id"]: (document["app"], document["key"]) async for document in documents}
    for step in steps:
        if isinstance(step, Announce):
            announced = [each for each in (step.delivery, step.will) if each is not None]
            found |= {each.id: (each.app, queue_key(each.app, each.queue)) for each in announced}
    return found


async def write(
    database: Database, steps: Sequence[Step], *, located: Mapping[str, tuple[str, str]], first_place: int
) -> None:
    """``located`` is from :func:`locate`. One place is for each step."""
    together: list[tuple[int, Announce | Execute]] = []
    for number, step in enumerate(steps):
        place = first_place + number
        if isinstance(step, Retract):
            await _write(database, together, located)
            together.clear()
            await _retract(database, step, located, place=place)
        else:
            together.append((place, step))
    await _write(database, together, located)


async def renew(database: Database, node: OutboxNode) -> None:
    fields = {"process": node.process, "alive_until": node.alive_until}
    with contextlib.suppress(DuplicateKeyError):  # a will has made it known at this moment (on FerretDB)
        await database[NODES].update_one({"_id": node.id}, {"$set": fields}, upsert=True)
        return
    await database[NODES].update_one({"_id": node.id}, {"$set": fields})


async def nodes(database: Database) -> Sequence[OutboxNode]:
    found = database[NODES].find({}).sort("_id", ASCENDING)
    return [OutboxNode(each["_id"], each["process"], int(each["alive_until"])) async for each in found]


async def wills_of(database: Database, node: str, *, limit: int) -> list[dict[str, Any]]:
    """The oldest wills, without their bodies."""
    found = database[DELIVERIES].find({"node": node, "state": WILL}, _QUEUE_FIELDS)
    return await found.sort("place", ASCENDING).limit(limit).to_list(length=None)


async def execute(database: Database, wills: Sequence[dict[str, Any]], *, at: int, first_place: int) -> int:
    """Execute a dead node's wills; how many were executed by this call."""
    owed = [{**will, "created_on": at} for will in wills]
    await touch_queues(database, owed)
    operations = [
        _execution(will["_id"], at=at, place=first_place + number, changes={"node": ""})
        for number, will in enumerate(wills)
    ]
    changed = await database[DELIVERIES].bulk_write(operations, ordered=True)
    await touch_queues(database, owed)
    return int(changed.matched_count)


async def last_writes(database: Database, node: str) -> list[dict[str, Any]]:
    """What the node owed last, without the bodies."""
    found = database[DELIVERIES].find({"node": node, "state": WAITING}, _QUEUE_FIELDS)
    return await found.sort("place", DESCENDING).limit(LAST_WRITES).to_list(length=None)


async def forget_node(database: Database, node: str, *, alive_until: int) -> bool:
    known = await database[NODES].find_one({"_id": node})
    if known is None:
        return True
    if await _has_wills(database, node):
        return False
    removed = await database[NODES].delete_one({"_id": node, "alive_until": {"$lte": alive_until}})
    if removed.deleted_count and await _has_wills(database, node):
        # it was not dead, and announced something meanwhile
        with contextlib.suppress(DuplicateKeyError):
            await database[NODES].insert_one(known)
    return await database[NODES].find_one({"_id": node}) is None


async def _has_wills(database: Database, node: str) -> bool:
    return await database[DELIVERIES].find_one({"node": node, "state": WILL}, {"_id": 1}) is not None


async def _write(
    database: Database, steps: Sequence[tuple[int, Announce | Execute]], located: Mapping[str, tuple[str, str]]
) -> None:
    owed: list[dict[str, Any]] = []
    executed: list[str] = []
    nodes: dict[str, int] = {}
    for announced, executions in _rounds(steps, located):
        await insert_new(database[DELIVERIES], announced, is_ordered=True)
        if executions:
            operations = [_execution(step.will_id, at=step.at, place=place) for place, step in executions]
            await database[DELIVERIES].bulk_write(operations, ordered=True)
        owed += [document for document in announced if document["state"] == WAITING]
        executed += [step.will_id for _, step in executions]
    if executed:
        found = database[DELIVERIES].find({"_id": {"$in": executed}, "state": WAITING}, _QUEUE_FIELDS)
        owed += await found.to_list(length=None)
    if owed:
        await touch_queues(database, owed)
    for _, step in steps:
        if isinstance(step, Announce) and step.will is not None:
            nodes[step.node] = step.will.created_on + UNKNOWN_NODE_MS
    for node, alive_until in nodes.items():
        await _make_known(database, node, alive_until=alive_until)


def _rounds(steps: Sequence[tuple[int, Announce | Execute]], located: Mapping[str, tuple[str, str]]) -> list[_Round]:
    """
    In each round what can be inserted together, then what can be executed together.

    The order of each queue is kept; of different queues it need not be.
    """
    rounds: list[_Round] = []
    last: dict[str, tuple[int, bool]] = {}
    for place, step in steps:
        is_execution = isinstance(step, Execute)
        if isinstance(step, Execute):
            name = step.will_id
        else:
            name = next((each.id for each in (step.delivery, step.will) if each is not None), "")
        if name not in located:
            continue  # the will is gone, or there is nothing to announce
        _, key = located[name]
        number, was_execution = last.get(key, (0, False))
        number += was_execution and not is_execution
        last[key] = (number, is_execution)
        while len(rounds) <= number:
            rounds.append(([], []))
        if isinstance(step, Execute):
            rounds[number][1].append((place, step))
        else:
            rounds[number][0].extend(_documents(step, place=place))
    return rounds


def _documents(step: Announce, *, place: int) -> list[dict[str, Any]]:
    # The will first: what ends here leaves an end without a beginning, not a beginning that never ends.
    return [
        {"_id": each.id, **document_of(each, state=state, place=place, node=step.node)}
        for state, each in ((WILL, step.will), (WAITING, step.delivery))
        if each is not None
    ]


async def _make_known(database: Database, node: str, *, alive_until: int) -> None:
    """After its wills were written: who forgets it looks for wills afterwards."""
    if await database[NODES].find_one({"_id": node}, {"_id": 1}) is None:
        with contextlib.suppress(DuplicateKeyError):
            await database[NODES].insert_one({"_id": node, "process": "", "alive_until": alive_until})


def _execution(will_id: str, *, at: int, place: int, changes: dict[str, Any] | None = None) -> UpdateOne:
    fields = {"state": WAITING, "place": place, "created_on": at, **(changes or {})}
    return UpdateOne({"_id": will_id, "state": WILL}, {"$set": fields})


async def _retract(database: Database, step: Retract, located: Mapping[str, tuple[str, str]], *, place: int) -> None:
    is_unheard = step.delivery_id is None or await _drop_untried(database, step.delivery_id, at=step.at)
    if step.will_id is None:
        return
    if is_unheard:
        await database[DELIVERIES].delete_one({"_id": step.will_id, "state": WILL})
    else:
        await _write(database, [(place, Execute(step.will_id, step.at))], located)


async def _drop_untried(database: Database, delivery_id: str, *, at: int) -> bool:
    criteria = {"_id": delivery_id, "state": {"$in": [WAITING, DEAD]}, "attempts": 0}
    delivery = await database[DELIVERIES].find_one(criteria)
    if delivery is None:
        return False
    queue = await hold(database, delivery, at=at)
    if queue is None:
        return False
    is_dropped = (await database[DELIVERIES].delete_one(criteria)).deleted_count == 1
    await let_go(database, queue)
    return is_dropped
