"""What is true of the MongoDB store alone: its URL, its patterns, and a server that goes away."""

from __future__ import annotations

import asyncio
import re
import socket
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.databases import MongoDatabase, opened
from tests.contract.records import NOW, make_session, make_user
from tests.mongodb_server import MongoServer, find_own_mongodb
from users_server.backends.mongodb import MongoStore, parse_mongodb_url
from users_server.backends.mongodb.users import literal_pattern
from users_server.errors import StoreUnavailable

SECRET = "s3cret"


class TestLocation:
    @pytest.mark.parametrize(
        ("url", "database", "hosts"),
        [
            ("mongodb://localhost", "users_server", "localhost:27017"),
            ("mongodb://localhost:27018/", "users_server", "localhost:27018"),
            ("mongodb://localhost/?replicaSet=rs", "users_server", "localhost:27017"),
            ("mongodb://a,b:27018/accounts?replicaSet=rs", "accounts", "a:27017,b:27018"),
            (f"mongodb://me:{SECRET}@[::1]:27017/accounts", "accounts", "::1:27017"),
            (
                f"mongodb+srv://me:{SECRET}@cluster.example.com/accounts?srvMaxHosts=2",
                "accounts",
                "cluster.example.com",
            ),
            ("mongodb+srv://cluster.example.com", "users_server", "cluster.example.com"),
        ],
    )
    def test_a_url_names_hosts_and_a_database(self, url: str, database: str, hosts: str) -> None:
        location = parse_mongodb_url(url)
        assert (location.database, location.hosts) == (database, hosts)
        assert SECRET not in repr(location)

    @pytest.mark.parametrize(
        ("url", "mistake"),
        [
            ("", "must look like"),
            ("localhost", "must look like"),
            ("sqlite:///users.db", "must look like"),
            ("mongodb://", "driver takes"),
            ("mongodb://localhost:port/", "driver takes"),
            ("mongodb://localhost/?serverSelectionTimeout=5", "driver takes.*serverselectiontimeout"),
            ("mongodb://localhost/?tlsCAFile=/no/such/file", "driver takes.*no/such/file"),
            ("mongodb://localhost/two%20words", "bad database name"),
            ("mongodb://localhost/database.collection", "does not allow"),
            (f"mongodb://localhost/{'x' * 64}", "does not allow"),
            (f"mongodb://me:{SECRET}:{SECRET}@localhost/", "%40"),
            (f"mongodb://me:{SECRET}/{SECRET}@localhost/", "%40"),
            (f"mongodb://me:{SECRET}@localhost:{SECRET}/", "%40"),
            (f"mongodb://me:{SECRET}%zz@localhost/", "%40"),
            (f"mongodb://me:{SECRET}@{SECRET}@localhost/", "%40"),
            (f"mongodb://localhost/?tlsCertificateKeyFilePassword={SECRET}&x=y", "driver takes"),
        ],
    )
    def test_a_bad_url_says_what_is_wrong_and_hides_the_password(self, url: str, mistake: str) -> None:
        with pytest.raises(ValueError, match=f"(?i){mistake}") as caught:
            MongoStore(url)
        assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))
        assert caught.value.__context__ is None


class TestPatterns:
    @given(st.text(), st.text(), st.text())
    def test_a_literal_pattern_finds_the_text_and_only_it(self, before: str, text: str, after: str) -> None:
        pattern = literal_pattern(text)
        assert "\0" not in pattern
        for engine in (re, re2):
            assert engine.search(pattern, before + text + after)
            assert engine.fullmatch(pattern, text)
            assert bool(engine.search(pattern, before)) == (text in before)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def failure_of_opening(store: MongoStore) -> tuple[StoreUnavailable, float]:
    """The error, and how many seconds it took."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    return caught.value, time.monotonic() - started


@pytest.mark.gen_test(timeout=30)
class TestAway:
    async def test_nobody_listens(self) -> None:
        port = closed_port()
        error, seconds = await failure_of_opening(MongoStore(f"mongodb://me:{SECRET}@127.0.0.1:{port}/users"))
        assert seconds < 4
        assert f"127.0.0.1:{port} cannot be reached" in error.message
        assert SECRET not in "".join(traceback.format_exception(error))

    async def test_somebody_listens_and_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            error, seconds = await failure_of_opening(MongoStore(f"mongodb://me:{SECRET}@127.0.0.1:{port}/users"))
        assert seconds < 8
        assert SECRET not in "".join(traceback.format_exception(error))

    async def test_the_url_may_say_how_long_to_wait(self) -> None:
        url = f"mongodb://127.0.0.1:{closed_port()}/?SERVERSELECTIONTIMEOUTMS=100"
        _, seconds = await failure_of_opening(MongoStore(url))
        assert seconds < 1

    async def test_a_wrong_password_is_named_as_such(self, mongodb_database: MongoDatabase) -> None:
        url = mongodb_database.url.replace("mongodb://", f"mongodb://me:{SECRET}@")
        error, _ = await failure_of_opening(MongoStore(f"{url}?authSource=admin"))
        assert "check the name and password in database.url" in error.message
        assert SECRET not in "".join(traceback.format_exception(error))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MongoServer]:
    server = find_own_mongodb(tmp_path / "mongodb")
    server.start()
    yield server
    server.kill()


@pytest.mark.gen_test(timeout=60)
class TestOutage:
    async def test_a_store_that_could_not_open_can_be_tried_again(self, own_server: MongoServer) -> None:
        own_server.stop()
        store = MongoStore(f"{own_server.database_url()}?serverSelectionTimeoutMS=500")
        await failure_of_opening(store)
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.count_users()
        own_server.start()
        await store.open()
        assert await store.count_users() == 0
        await store.close()

    async def test_a_killed_server_is_used_again_when_it_is_back(self, own_server: MongoServer) -> None:
        users = [make_user() for _ in range(20)]
        async with opened(MongoDatabase(f"{own_server.database_url()}?serverSelectionTimeoutMS=1000")) as store:
            await asyncio.gather(*(store.create_user(user) for user in users))
            writing = [asyncio.create_task(store.create_user(make_user())) for _ in range(20)]
            await writing[0]
            own_server.kill()
            for answer in await asyncio.gather(*writing, return_exceptions=True):
                assert answer is None or isinstance(answer, StoreUnavailable)
            for call in (store.check(), store.count_users(), store.create_user(make_user())):
                started = time.monotonic()
                with pytest.raises(StoreUnavailable, match="cannot be reached"):
                    await call
                assert time.monotonic() - started < 3
            own_server.start()
            await store.check()
            for user in users:
                assert await store.get_user(user.id) == user
            await store.create_user(make_user())

    async def test_a_server_that_hangs_is_unavailable_within_seconds(self, own_server: MongoServer) -> None:
        user = make_user()
        url = f"{own_server.database_url()}?socketTimeoutMS=1500&serverSelectionTimeoutMS=1000"
        async with opened(MongoDatabase(url), max_connections=4, max_waiting=20) as store:
            await store.create_user(user)
            own_server.pause()
            started = time.monotonic()
            tasks = [asyncio.create_task(store.get_user(user.id)) for _ in range(30)]
            refused, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            assert (len(refused), len(waiting)) == (6, 24)
            assert time.monotonic() - started < 1
            for answer in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(answer, StoreUnavailable)
            assert time.monotonic() - started < 4
            own_server.resume()
            await store.check()
            assert await store.get_user(user.id) == user

    async def test_every_session_is_reported_although_a_caller_gave_up(self, own_server: MongoServer) -> None:
        sessions = [make_session("a" * 24) for _ in range(60)]
        database = MongoDatabase(own_server.database_url())
        async with opened(database) as store, opened(database) as watcher:
            await asyncio.gather(*(store.create_session(session) for session in sessions))
            closing = asyncio.create_task(store.delete_sessions_of_user("a" * 24))
            while (await watcher.list_sessions(now=NOW)).count > 40:
                assert not closing.done()
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
            reported = Counter(await store.take_expired_sessions(now=NOW, limit=10))
            assert reported.total() == 10
            reported.update(await store.take_expired_sessions(now=NOW, limit=1000))
            reported.update(await store.delete_sessions_of_user("a" * 24))
            # One deletion may have been on its way when the caller gave up; nobody saw its answer.
            assert reported.total() >= len(sessions) - 1
            assert reported <= Counter(sessions)
