"""
Owed web hook calls as documents.

A will is a delivery in a state of its own, under the same id, so that executing it is one change of one document. A
``place`` is a number that grows with each call of the store, on all nodes: the order in which deliveries came to be
owed. ``key`` names the queue's document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError

from users_server.backends.mongodb.client import Database
from users_server.core.outbox import Delivery, QueueClaim
from users_server.errors import StoreUnavailable

WILL, WAITING, DEAD = "will", "waiting", "dead"
DELIVERIES, QUEUES, NODES = "outbox_deliveries", "outbox_queues", "outbox_nodes"

BATCH = 250
"""Records that one operation changes of an app that may have very many, so that others need not wait for long."""

STEPS = 100
"""Steps, or wills, that one operation writes; each is an update of its own."""


MAX_TRIES = 20
"""Each further one needs another caller that has just begun or removed a queue."""

_DUPLICATE = 11000


def queue_key(app: str, queue: str) -> str:
    return f"{len(app)}:{app}:{queue}"


def document_of(delivery: Delivery, *, state: str, place: int, node: str) -> dict[str, Any]:
    """All fields but the id."""
    return {
        "key": queue_key(delivery.app, delivery.queue),
        "app": delivery.app,
        "queue": delivery.queue,
        "state": state,
        "place": place,
        "node": node,
        "body": delivery.body,
        "created_on": delivery.created_on,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "died_on": delivery.died_on,
    }


def delivery_of(document: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=document["_id"],
        app=document["app"],
        queue=document["queue"],
        body=document["body"],
        created_on=int(document["created_on"]),
        attempts=int(document["attempts"]),
        last_error=document["last_error"],
        died_on=int(document["died_on"]),
    )


@dataclass(frozen=True, slots=True)
class ClaimToken:
    """
    What a claim's token says.

    Attributes:
        name: As it is in the queue's document; that of all queues that were claimed by one call.
        number: Of the queue among these.
        writes: How many writes the queue had seen.
        is_whole: Whether the claim has all that waited in the queue.
    """

    name: str
    number: int
    writes: int
    is_whole: bool

    @classmethod
    def of(cls, claim: QueueClaim) -> Self:
        name, number, writes, is_whole = claim.token.split(".")
        return cls(name, int(number), int(writes), is_whole == "1")

    def __str__(self) -> str:
        return f"{self.name}.{self.number}.{self.writes}.{int(self.is_whole)}"


async def touch_queues(database: Database, deliveries: Iterable[Mapping[str, Any]]) -> None:
    """
    Say in their queues' documents that ``deliveries`` have been written; queues that are not there begin.

    Called after these were written: who removes an empty queue does it only if its ``writes`` did not change since it
    looked, so that a delivery is in a queue that is there, whichever came first. Raises :class:`StoreUnavailable` if
    others begin and remove the queues again and again.
    """
    queues: dict[str, dict[str, Any]] = {}
    for delivery in deliveries:
        queue = queues.setdefault(delivery["key"], {"_id": delivery["key"], **new_queue(delivery), "writes": 0})
        queue["writes"] += 1
    for _ in range(MAX_TRIES):
        taken = await insert_new(database[QUEUES], list(queues.values()), is_ordered=False)
        queues = {key: queues[key] for key in taken}
        if await _count_writes(database, queues.values()):
            return
    raise StoreUnavailable("Queues of deliveries are changed by others all the time; please try again later")


async def insert_new(
    collection: AsyncIOMotorCollection[dict[str, Any]], documents: Sequence[dict[str, Any]], *, is_ordered: bool
) -> set[str]:
    """Insert those whose ids are not taken; the ids that are. If ordered, none is there before an earlier one is."""
    taken: set[str] = set()
    while left := [document for document in documents if document["_id"] not in taken]:
        try:
            await collection.insert_many(left, ordered=is_ordered)
        except BulkWriteError as error:
            failures = (error.details or {})["writeErrors"]
            if any(failure["code"] != _DUPLICATE for failure in failures):
                raise
            if not is_ordered:
                return taken | {left[failure["index"]]["_id"] for failure in failures}
            ids = [document["_id"] for document in documents]
            taken |= {found["_id"] async for found in collection.find({"_id": {"$in": ids}}, {"_id": 1})}
        else:
            break
    return taken


async def _count_writes(database: Database, queues: Collection[Mapping[str, Any]]) -> bool:
    """Whether all are there. If not, some may be counted again: more ``writes`` than there were do no harm."""
    keys: dict[int, list[str]] = {}
    for queue in queues:
        keys.setdefault(queue["writes"], []).append(queue["_id"])
    matched = 0
    for writes, group in keys.items():
        changed = await database[QUEUES].update_many({"_id": {"$in": group}}, {"$inc": {"writes": writes}})
        matched += changed.matched_count
    return matched == len(queues)


def new_queue(delivery: Mapping[str, Any]) -> dict[str, Any]:
    """A queue whose first delivery this is; all fields but the id and ``writes``."""
    return {"app": delivery["app"], "queue": delivery["queue"], "ready_at": int(delivery["created_on"]), "token": ""}
