"""What :class:`~users_server.core.interfaces.SessionStore` promises, on every store."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import LATER, NOW, field_types, make_session
from users_server.core.accounts import Session
from users_server.core.interfaces import Store
from users_server.errors import Conflict

UNKNOWN = "0" * 24

pytestmark = pytest.mark.gen_test(timeout=30)


async def create(store: Store, sessions: Iterable[Session]) -> None:
    await asyncio.gather(*(store.create_session(session) for session in sessions))


class TestSessions:
    async def test_a_session_comes_back_as_it_was_written(self, database: Database) -> None:
        full = make_session(
            username="Ann", lifetime_ms=2**40, is_persistent=False, address="2001:db8::1", user_agent="ß \\ '😀"
        )
        bare = make_session()
        async with opened(database) as store:
            await create(store, [full, bare])
            for session in (full, bare):
                by_token = await store.find_session(session.token_hash, now=NOW)
                by_id = await store.get_session(session.id, now=NOW)
                assert by_token == by_id == session
                assert by_id is not None
                assert field_types(by_id) == field_types(session)

    async def test_zero_values_are_kept(self, database: Database) -> None:
        zero = Session(
            id="",
            token_hash="",
            user_id="",
            username="",
            created_on=0,
            expires_at=0,
            lifetime_ms=0,
            is_persistent=False,
        )
        async with opened(database) as store:
            await store.create_session(zero)
            assert await store.get_session("", now=-1) == zero
            assert await store.get_session("", now=0) is None
            assert await store.delete_sessions_of_user("") == [zero]

    async def test_nothing_is_there_at_first(self, database: Database) -> None:
        async with opened(database) as store:
            assert await store.find_session("0" * 64, now=NOW) is None
            assert await store.get_session(UNKNOWN, now=NOW) is None
            assert await store.touch_session(UNKNOWN, expires_at=LATER) is False
            assert await store.delete_session(UNKNOWN) is None
            assert list(await store.delete_sessions_of_user(UNKNOWN)) == []
            assert list(await store.take_expired_sessions(now=LATER, limit=10)) == []
            page = await store.list_sessions(now=NOW)
            assert (page.items, page.count) == ([], 0)

    async def test_ids_and_token_hashes_are_taken_once(self, database: Database) -> None:
        session = make_session()
        async with opened(database) as store:
            await store.create_session(session)
            with pytest.raises(Conflict):
                await store.create_session(make_session(id=session.id))
            with pytest.raises(Conflict):
                await store.create_session(make_session(token_hash=session.token_hash))
            assert (await store.list_sessions(now=NOW)).items == [session]

    async def test_a_session_ends_at_its_expiry(self, database: Database) -> None:
        session = make_session(expires_at=LATER)
        async with opened(database) as store:
            await store.create_session(session)
            assert await store.find_session(session.token_hash, now=LATER - 1) == session
            assert await store.get_session(session.id, now=LATER - 1) == session
            assert await store.find_session(session.token_hash, now=LATER) is None
            assert await store.get_session(session.id, now=LATER) is None

    async def test_a_touch_moves_the_expiry_but_never_back(self, database: Database) -> None:
        session = make_session(expires_at=LATER)
        async with opened(database) as store:
            await store.create_session(session)
            await asyncio.gather(
                *(store.touch_session(session.id, expires_at=LATER + more) for more in (5, 10, 1, 7, -100))
            )
            assert await store.touch_session(session.id, expires_at=LATER - 1) is True
            assert await store.get_session(session.id, now=NOW) == dataclasses.replace(session, expires_at=LATER + 10)


class TestDeletion:
    async def test_a_session_is_deleted_by_one_caller(self, database: Database) -> None:
        session = make_session()
        async with opened(database) as one, opened(database) as other:
            await one.create_session(session)
            answers = await asyncio.gather(
                *((one, other)[number % 2].delete_session(session.id) for number in range(20))
            )
            assert [answer for answer in answers if answer is not None] == [session]
            assert await other.get_session(session.id, now=NOW) is None
            assert await one.touch_session(session.id, expires_at=LATER) is False

    async def test_a_touch_does_not_bring_a_deleted_session_back(self, database: Database) -> None:
        session = make_session()
        async with opened(database) as one, opened(database) as other:
            await one.create_session(session)
            await asyncio.gather(
                *(one.touch_session(session.id, expires_at=LATER + number) for number in range(10)),
                other.delete_session(session.id),
            )
            assert await one.get_session(session.id, now=NOW) is None

    async def test_all_sessions_of_a_user_go_and_no_others(self, database: Database) -> None:
        mine = [make_session("a" * 24) for _ in range(5)]
        expired = make_session("a" * 24, expires_at=NOW)
        other = make_session("b" * 24)
        async with opened(database) as store:
            await create(store, [*mine, expired, other])
            assert list(await store.delete_sessions_of_user("a" * 24)) == [*mine, expired]
            assert (await store.list_sessions(now=NOW)).items == [other]
            assert list(await store.delete_sessions_of_user("a" * 24)) == []

    async def test_each_session_of_a_user_goes_to_one_caller(self, database: Database) -> None:
        sessions = [make_session("a" * 24) for _ in range(15)]
        async with opened(database) as one, opened(database) as other:
            await create(one, sessions)
            answers = await asyncio.gather(
                *((one, other)[number % 2].delete_sessions_of_user("a" * 24) for number in range(6))
            )
            assert Counter(session for answer in answers for session in answer) == Counter(sessions)

    async def test_expired_sessions_are_taken_and_others_stay(self, database: Database) -> None:
        expired = [make_session(expires_at=NOW - age) for age in (30, 20, 0)]
        alive = make_session(expires_at=NOW + 1)
        async with opened(database) as store:
            await create(store, [alive, *expired])
            taken = await store.take_expired_sessions(now=NOW, limit=10)
            assert {session.id for session in taken} == {session.id for session in expired}
            assert list(await store.take_expired_sessions(now=NOW, limit=10)) == []
            assert await store.get_session(alive.id, now=NOW) == alive

    async def test_no_more_are_taken_than_asked_for(self, database: Database) -> None:
        async with opened(database) as store:
            await create(store, [make_session(expires_at=NOW) for _ in range(5)])
            assert list(await store.take_expired_sessions(now=NOW, limit=0)) == []
            assert [len(await store.take_expired_sessions(now=NOW, limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    async def test_each_expired_session_goes_to_one_caller(self, database: Database) -> None:
        sessions = [make_session("a" * 24, expires_at=NOW) for _ in range(20)]
        async with opened(database) as one, opened(database) as other:
            await create(one, sessions)
            answers = await asyncio.gather(
                one.take_expired_sessions(now=NOW, limit=20),
                other.take_expired_sessions(now=NOW, limit=20),
                one.delete_sessions_of_user("a" * 24),
                *(other.delete_session(session.id) for session in sessions[:5]),
            )
            taken: Counter[Session] = Counter()
            for answer in answers:
                taken.update([answer] if isinstance(answer, Session) else answer or [])
            assert taken == Counter(sessions)


class TestPages:
    async def test_the_alive_are_listed_oldest_first(self, database: Database) -> None:
        young, old, oldest = (make_session(created_on=NOW + age) for age in (30, 20, 10))
        expired = make_session(expires_at=NOW)
        async with opened(database) as store:
            await create(store, [old, young, oldest, expired])
            page = await store.list_sessions(now=NOW)
            assert (page.items, page.count) == ([oldest, old, young], 3)
            page = await store.list_sessions(now=NOW, index=1, limit=1)
            assert (page.items, page.count) == ([old], 3)
            page = await store.list_sessions(now=LATER)
            assert (page.items, page.count) == ([], 0)

    @pytest.mark.parametrize(("index", "limit"), [(0, 0), (0, -1), (2, 5), (10**30, 10**30)])
    async def test_an_empty_page_has_the_count(self, database: Database, index: int, limit: int) -> None:
        async with opened(database) as store:
            await create(store, [make_session(), make_session()])
            page = await store.list_sessions(now=NOW, index=index, limit=limit)
            assert (page.items, page.count) == ([], 2)
