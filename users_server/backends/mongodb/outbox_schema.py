"""The step of :mod:`.migrations` for owed web hook calls and idempotency keys. It does no harm when it is repeated."""

from __future__ import annotations

import contextlib

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database

COUNTER = "outbox"
"""The document of ``counters`` that gives deliveries and wills their places."""


async def index_outbox(database: Database) -> None:
    """Indexes of the collections, and the counter of places."""
    deliveries = database["outbox_deliveries"]
    for name, fields in (
        ("by_queue", ("key", "state", "place")),
        ("by_app", ("app", "state", "place")),
        ("by_node", ("node", "state", "place")),
        ("by_place", ("state", "place")),
        ("by_death", ("state", "died_on")),
    ):
        await deliveries.create_index([(field, ASCENDING) for field in fields], name=name)
    await database["outbox_queues"].create_index([("app", ASCENDING), ("ready_at", ASCENDING)], name="by_time")
    keys = database["idempotency_keys"]
    await keys.create_index([("scope", ASCENDING), ("expires_at", ASCENDING), ("_id", ASCENDING)], name="by_expiry")
    with contextlib.suppress(DuplicateKeyError):  # another node was first
        await database["counters"].insert_one({"_id": COUNTER, "value": 0})
