"""What accounts may use of the storage and what they use."""

from __future__ import annotations

from users_server.schemas.content import stats_entry
from users_server.services.storage_accounting import Quantity
from users_server.web.route import Answer, Call


async def get_stats(call: Call) -> Answer:
    stats = await call.context.content.accounting.show(call.identity, call.path["user"])
    return Answer({"data": stats_entry(stats)}, {"name": stats.username})


async def create_stats(call: Call) -> Answer:
    user = await call.context.content.accounting.create(call.identity, call.path["user"])
    return Answer(words={"name": user.username})


async def set_calls_used(call: Call) -> Answer:
    return await _set(call, "calls_used")


async def set_calls_allocated(call: Call) -> Answer:
    return await _set(call, "calls_allocated")


async def set_memory_used(call: Call) -> Answer:
    return await _set(call, "memory_used")


async def set_memory_allocated(call: Call) -> Answer:
    return await _set(call, "memory_allocated")


async def _set(call: Call, quantity: Quantity) -> Answer:
    value = await call.context.content.accounting.set(call.identity, call.path["user"], quantity, call.path["value"])
    return Answer(words={"value": value})
