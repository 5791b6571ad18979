"""A database as the original server kept it, and an empty target of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.conftest import database, mongodb_database, mongodb_server, sqlite_database
from tests.contract.databases import Database, SQLiteDatabase
from tests.importing.original import Original
from tests.mongodb_server import MongoServer, RunningMongoServer, drop_database
from users_server.config import Config
from users_server.config.settings import DatabaseSettings
from users_server.services.content_settings import FileSettings

__all__ = ["database", "mongodb_database", "mongodb_server", "sqlite_database"]


@pytest.fixture
def original(mongodb_server: MongoServer | RunningMongoServer) -> Iterator[Original]:
    source = Original(mongodb_server.database_url())
    yield source
    source.close()
    drop_database(source.url)


@pytest.fixture
def config(database: Database, tmp_path: Path) -> Config:
    """Of a server on the target."""
    url = f"sqlite:///{database.path}" if isinstance(database, SQLiteDatabase) else getattr(database, "url", "")
    files = FileSettings(folder=str(tmp_path / "files"))
    return replace(Config(), database=DatabaseSettings(url), files=files)
