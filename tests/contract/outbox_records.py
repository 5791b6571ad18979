"""Deliveries for the tests, with an id of its own each, and what the tests do with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tests.contract.records import NOW
from users_server.core.interfaces import Store
from users_server.core.outbox import Announce, Delivery, QueueClaim, QueueOutcome

APP = "shop"
NODE = "node-1"
LEASE = 10_000

_numbers = itertools.count(1)


def make_delivery(queue: str = "room", **fields: Any) -> Delivery:
    number = next(_numbers)
    values: dict[str, Any] = {"id": f"delivery{number:06}", "app": APP, "body": f"[{number}]", "created_on": NOW}
    return Delivery(queue=queue, **{**values, **fields})


async def owe(store: Store, *deliveries: Delivery) -> list[str]:
    """Write them, and give their ids."""
    await store.write_outbox([Announce(delivery, None, NODE) for delivery in deliveries])
    return [delivery.id for delivery in deliveries]


async def claim(
    store: Store, app: str = APP, *, now: int = NOW, max_queues: int = 100, max_deliveries: int = 100
) -> Sequence[QueueClaim]:
    return await store.claim_queues(
        app, now=now, until=now + LEASE, max_queues=max_queues, max_deliveries=max_deliveries
    )


async def claim_one(store: Store, app: str = APP, *, now: int = NOW, max_deliveries: int = 100) -> QueueClaim:
    (found,) = await claim(store, app, now=now, max_deliveries=max_deliveries)
    return found


def ids_of(claimed: QueueClaim) -> list[str]:
    return [delivery.id for delivery in claimed.deliveries]


async def waiting(store: Store, app: str | None = APP) -> list[str]:
    return [delivery.id for delivery in (await store.list_deliveries(app=app, limit=10_000)).items]


async def deliver_all(store: Store, app: str = APP, *, now: int = NOW) -> list[str]:
    """Claim and deliver until nothing is due; the ids in the order in which they were made."""
    made: list[str] = []
    while claims := await claim(store, app, now=now):
        for claimed in claims:
            made += ids_of(claimed)
        await store.settle_queues([QueueOutcome(each, delivered=tuple(ids_of(each)), due_at=now) for each in claims])
    return made
