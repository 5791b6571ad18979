"""What :class:`~users_server.core.interfaces.Store` promises of opening and closing, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import LATER, NOW, make_session, make_user
from users_server.core.interfaces import Store
from users_server.core.outbox import Execute
from users_server.errors import StartupError, StoreUnavailable

pytestmark = pytest.mark.gen_test(timeout=30)

CALLS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "check": lambda store: store.check(),
    "create_user": lambda store: store.create_user(make_user()),
    "find_user": lambda store: store.find_user("ann"),
    "get_user": lambda store: store.get_user("1"),
    "list_users": lambda store: store.list_users(),
    "count_users": lambda store: store.count_users(),
    "delete_user": lambda store: store.delete_user("1"),
    "set_password_hash": lambda store: store.set_password_hash("1", "hash"),
    "activate_user": lambda store: store.activate_user("1"),
    "record_login": lambda store: store.record_login("1", session_id="2", at=3),
    "record_logout": lambda store: store.record_logout("1", session_id="2"),
    "replace_meta": lambda store: store.replace_meta("1", {}, expected_version=0),
    "create_session": lambda store: store.create_session(make_session()),
    "find_session": lambda store: store.find_session("1", now=NOW),
    "get_session": lambda store: store.get_session("1", now=NOW),
    "touch_session": lambda store: store.touch_session("1", expires_at=LATER),
    "delete_session": lambda store: store.delete_session("1"),
    "delete_sessions_of_user": lambda store: store.delete_sessions_of_user("1"),
    "list_sessions": lambda store: store.list_sessions(now=NOW),
    "take_expired_sessions": lambda store: store.take_expired_sessions(now=NOW, limit=1),
    "write_outbox": lambda store: store.write_outbox([Execute("1", NOW)]),
    "due_apps": lambda store: store.due_apps(now=NOW),
    "claim_queues": lambda store: store.claim_queues("1", now=NOW, until=LATER, max_queues=1, max_deliveries=1),
    "execute_wills": lambda store: store.execute_wills("1", at=NOW),
    "keep_answer": lambda store: store.keep_answer("1", "2", answer="3"),
}


class TestLifecycle:
    async def test_what_was_written_is_there_after_reopening(self, database: Database) -> None:
        user, session = make_user(meta={"a": [1]}), make_session()
        async with opened(database) as store:
            await store.create_user(user)
            await store.create_session(session)
            await store.replace_meta(user.id, {"b": 2}, expected_version=0)
        async with opened(database) as store:
            found = await store.get_user(user.id)
            assert found is not None
            assert (found.username, found.meta, found.meta_version) == (user.username, {"b": 2}, 1)
            assert await store.get_session(session.id, now=NOW) == session

    async def test_one_store_can_be_opened_again(self, database: Database) -> None:
        store = database.store()
        for number in range(3):
            await store.open()
            assert await store.count_users() == number
            await store.create_user(make_user())
            await store.close()

    async def test_opening_and_closing_are_idempotent(self, database: Database) -> None:
        store = database.store()
        await store.close()
        await asyncio.gather(store.open(), store.open())
        await store.open()
        await store.check()
        await asyncio.gather(store.close(), store.close())
        await store.close()

    @pytest.mark.parametrize("call", CALLS)
    async def test_a_closed_store_is_unavailable(self, database: Database, call: str) -> None:
        store = database.store()
        with pytest.raises(StoreUnavailable):
            await CALLS[call](store)
        await store.open()
        await store.close()
        with pytest.raises(StoreUnavailable):
            await CALLS[call](store)

    async def test_closing_finishes_what_was_accepted(self, database: Database) -> None:
        async with opened(database) as store:
            users = [make_user() for _ in range(30)]
            tasks = [asyncio.create_task(store.create_user(user)) for user in users]
            await store.check()  # by now every task has begun
            await store.close()
            await asyncio.gather(*tasks)
        async with opened(database) as store:
            assert (await store.list_users(limit=100)).items == users

    async def test_a_caller_that_gives_up_harms_nobody(self, database: Database) -> None:
        async with opened(database) as store:
            users = [make_user() for _ in range(20)]
            tasks = [asyncio.create_task(store.create_user(user)) for user in users]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert answers[1::2] == [None] * 10
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
            for user in users[1::2]:
                assert await store.get_user(user.id) == user

    async def test_too_many_at_once_are_refused_and_the_others_served(self, database: Database) -> None:
        async with opened(database, max_waiting=5) as store:
            users = [make_user() for _ in range(100)]
            answers = await asyncio.gather(*(store.create_user(user) for user in users), return_exceptions=True)
            refused = [answer for answer in answers if answer is not None]
            assert refused
            for answer in refused:
                assert isinstance(answer, StoreUnavailable)
                assert "wait" in answer.message
            assert await store.count_users() == answers.count(None) >= 5


class TestSchema:
    async def test_many_nodes_migrate_at_once(self, database: Database) -> None:
        stores = [database.store() for _ in range(8)]
        try:
            await asyncio.gather(*(store.open() for store in stores))
            user = make_user()
            await stores[0].create_user(user)
            for store in stores:
                assert await store.get_user(user.id) == user
        finally:
            await asyncio.gather(*(store.close() for store in stores))

    async def test_migrating_again_changes_nothing(self, database: Database) -> None:
        user = make_user()
        for number in range(3):
            async with opened(database) as store:
                if not number:
                    await store.create_user(user)
                assert (await store.list_users()).items == [user]

    async def test_a_newer_schema_is_refused(self, database: Database) -> None:
        async with opened(database) as store:
            await store.create_user(make_user())
        database.set_schema_version(999)
        store = database.store()
        with pytest.raises(StartupError, match=r"999.*newer users-server"):
            await store.open()
        with pytest.raises(StoreUnavailable):
            await store.count_users()
        database.set_schema_version(database.latest_schema)
        async with opened(database) as store:
            assert await store.count_users() == 1
