"""What waits for a database thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from users_server.errors import StoreUnavailable


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Work on a connection, and the future that its result goes to."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


class JobQueue:
    """
    Jobs in the order of their arrival, from the event loop to threads.

    Args:
        limit: How many may wait. What is being worked on does not count.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, job: Job) -> None:
        """Add ``job``; never blocks. Raises :class:`StoreUnavailable` if too many wait, or after :meth:`close`."""
        with self._changed:
            if self._is_closed:
                raise StoreUnavailable("The database is closed")
            if len(self._jobs) >= self._limit:
                raise StoreUnavailable(f"{self._limit} requests wait for the database already; please try again later")
            self._jobs.append(job)
            self._changed.notify()

    def take(self, most: int) -> list[Job]:
        """Wait for a job, then take up to ``most``. Empty only when the queue is closed and everything was taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            return [self._jobs.popleft() for _ in range(min(most, len(self._jobs)))]

    def close(self) -> None:
        """Accept no more. What waits can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
