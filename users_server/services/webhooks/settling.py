"""Telling the store what became of claims: those that end while one call is under way are told together."""

from __future__ import annotations

import asyncio

import structlog

from users_server.core.outbox import OutboxStore, QueueOutcome
from users_server.errors import StoreUnavailable

log = structlog.stdlib.get_logger(__name__)

BATCH = 500
RETRY_SECONDS = 0.5
GATHER_SECONDS = 0.005
"""How long the first of several waits for others, to be told together."""


class Settler:
    """Settles claims, one call of the store at a time. Whoever waits for it bounds how much is waiting."""

    def __init__(self, store: OutboxStore) -> None:
        self._store = store
        self._waiting: list[tuple[QueueOutcome, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._is_away = False

    async def settle(self, outcome: QueueOutcome) -> None:
        """Return when the store knows; while it is away, this waits."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, done))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="webhook-settler")
        await done

    async def stop(self) -> None:
        """End what is under way; claims that were not settled run out by themselves. Idempotent."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_SECONDS)
                batch = self._waiting[:BATCH]
                if not await self._try([outcome for outcome, _ in batch]):
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                del self._waiting[: len(batch)]
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._task = None

    async def _try(self, outcomes: list[QueueOutcome]) -> bool:
        """False if it is to be tried again."""
        try:
            await self._store.settle_queues(outcomes)
        except StoreUnavailable:
            if not self._is_away:
                log.warning("what became of web hooks cannot be written")
            self._is_away = True
            return False
        except Exception:
            log.exception("what became of web hooks was not written; they may be sent again")
        self._is_away = False
        return True
