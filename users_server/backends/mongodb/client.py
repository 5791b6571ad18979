"""The connection to the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import PyMongoError

from users_server.backends.mongodb.errors import unavailable
from users_server.backends.mongodb.location import MongoLocation
from users_server.backends.mongodb.turns import Turns
from users_server.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

Database: TypeAlias = AsyncIOMotorDatabase[dict[str, Any]]

_WRITE_TIMEOUT_MS = 3000
_DEFAULT_OPTIONS: dict[str, Any] = {
    "appname": "users-server",
    "connectTimeoutMS": 2000,
    "serverSelectionTimeoutMS": 2000,
    "socketTimeoutMS": _WRITE_TIMEOUT_MS + 1000,
    "waitQueueTimeoutMS": 2000,
}
"""What the URL does not say. A server that is away or hangs is known as such within seconds."""


class Client:
    """
    Runs operations on the database, bounded in number and in time.

    A server that was away is used again when it is back, without reopening.

    Args:
        max_connections: How many operations run at once.
        max_waiting: How many may wait beside them; more raise :class:`StoreUnavailable`.
    """

    def __init__(self, location: MongoLocation, *, max_connections: int, max_waiting: int) -> None:
        self._location = location
        self._max_connections = max_connections
        self._max_operations = max_connections + max_waiting
        self._changing = asyncio.Lock()
        self._turns = Turns()
        self._operations = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._client: AsyncIOMotorClient[dict[str, Any]] | None = None
        self._database: Database | None = None

    async def open(self, prepare: Callable[[Database], Awaitable[None]]) -> None:
        """Connect and call ``prepare``. Idempotent. Raises :class:`StoreUnavailable`, and what ``prepare`` raises."""
        async with self._changing:
            if self._database is not None:
                return
            try:
                await self._connect()
                # without haste: the index of a large collection takes its time
                async with self._bounded(is_patient=True) as database:
                    await prepare(database)
            except BaseException:
                await self._disconnect()
                raise

    async def close(self) -> None:
        """Finish what was accepted and let go. Idempotent."""
        async with self._changing:
            await self._disconnect()

    async def run(
        self, operation: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``operation``. Raises :class:`StoreUnavailable` if it fails, lasts too long, or if too many wait."""
        async with self._bounded() as database, self._slots:
            return await operation(database, *args, **kwargs)

    async def run_in_turn(
        self, key: str, operation: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As :meth:`run`, but operations of one ``key`` come one after the other (for FerretDB, see the package)."""
        async with self._bounded() as database, self._turns.of(key), self._slots:
            return await operation(database, *args, **kwargs)

    async def run_in_turns(
        self,
        keys: Iterable[str],
        operation: Callable[Concatenate[Database, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As :meth:`run_in_turn`, for an operation that takes the turns of several keys."""
        async with self._bounded() as database, contextlib.AsyncExitStack() as turns:
            for key in sorted(keys):  # in one order everywhere, so that no two wait for each other
                await turns.enter_async_context(self._turns.of(key))
            async with self._slots:
                return await operation(database, *args, **kwargs)

    @contextlib.asynccontextmanager
    async def _bounded(self, *, is_patient: bool = False) -> AsyncIterator[Database]:
        database = self._database
        if database is None:
            raise StoreUnavailable("The database is not open")
        if self._operations >= self._max_operations:
            raise StoreUnavailable(
                f"{self._operations} requests use or wait for the database already; please try again later"
            )
        self._operations += 1
        self._idle.clear()
        try:
            # The driver's timeouts end a call that a thread makes; this one also counts the wait for a thread.
            async with asyncio.timeout(None if is_patient else self._patience_seconds):
                yield database
        except TimeoutError as error:
            raise StoreUnavailable(
                f"MongoDB at {self._location.hosts} did not answer within {self._patience_seconds:g} seconds"
            ) from error
        except PyMongoError as error:
            raise unavailable(error, self._location.hosts) from error
        finally:
            self._operations -= 1
            if not self._operations:
                self._idle.set()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        defaults = {"maxPoolSize": self._max_connections, **_DEFAULT_OPTIONS}
        options = {name: value for name, value in defaults.items() if name.lower() not in self._location.options}

        def make() -> AsyncIOMotorClient[dict[str, Any]]:
            return AsyncIOMotorClient(self._location.url, io_loop=loop, **options)

        try:
            self._client = await asyncio.to_thread(make)  # an SRV URL asks DNS here
        except (PyMongoError, OSError) as error:
            raise StoreUnavailable(
                f"The MongoDB driver cannot use database.url for {self._location.hosts} ({type(error).__name__}); "
                "check its host, its options and the files that they name"
            ) from error
        client_options = self._client.delegate.options
        socket_timeout = client_options.pool_options.socket_timeout
        self._patience_seconds = (
            None if socket_timeout is None else socket_timeout + client_options.server_selection_timeout
        )
        self._slots = asyncio.Semaphore(self._max_connections)
        # What was acknowledged is on the disks of a majority, journaled where the server has a journal; and what was
        # written is read again. Both are promises of the store, so the URL cannot weaken them.
        self._database = self._client.get_database(
            self._location.database,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=_WRITE_TIMEOUT_MS),
        )

    async def _disconnect(self) -> None:
        self._database = None
        await self._idle.wait()
        if self._client is not None:
            client, self._client = self._client, None
            await asyncio.to_thread(client.close)  # tells the server, which may be slow
