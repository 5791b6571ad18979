"""Work that is done again and again beside all other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from users_server.errors import StoreUnavailable

log = structlog.stdlib.get_logger(__name__)


LAST_WORK_SECONDS = 0.5
"""How long work may take that has begun when the server stops: nobody waits for it, and it is done again."""


class PeriodicTask:
    """
    Calls ``work`` every ``interval_seconds``, on a task of its own.

    A store that is away, and a bug of ``work``, are logged once until it succeeds again, and it goes on.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], *, interval_seconds: float) -> None:
        self._name = name
        self._work = work
        self._interval_seconds = interval_seconds
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False

    async def start(self) -> None:
        """Begin; the first call is made at once. Calling it twice has no effect."""
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self, patience_seconds: float = LAST_WORK_SECONDS) -> None:
        """End; what has begun is finished within the time, or cancelled where it stands. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping.set()
        try:
            await asyncio.wait({task}, timeout=patience_seconds)
        finally:
            task.cancel()
        await asyncio.wait({task})

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._work()
            except StoreUnavailable:
                self._report(has_traceback=False)
            except Exception:
                self._report(has_traceback=True)
            else:
                self._is_failing = False
            try:
                await asyncio.wait_for(self._stopping.wait(), self._interval_seconds)
            except TimeoutError:
                continue

    def _report(self, *, has_traceback: bool) -> None:
        if not self._is_failing:
            log.warning("periodic work failed", work=self._name, exc_info=has_traceback)
        self._is_failing = True
