"""The databases that every store's promises are tested on."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pymongo

from users_server.backends.mongodb import MongoStore
from users_server.backends.mongodb import migrations as mongodb_migrations
from users_server.backends.sqlite import SQLiteStore
from users_server.backends.sqlite import migrations as sqlite_migrations
from users_server.core.interfaces import Store


class Database(Protocol):
    """One empty database; each store that it makes is another node's."""

    @property
    def has_atomic_changes(self) -> bool:
        """Whether two nodes may change one record at once."""

    def store(self, **options: Any) -> Store:
        """Not open yet."""

    @property
    def latest_schema(self) -> int:
        """The version that this release brings a schema to."""

    def set_schema_version(self, version: int) -> None:
        """As another release would have done."""


class SQLiteDatabase:
    has_atomic_changes = True
    latest_schema = sqlite_migrations.LATEST

    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self, **options: Any) -> Store:
        return SQLiteStore(self.path, **options)

    def set_schema_version(self, version: int) -> None:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")


class MongoDatabase:
    latest_schema = mongodb_migrations.LATEST

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def has_atomic_changes(self) -> bool:
        with self._client() as client:
            version = str(client.admin.command("buildInfo").get("ferretdbVersion", ""))
        return not version.startswith("v1.")

    def store(self, **options: Any) -> Store:
        return MongoStore(self.url, **options)

    def set_schema_version(self, version: int) -> None:
        with self._client() as client:
            schema = client.get_default_database()["schema"]
            assert schema.update_one({}, {"$set": {"version": version}}).matched_count == 1

    def _client(self) -> pymongo.MongoClient[dict[str, Any]]:
        return pymongo.MongoClient(self.url, serverSelectionTimeoutMS=5000)


@contextlib.asynccontextmanager
async def opened(database: Database, **options: Any) -> AsyncIterator[Store]:
    """A store that is open for the length of the block."""
    store = database.store(**options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
