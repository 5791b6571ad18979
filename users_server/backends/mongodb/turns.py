"""One at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Turns:
    """Locks by key, in this process. A key takes memory only while somebody has or wants its turn."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    @contextlib.asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Wait for the turn of ``key``; who asked first comes first."""
        turn = self._turns.setdefault(key, _Turn())
        turn.interested += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.interested -= 1
            if not turn.interested:
                del self._turns[key]


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.interested = 0
