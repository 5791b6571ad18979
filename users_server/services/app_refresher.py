"""Looks apps up again of which a change was told, or of which nothing was heard for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from users_server.errors import BackendError
from users_server.services.app_cache import AppCache

log = structlog.stdlib.get_logger(__name__)

RETRY_SECONDS = 1.0
CHECKED_AT_ONCE = 100


class AppRefresher:
    """
    Tells the observers of the cache what became of apps, one look-up at a time.

    Between :meth:`start` and :meth:`stop` it also looks, every ``interval_seconds``, at the hundred apps that were
    looked up the longest ago: the command line changes apps without a node that could tell.

    Args:
        max_waiting: How many apps may wait to be looked up; beyond it the first are left to that.
    """

    def __init__(self, cache: AppCache, *, max_waiting: int, interval_seconds: float = 5.0) -> None:
        self._cache = cache
        self._max_waiting = max(max_waiting, 1)
        self._interval_seconds = interval_seconds
        self._waiting: dict[str, None] = {}
        self._worker: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._is_failing = False

    def add(self, app_ids: Iterable[str]) -> None:
        """Look these up soon."""
        for app_id in app_ids:
            self._waiting.pop(app_id, None)
            if len(self._waiting) >= self._max_waiting:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[app_id] = None
        if self._waiting and self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="app-refresher")

    async def start(self) -> None:
        """Begin to look from time to time. Idempotent."""
        if self._timer is None:
            self._timer = asyncio.create_task(self._tick(), name="app-refresher-timer")

    async def stop(self) -> None:
        """End. What waits is forgotten. Idempotent."""
        tasks = [task for task in (self._timer, self._worker) if task is not None]
        self._timer = self._worker = None
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Return when nothing waits any more."""
        if self._worker is not None:
            await asyncio.wait({self._worker})

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            self.add(self._cache.longest_unchecked(CHECKED_AT_ONCE))

    async def _work(self) -> None:
        while self._waiting:
            app_id = next(iter(self._waiting))
            del self._waiting[app_id]
            try:
                await self._cache.refresh(app_id)
                self._is_failing = False
            except BackendError:
                self._report("changes of apps cannot be read: the store is away")
                self._waiting.setdefault(app_id)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                # one record that cannot be read must not keep the others from being read
                self._report("an app cannot be read", has_traceback=True)
        self._worker = None

    def _report(self, event: str, *, has_traceback: bool = False) -> None:
        if not self._is_failing:
            log.warning(event, exc_info=has_traceback)
        self._is_failing = True
