"""What is true of the SQLite store alone."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.databases import SQLiteDatabase, opened
from tests.contract.records import LATER, NOW, make_session, make_user
from users_server.backends.sqlite import SQLiteStore, parse_sqlite_url
from users_server.backends.sqlite.database import Database
from users_server.errors import Conflict, StartupError, StoreUnavailable

WAL_HEADER = struct.Struct(">8I")
FRAME_HEADER = struct.Struct(">6I")


class TestLocation:
    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("sqlite:///users.db", "users.db"),
            ("sqlite:///data/users.db", "data/users.db"),
            ("sqlite:////var/lib/users.db", "/var/lib/users.db"),
            ("sqlite:///:memory:", ":memory:"),
            ("sqlite:///two%20words%3F%23.db", "two words?#.db"),
            ("sqlite:///ünï.db", "ünï.db"),
        ],
    )
    def test_a_url_names_a_path(self, url: str, path: str) -> None:
        assert parse_sqlite_url(url) == path

    @pytest.mark.parametrize(
        ("url", "mistake"),
        [
            ("", "must look like"),
            ("users.db", "must look like"),
            ("sqlite:", "must look like"),
            ("sqlite://users.db", "must look like"),
            ("mongodb://localhost/", "must look like"),
            ("sqlite:///", "names no file"),
            ("sqlite:////var/lib/", "names a directory"),
            ("sqlite:///users.db?mode=ro", "takes no options"),
            ("sqlite:///users.db#part", "takes no options"),
            ("sqlite:///us%00ers.db", "NUL"),
        ],
    )
    def test_a_bad_url_says_what_is_wrong(self, url: str, mistake: str) -> None:
        with pytest.raises(ValueError, match=mistake):
            parse_sqlite_url(url)

    def test_a_store_refuses_a_bad_url_at_once(self) -> None:
        with pytest.raises(ValueError, match="must look like"):
            SQLiteStore("sqlite://users.db")

    @pytest.mark.gen_test
    async def test_a_relative_path_stays_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = SQLiteStore("sqlite:///users.db")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        await store.open()
        await store.close()
        assert (tmp_path / "users.db").exists()

    @pytest.mark.gen_test
    async def test_a_name_that_looks_like_an_address_is_a_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = SQLiteStore("file:users.db?mode=memory")
        await store.open()
        await store.close()
        assert (tmp_path / "file:users.db?mode=memory").exists()


class TestMemory:
    @pytest.mark.gen_test
    async def test_it_is_a_whole_store_that_ends_with_closing(self) -> None:
        store = SQLiteStore("sqlite:///:memory:")
        await store.open()
        user, session = make_user("ann"), make_session()
        await store.create_user(user)
        with pytest.raises(Conflict):
            await store.create_user(make_user("ANN"))
        await store.create_session(session)
        users, page, found = await asyncio.gather(
            store.count_users(), store.list_users(search="AN"), store.find_session(session.token_hash, now=NOW)
        )
        assert (users, page.items, found) == (1, [user], session)
        assert await store.take_expired_sessions(now=LATER, limit=1) == [session]
        await store.close()
        await store.open()
        assert await store.count_users() == 0
        await store.close()


class TestFile:
    @pytest.mark.gen_test
    async def test_nobody_else_may_read_it(self, sqlite_database: SQLiteDatabase) -> None:
        async with opened(sqlite_database) as store:
            await store.create_user(make_user())
            for path in sqlite_database.path.parent.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.gen_test
    async def test_closing_leaves_one_file(self, sqlite_database: SQLiteDatabase) -> None:
        async with opened(sqlite_database) as store:
            await store.create_user(make_user())
        assert list(sqlite_database.path.parent.iterdir()) == [sqlite_database.path]

    @pytest.mark.gen_test
    async def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        store = SQLiteStore(tmp_path / "missing" / "users.db")
        with pytest.raises(StoreUnavailable, match=r"missing/users.db.*check that its directory exists"):
            await store.open()
        (tmp_path / "missing").mkdir()
        await store.open()
        await store.close()

    @pytest.mark.gen_test
    async def test_a_directory_is_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="cannot be opened"):
            await SQLiteStore(tmp_path).open()

    @pytest.mark.gen_test
    async def test_another_kind_of_file_is_left_alone(self, sqlite_database: SQLiteDatabase) -> None:
        content = b"A letter that somebody wrote.\n" * 100
        sqlite_database.path.write_bytes(content)
        with pytest.raises(StoreUnavailable, match=r"is not an SQLite database; name another file") as caught:
            await sqlite_database.store().open()
        assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
        assert sqlite_database.path.read_bytes() == content

    @pytest.mark.parametrize("statement", ["CREATE TABLE users (id)", "PRAGMA user_version = 1"])
    @pytest.mark.gen_test
    async def test_the_database_of_another_program_is_left_alone(
        self, sqlite_database: SQLiteDatabase, statement: str
    ) -> None:
        with contextlib.closing(sqlite3.connect(sqlite_database.path)) as connection:
            connection.execute(statement)
        content = sqlite_database.path.read_bytes()
        with pytest.raises(StartupError, match="another program"):
            await sqlite_database.store().open()
        assert sqlite_database.path.read_bytes() == content

    @pytest.mark.gen_test
    async def test_an_empty_file_is_a_new_database(self, sqlite_database: SQLiteDatabase) -> None:
        sqlite_database.path.touch()
        async with opened(sqlite_database) as store:
            assert await store.count_users() == 0


@contextlib.contextmanager
def locked(path: Path, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Another program that writes, for the length of the block."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(begin)
        yield
        connection.execute("ROLLBACK")


def commits_in_log(path: Path) -> int:
    """How many transactions the write-ahead log holds (https://sqlite.org/fileformat2.html, section 4)."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    _, _, page_size, _, *salts, _, _ = WAL_HEADER.unpack_from(log)
    commits = 0
    for start in range(WAL_HEADER.size, len(log), FRAME_HEADER.size + page_size):
        _, pages_after_commit, *frame_salts, _, _ = FRAME_HEADER.unpack_from(log, start)
        commits += frame_salts == salts and pages_after_commit > 0
    return commits


class TestLocks:
    @pytest.mark.gen_test
    async def test_a_lock_that_stays_is_named(self, sqlite_database: SQLiteDatabase) -> None:
        async with opened(sqlite_database, busy_timeout_seconds=0.1) as store:
            with locked(sqlite_database.path):
                for write in (store.create_user(make_user()), store.check()):
                    with pytest.raises(StoreUnavailable, match="locked by another process"):
                        await write
                assert await store.count_users() == 0
            await store.create_user(make_user())
            assert await store.count_users() == 1

    @pytest.mark.gen_test
    async def test_opening_a_locked_new_file_is_refused(self, sqlite_database: SQLiteDatabase) -> None:
        with locked(sqlite_database.path, "BEGIN EXCLUSIVE"):
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                await sqlite_database.store(busy_timeout_seconds=0.1).open()

    @pytest.mark.gen_test
    async def test_opening_and_reading_do_not_wait_for_a_writer(self, sqlite_database: SQLiteDatabase) -> None:
        user = make_user()
        async with opened(sqlite_database) as store:
            await store.create_user(user)
            with locked(sqlite_database.path):
                async with opened(sqlite_database) as other:
                    assert await other.get_user(user.id) == user

    @pytest.mark.gen_test
    async def test_what_waits_is_bounded(self, sqlite_database: SQLiteDatabase) -> None:
        async with opened(sqlite_database, max_waiting=3, max_batch=1) as store:
            with locked(sqlite_database.path):
                tasks = [asyncio.create_task(store.create_user(make_user())) for _ in range(20)]
                done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                assert len(waiting) in (3, 4)  # one more, if the writer had taken the first before the others came
                for task in done:
                    with pytest.raises(StoreUnavailable, match="3 requests wait"):
                        await task
            await asyncio.gather(*waiting)
            assert await store.count_users() == len(waiting)


class TestGroups:
    @pytest.mark.gen_test
    async def test_what_waits_is_committed_together(self, sqlite_database: SQLiteDatabase) -> None:
        async with opened(sqlite_database) as store:
            await store.create_user(make_user("ann"))
            before = commits_in_log(sqlite_database.path)
            users = [make_user("ANN" if number % 10 == 5 else None) for number in range(100)]
            with locked(sqlite_database.path):
                tasks = [asyncio.create_task(store.create_user(user)) for user in users]
                await asyncio.wait(tasks, timeout=0)  # let each begin
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(answer, Conflict) for answer in answers] == [user.username == "ANN" for user in users]
            assert await store.count_users() == 1 + 90
            # What the writer had taken before the rest came is one, the rest is another.
            assert 1 <= commits_in_log(sqlite_database.path) - before <= 2

    @pytest.mark.gen_test
    async def test_a_job_that_fails_takes_back_its_own_changes_only(self, tmp_path: Path) -> None:
        database = Database(
            str(tmp_path / "users.db"), readers=1, max_waiting=100, max_batch=100, busy_timeout_seconds=5.0
        )
        await database.open()

        def work(connection: sqlite3.Connection, number: int) -> int:
            connection.execute("INSERT INTO numbers VALUES (?)", (number,))
            if number % 3 == 0:
                raise ZeroDivisionError
            if number % 3 == 1:
                connection.execute("INSERT INTO nowhere VALUES (1)")
            return number

        def numbers(connection: sqlite3.Connection) -> list[int]:
            return [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]

        await database.write(lambda connection: connection.execute("CREATE TABLE numbers (number)").rowcount)
        with locked(tmp_path / "users.db"):
            tasks = [asyncio.ensure_future(database.write(work, number)) for number in range(12)]
            await asyncio.wait(tasks, timeout=0)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ZeroDivisionError, StoreUnavailable, int] * 4
        assert await database.read(numbers) == [2, 5, 8, 11]
        await database.close()

    @pytest.mark.gen_test
    async def test_a_reader_cannot_write(self, tmp_path: Path) -> None:
        database = Database(
            str(tmp_path / "users.db"), readers=1, max_waiting=100, max_batch=100, busy_timeout_seconds=5.0
        )
        await database.open()
        with pytest.raises(StoreUnavailable):
            await database.read(lambda connection: connection.execute("DELETE FROM users").rowcount)
        await database.close()


@pytest.mark.gen_test(timeout=30)
async def test_a_write_that_nobody_waits_for_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Somebody else holds the file: a caller that has given up must not make the close wait for him."""
    path = tmp_path / "held.db"
    store = SQLiteStore(f"sqlite:///{path}", busy_timeout_seconds=60)
    await store.open()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await store.create_user(make_user("ann"))
        async with asyncio.timeout(10):
            await store.close()
