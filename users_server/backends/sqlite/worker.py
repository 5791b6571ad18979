"""A thread with a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from users_server.backends.sqlite.errors import is_busy, unavailable
from users_server.backends.sqlite.jobs import Job, JobQueue

_ATTEMPT_MS = 100
"""How long SQLite itself waits for locks, before it is asked again whether anybody still wants them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: ``error`` if it is set, else ``result``."""

    result: Any = None
    error: Exception | None = None


class Worker:
    """
    Runs the jobs of ``queue`` in transactions, several in one: one commit, and so one fsync, for all that wait.

    Each job has a savepoint, so that one that fails takes back its own changes only. A job's future is resolved when
    the transaction is over: what it says is on disk. If the transaction fails, every job of it fails.

    Args:
        connect: Called in the thread; makes the connection.
        path: Names the database in messages.
        begin: The statement that opens a transaction, with the locks that the jobs need.
        max_batch: How many jobs share a transaction at most.
        busy_timeout_seconds: How long another process may hold the locks.
    """

    def __init__(
        self,
        queue: JobQueue,
        connect: Callable[[], sqlite3.Connection],
        path: str,
        *,
        begin: str,
        max_batch: int,
        busy_timeout_seconds: float,
    ) -> None:
        self._queue = queue
        self._connect = connect
        self._path = path
        self._begin = begin
        self._max_batch = max_batch
        self._busy_timeout_seconds = busy_timeout_seconds

    async def start(self) -> None:
        """Start the thread; returns when its connection is open. Raises what ``connect`` raises."""
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        started = self._loop.create_future()
        # A daemon, so that a process that never closes its store can end. What is cut off there was not acknowledged.
        threading.Thread(target=self._run, args=(started,), name="sqlite", daemon=True).start()
        await started

    async def stopped(self) -> None:
        """Return when the queue was closed, all its jobs are done and the connection is closed."""
        await asyncio.shield(self._stopped)

    def _run(self, started: asyncio.Future[None]) -> None:
        try:
            try:
                connection = self._connect()
            except Exception as error:
                self._resolve([(started, Outcome(error=error))])
                return
            self._resolve([(started, Outcome())])
            with contextlib.closing(connection):
                while jobs := self._queue.take(self._max_batch):
                    # Whoever gave up waiting did not see it happen, so it need not happen.
                    wanted = [job for job in jobs if not job.future.cancelled()]
                    outcomes = self._run_batch(connection, wanted)
                    self._resolve([(job.future, outcome) for job, outcome in zip(wanted, outcomes, strict=True)])
        finally:
            self._resolve([(self._stopped, Outcome())])

    def _run_batch(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
        try:
            if not self._has_begun(connection, jobs):
                return [Outcome() for _ in jobs]
            outcomes = [self._run_job(connection, job) for job in jobs]
            connection.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return [Outcome(error=unavailable(error, self._path)) for _ in jobs]
        return outcomes

    def _has_begun(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> bool:
        """
        Open a transaction. False if nobody waits for the jobs any more: then the next ones need not wait for the locks.

        Raises :class:`sqlite3.OperationalError` if somebody else holds the locks for too long.
        """
        deadline = time.monotonic() + self._busy_timeout_seconds
        connection.execute(f"PRAGMA busy_timeout = {_ATTEMPT_MS}")
        try:
            while not all(job.future.cancelled() for job in jobs):
                try:
                    connection.execute(self._begin)
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or time.monotonic() >= deadline:
                        raise
                else:
                    return True
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self._busy_timeout_seconds * 1000)}")

    def _run_job(self, connection: sqlite3.Connection, job: Job) -> Outcome:
        connection.execute("SAVEPOINT job")
        try:
            outcome = Outcome(job.work(connection))
        except Exception as error:
            if not connection.in_transaction:
                # SQLite took back the whole transaction, as it does on a full disk: all jobs of it have failed.
                raise
            connection.execute("ROLLBACK TO job")
            is_theirs = isinstance(error, sqlite3.Error)
            outcome = Outcome(error=unavailable(error, self._path) if is_theirs else error)
        connection.execute("RELEASE job")
        return outcome

    def _resolve(self, pairs: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve_all, pairs)


def _resolve_all(pairs: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, outcome in pairs:
        if future.done():
            continue
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.result)
