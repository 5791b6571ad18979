"""Every test that asks for ``database`` runs once for each store."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.buses import Buses, MemoryBuses, RedisBuses
from tests.contract.databases import Database, MongoDatabase, SQLiteDatabase
from tests.mongodb_server import MongoServer, RunningMongoServer, drop_database, find_mongodb
from tests.redis_server import RedisServer, find_redis
from tests.s3_server import S3Server


@pytest.fixture(scope="session")
def mongodb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer | RunningMongoServer]:
    """One for all tests that leave it alone."""
    server = find_mongodb(tmp_path_factory.mktemp("mongodb"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> SQLiteDatabase:
    return SQLiteDatabase(tmp_path / "users.db")


@pytest.fixture
def mongodb_database(mongodb_server: MongoServer | RunningMongoServer) -> Iterator[MongoDatabase]:
    database = MongoDatabase(mongodb_server.database_url())
    yield database
    drop_database(database.url)


@pytest.fixture(params=["sqlite", "mongodb"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests that leave it alone."""
    server = RedisServer(find_redis(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One for all tests that leave it alone."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that the test may end; it forgets everything then."""
    server = RedisServer(find_redis(), tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def memory_buses() -> MemoryBuses:
    return MemoryBuses()


@pytest.fixture
def redis_buses(redis_server: RedisServer) -> RedisBuses:
    """With keys of their own."""
    return RedisBuses(redis_server.url, prefix=f"test-{secrets.token_hex(4)}:")


@pytest.fixture(params=["memory", "redis"])
def buses(request: pytest.FixtureRequest) -> Buses:
    found: Buses = request.getfixturevalue(f"{request.param}_buses")
    return found
