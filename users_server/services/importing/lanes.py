"""Records side by side, but one after the other where one may be in the other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def side_by_side(
    items: Sequence[Item],
    keys_of: Callable[[Item], Collection[str]],
    work: Callable[[Item], Awaitable[Result]],
    *,
    at_once: int,
) -> list[Result]:
    """
    The results of ``work`` for all ``items``, in their order; ``at_once`` of them are worked on at most.

    Of two items that share a key, the later one begins when the earlier one is done, and not at all if that failed.

    Raises:
        Exception: What ``work`` raises for the first item, in their order, for which it does. Nothing is worked on any
            more then.
    """
    slots = asyncio.Semaphore(at_once)
    last: dict[str, asyncio.Task[Result]] = {}

    async def run(item: Item, earlier: Collection[asyncio.Task[Result]]) -> Result:
        if earlier:
            await asyncio.wait(earlier)
            for task in earlier:
                task.result()
        async with slots:
            return await work(item)

    tasks = []
    for item in items:
        keys = keys_of(item)
        tasks.append(asyncio.create_task(run(item, {last[key] for key in keys if key in last})))
        last.update(dict.fromkeys(keys, tasks[-1]))
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
