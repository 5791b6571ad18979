"""Ends of work that must not take longer than the server has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def ended_by(deadline: float, work: Awaitable[object]) -> bool:
    """Wait for ``work`` up to ``deadline``, of the loop's clock; then it is cancelled, and this is False."""
    try:
        async with asyncio.timeout_at(deadline):
            await work
    except TimeoutError:
        return False
    return True


def seconds_until(deadline: float) -> float:
    """How long it is until then; 0 if it is over."""
    return max(0.0, deadline - asyncio.get_running_loop().time())
