"""One writing thread and some reading ones, over one file."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from users_server.backends.sqlite.connections import open_reader, open_writer
from users_server.backends.sqlite.jobs import Job, JobQueue
from users_server.backends.sqlite.location import MEMORY
from users_server.backends.sqlite.worker import Worker
from users_server.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """
    Runs work on the file's connections, off the event loop.

    Writes happen in the order in which they were asked for. A read that is asked for after a write has returned sees
    it. Parameters as in :class:`~users_server.backends.sqlite.store.SQLiteStore`.
    """

    def __init__(
        self, path: str, *, readers: int, max_waiting: int, max_batch: int, busy_timeout_seconds: float
    ) -> None:
        self._path = path
        # What is in memory belongs to one connection, so there the writer reads too.
        self._readers = 0 if path == MEMORY else readers
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._busy_timeout_seconds = busy_timeout_seconds
        self._changing = asyncio.Lock()
        self._workers: list[tuple[Worker, JobQueue]] = []
        self._writes: JobQueue | None = None
        self._reads: JobQueue | None = None

    async def open(self) -> None:
        """Open the file and bring the schema up to date. Idempotent. Raises as :meth:`Store.open` does."""
        async with self._changing:
            if self._workers:
                return
            try:
                self._writes = await self._start("BEGIN IMMEDIATE", open_writer, workers=1, max_batch=self._max_batch)
                self._reads = (
                    await self._start("BEGIN", open_reader, workers=self._readers, max_batch=1)
                    if self._readers
                    else self._writes
                )
            except BaseException:
                await self._stop()
                raise

    async def close(self) -> None:
        """Finish what was accepted and let go of the file. Idempotent."""
        async with self._changing:
            await self._stop()

    def write(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Call ``work`` in a transaction that may write. When the result is there, it is on disk."""
        return _enqueue(self._writes, functools.partial(_call, work, args, kwargs))

    def read(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Call ``work`` in a transaction that sees one moment of the database."""
        return _enqueue(self._reads, functools.partial(_call, work, args, kwargs))

    async def _start(
        self, begin: str, connect: Callable[[str, float], sqlite3.Connection], *, workers: int, max_batch: int
    ) -> JobQueue:
        queue = JobQueue(self._max_waiting)
        opened = functools.partial(connect, self._path, self._busy_timeout_seconds)
        for _ in range(workers):
            worker = Worker(
                queue,
                opened,
                self._path,
                begin=begin,
                max_batch=max_batch,
                busy_timeout_seconds=self._busy_timeout_seconds,
            )
            self._workers.append((worker, queue))
            await worker.start()
        return queue

    async def _stop(self) -> None:
        self._writes = self._reads = None
        # The readers, which were started last, go first: the last connection that closes empties the write-ahead log,
        # and only the writer may.
        for worker, queue in reversed(self._workers):
            queue.close()
            await worker.stopped()
        self._workers.clear()


def _enqueue(queue: JobQueue | None, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
    if queue is None:
        raise StoreUnavailable("The database is not open")
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    queue.put(Job(work, future))
    return future


def _call(work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], connection: sqlite3.Connection) -> T:
    return work(connection, *args, **kwargs)
