"""The full-text index of the SQLite store: it is used, and it is given up and made again as the SQLite at hand can."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tests.contract.databases import SQLiteDatabase, opened
from tests.contract.records import make_user
from users_server.backends.sqlite import search_index

pytestmark = pytest.mark.gen_test(timeout=30)


def plan(database: SQLiteDatabase, statement: str) -> str:
    with contextlib.closing(sqlite3.connect(database.path)) as connection:
        return " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))


def has_triggers(database: SQLiteDatabase) -> bool:
    with contextlib.closing(sqlite3.connect(database.path)) as connection:
        return search_index.is_in_step(connection)


async def test_a_server_without_the_index_searches_all_the_same(
    sqlite_database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(sqlite_database) as store:
        await store.create_user(make_user("before"))
    assert has_triggers(sqlite_database)
    with monkeypatch.context() as patched:
        patched.setattr(search_index, "_can_index", lambda _: False)
        async with opened(sqlite_database) as store:
            await store.create_user(make_user("beforehand"))
            assert (await store.list_users(search="before")).count == 2
    assert not has_triggers(sqlite_database)
    async with opened(sqlite_database) as store:
        assert has_triggers(sqlite_database)
        assert [user.username for user in (await store.list_users(search="efor")).items] == ["before", "beforehand"]


async def test_the_index_agrees_with_the_accounts(sqlite_database: SQLiteDatabase) -> None:
    async with opened(sqlite_database) as store:
        users = [make_user() for _ in range(20)]
        for user in users:
            await store.create_user(user)
        for user in users[::2]:
            await store.delete_user(user.id)
        assert await store.set_email(users[1].id, "new@example.com", expected=users[1].email)
    with contextlib.closing(sqlite3.connect(sqlite_database.path)) as connection:
        connection.execute("INSERT INTO user_texts (user_texts, rank) VALUES ('integrity-check', 1)")
        assert connection.execute("SELECT value FROM counters WHERE name = 'users'").fetchone() == (10,)


async def test_a_page_and_a_login_read_indexes_alone(sqlite_database: SQLiteDatabase) -> None:
    async with opened(sqlite_database):
        pass
    page = plan(sqlite_database, "SELECT * FROM users ORDER BY created_on, id LIMIT 20 OFFSET 40")
    assert page == "SCAN users USING INDEX users_by_age"
    login = plan(sqlite_database, "SELECT * FROM users WHERE username_key = 'a' OR email_key = 'a'")
    assert "SCAN" not in login
    sessions = plan(sqlite_database, "SELECT * FROM sessions WHERE user_id = 'a' AND expires_at > 1")
    assert "sessions_by_user" in sessions
