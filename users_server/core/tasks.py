"""Tasks that belong to the node, so that none outlives it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

from users_server.core.acceptance import Accepted, Refused
from users_server.errors import UsersServerError

log = logging.getLogger(__name__)


class Tasks:
    """What the node does beside; a failure is logged, and :meth:`close` leaves nothing running."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``coroutine``; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def settle(self, outcome: Awaitable[object], what: str) -> None:
        """See to it that ``outcome`` comes to its end although nobody waits; a failure of a backend is a warning."""
        if isinstance(outcome, Accepted):
            return
        if isinstance(outcome, Refused):
            log.warning("%s failed: %s", what, outcome.error.message)
        elif isinstance(outcome, asyncio.Future):
            outcome.add_done_callback(lambda done: _look_at(done, what))
        else:
            self.spawn(_settle(outcome, what))

    async def close(self) -> None:
        """Cancel what is left and wait for it. Idempotent."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the node failed", exc_info=task.exception())


def _look_at(done: asyncio.Future[Any], what: str) -> None:
    error = None if done.cancelled() else done.exception()
    if isinstance(error, UsersServerError):
        log.warning("%s failed: %s", what, error.message)
    elif error is not None:
        log.error("%s failed", what, exc_info=error)


async def _settle(outcome: Awaitable[object], what: str) -> None:
    try:
        await outcome
    except UsersServerError as error:
        log.warning("%s failed: %s", what, error.message)
