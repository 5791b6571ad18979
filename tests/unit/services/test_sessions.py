from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.services.conftest import LIFETIME_SECONDS, Services
from tests.unit.services.doubles import Interleaved
from users_server.backends.sqlite import SQLiteStore
from users_server.core.messages import Revocation
from users_server.errors import StoreUnavailable, Unauthenticated
from users_server.services.sessions import EXPIRE_BATCH, SessionService
from users_server.services.settings import SessionSettings
from users_server.services.user_events import UserEventPublisher

LOGIN, LOGOUT = ("Login", "bob"), ("Logout", "bob")


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


@pytest.mark.gen_test
async def test_open_stores_the_hash_of_the_cookie_only(services: Services, tmp_path: Path) -> None:
    user = await services.add_user()
    session, cookie = await services.sessions.open(user, address="192.0.2.1", user_agent="browser")
    assert len(cookie) == 43
    assert session.token_hash == hashlib.sha256(cookie.encode()).hexdigest()
    assert len(session.id) == 24
    assert session.id not in cookie
    assert (session.user_id, session.username) == (user.id, "bob")
    assert (session.address, session.user_agent, session.is_persistent) == ("192.0.2.1", "browser", True)
    assert session.created_on == services.clock.now_ms()
    assert session.expires_at == services.clock.now_ms() + LIFETIME_SECONDS * 1000
    assert await services.sessions.find(cookie) == session
    assert await services.sessions.get(session.id) == session
    stored = all_bytes(tmp_path)
    assert session.token_hash.encode() in stored
    assert cookie.encode() not in stored


@pytest.mark.gen_test
async def test_open_records_and_announces_the_login(services: Services) -> None:
    user = await services.add_user()
    services.clock.advance(5)
    session, _ = await services.sessions.open(user)
    stored = await services.store.get_user(user.id)
    assert (stored.session_id, stored.last_logged_in) == (session.id, services.clock.now_ms())
    assert services.node.record == [LOGIN]


@pytest.mark.gen_test
async def test_cookies_differ(services: Services) -> None:
    user = await services.add_user()
    opened = [await services.sessions.open(user) for _ in range(20)]
    assert len({cookie for _, cookie in opened}) == len({session.id for session, _ in opened}) == 20


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("remember_me", "persistent", "expected"), [(True, True, True), (False, True, False), (True, False, False)]
)
async def test_who_outlives_the_browser(
    services: Services, remember_me: bool, persistent: bool, expected: bool
) -> None:
    user = await services.add_user()
    sessions = SessionService(
        services.store,
        UserEventPublisher(services.node),
        services.node,
        SessionSettings(persistent=persistent),
        services.clock,
    )
    session, _ = await sessions.open(user, remember_me=remember_me)
    assert session.is_persistent is expected
    assert session.lifetime_ms == 1_800_000


@pytest.mark.gen_test
async def test_what_a_client_says_of_itself_is_bounded(services: Services) -> None:
    session, _ = await services.sessions.open(await services.add_user(), address="a" * 999, user_agent="b" * 9999)
    assert (len(session.address), len(session.user_agent)) == (64, 256)


@pytest.mark.gen_test
@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "x" * 100_000, "\ud800", "' OR 1=1 --"])
async def test_an_unknown_cookie_finds_nothing(services: Services, cookie: str) -> None:
    await services.sessions.open(await services.add_user())
    assert await services.sessions.find(cookie) is None


@pytest.mark.gen_test
async def test_neither_the_hash_nor_the_id_is_a_cookie(services: Services) -> None:
    session, _ = await services.sessions.open(await services.add_user())
    assert await services.sessions.find(session.token_hash) is None
    assert await services.sessions.find(session.id) is None


@pytest.mark.gen_test
async def test_the_expiry_slides_after_a_tenth_of_the_lifetime(services: Services) -> None:
    session, cookie = await services.sessions.open(await services.add_user())
    services.clock.advance(LIFETIME_SECONDS / 10)
    found = await services.sessions.find(cookie)
    assert found == session
    services.clock.advance(0.001)
    found = await services.sessions.find(cookie)
    assert found == replace(session, expires_at=services.clock.now_ms() + LIFETIME_SECONDS * 1000)
    assert await services.sessions.get(session.id) == found
    for _ in range(20):
        services.clock.advance(LIFETIME_SECONDS - 1)
        assert await services.sessions.find(cookie) is not None


@pytest.mark.gen_test
async def test_an_expired_session_is_not_found_before_it_is_swept(services: Services) -> None:
    session, cookie = await services.sessions.open(await services.add_user())
    services.clock.advance(LIFETIME_SECONDS)
    assert await services.sessions.find(cookie) is None
    assert await services.sessions.get(session.id) is None


@pytest.mark.gen_test
async def test_a_session_that_ends_while_it_slides_is_not_found(services: Services) -> None:
    session, cookie = await services.sessions.open(await services.add_user())
    services.clock.advance(LIFETIME_SECONDS / 2)
    store = Interleaved(services.store, "touch_session", lambda: services.sessions.close(session.id))
    assert await services.rebuilt(store).sessions.find(cookie) is None


@pytest.mark.gen_test
async def test_close_announces_and_revokes_once(services: Services) -> None:
    user = await services.add_user()
    session, cookie = await services.sessions.open(user)
    results = await asyncio.gather(*(services.sessions.close(session.id) for _ in range(20)))
    assert [result for result in results if result is not None] == [session]
    assert services.node.record == [LOGIN, LOGOUT, Revocation(session_id=session.id)]
    assert (await services.store.get_user(user.id)).session_id == ""
    assert await services.sessions.find(cookie) is None


@pytest.mark.gen_test
async def test_close_leaves_other_sessions_alone(services: Services) -> None:
    user = await services.add_user()
    first, _ = await services.sessions.open(user)
    second, second_cookie = await services.sessions.open(user)
    await services.sessions.close(first.id)
    assert await services.sessions.find(second_cookie) == second
    assert (await services.store.get_user(user.id)).session_id == second.id


@pytest.mark.gen_test
async def test_close_of_nothing_says_nothing(services: Services) -> None:
    assert await services.sessions.close("0" * 24) is None
    assert services.node.record == []


@pytest.mark.gen_test
async def test_close_all_ends_every_session_of_one_user(services: Services) -> None:
    bob, eve = await services.add_user("bob"), await services.add_user("eve")
    for _ in range(3):
        await services.sessions.open(bob)
    _, cookie = await services.sessions.open(eve)
    services.node.record.clear()
    assert await services.sessions.close_all(bob.id) == 3
    assert services.node.record == [LOGOUT, LOGOUT, LOGOUT, Revocation(user_id=bob.id)]
    assert await services.sessions.find(cookie) is not None
    assert (await services.store.get_user(bob.id)).session_id == ""
    assert await services.sessions.close_all(bob.id, announce=False) == 0


@pytest.mark.gen_test
async def test_close_all_can_be_silent(services: Services) -> None:
    user = await services.add_user()
    await services.sessions.open(user)
    services.node.record.clear()
    assert await services.sessions.close_all(user.id, announce=False) == 1
    assert services.node.record == [Revocation(user_id=user.id)]


@pytest.mark.gen_test
async def test_list_shows_live_sessions_page_by_page(services: Services) -> None:
    user = await services.add_user()
    opened = []
    for _ in range(3):
        opened.append((await services.sessions.open(user))[0])
        services.clock.advance(LIFETIME_SECONDS / 4)
    page = await services.sessions.list(1, 1)
    assert (page.items, page.count) == ([opened[1]], 3)
    services.clock.advance(LIFETIME_SECONDS / 4)
    assert (await services.sessions.list(0, 20)).items == opened[1:]
    assert (await services.sessions.list(-5, -5)).items == []
    assert (await services.sessions.list(0, 10**9)).count == 2


@pytest.mark.gen_test
async def test_expiry_ends_what_is_due_and_nothing_else(services: Services) -> None:
    user = await services.add_user()
    due, _ = await services.sessions.open(user)
    services.clock.advance(1)
    _, cookie = await services.sessions.open(user)
    services.node.record.clear()
    services.clock.advance(LIFETIME_SECONDS - 1.001)
    assert await services.sessions.expire() == 0
    services.clock.advance(0.001)
    assert await services.sessions.expire() == 1
    assert await services.sessions.expire() == 0
    assert services.node.record == [LOGOUT, Revocation(session_id=due.id)]
    assert await services.sessions.find(cookie) is not None


@pytest.mark.gen_test(timeout=30)
async def test_expiry_ends_more_than_one_batch(services: Services) -> None:
    user = await services.add_user()
    await asyncio.gather(*(services.sessions.open(user) for _ in range(EXPIRE_BATCH + 1)))
    services.clock.advance(LIFETIME_SECONDS)
    assert await services.sessions.expire() == EXPIRE_BATCH + 1


@pytest.mark.gen_test(timeout=30)
async def test_expiry_is_announced_exactly_once_across_nodes(services: Services, tmp_path: Path) -> None:
    user = await services.add_user()
    opened = [(await services.sessions.open(user))[0] for _ in range(230)]
    services.node.record.clear()
    services.clock.advance(LIFETIME_SECONDS)
    others = [SQLiteStore(tmp_path / "users.db") for _ in range(2)]
    for other in others:
        await other.open()
    nodes = [services, *(services.rebuilt(other) for other in others)]
    closed = asyncio.gather(*(services.sessions.close(session.id) for session in opened[::10]))
    counts = await asyncio.gather(*(node.sessions.expire() for node in nodes))
    assert sum(counts) + sum(result is not None for result in await closed) == 230
    assert services.node.events() == [LOGOUT] * 230
    assert {entry.session_id for entry in services.node.revocations()} == {session.id for session in opened}
    assert len(services.node.revocations()) == 230
    for other in others:
        await other.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("change", ["removed", "password"])
async def test_an_account_that_changes_during_the_login_gets_no_session(services: Services, change: str) -> None:
    user = await services.add_user()

    async def other() -> Any:
        if change == "removed":
            return await services.store.delete_user(user.id)
        return await services.store.set_password_hash(user.id, "another")

    for method in ("create_session", "get_user"):
        sessions = services.rebuilt(Interleaved(services.store, method, other)).sessions
        with pytest.raises(Unauthenticated):
            await sessions.open(user)
    assert (await services.sessions.list(0, 20)).count == 0
    assert services.node.record == []


@pytest.mark.gen_test
async def test_a_broker_that_is_away_does_not_stop_a_logout(services: Services) -> None:
    session, cookie = await services.sessions.open(await services.add_user())
    services.node.is_away = True
    with capture_logs() as logs:
        assert await services.sessions.close(session.id) == session
    assert await services.sessions.find(cookie) is None
    assert [entry["event"] for entry in logs] == ["logout", "event not published", "sockets not closed"]


@pytest.mark.gen_test
async def test_a_store_that_goes_away_does_not_stop_the_announcement(services: Services) -> None:
    session, _ = await services.sessions.open(await services.add_user())
    services.node.record.clear()
    store = Interleaved(services.store, "record_logout", services.store.close)
    await services.rebuilt(store).sessions.close(session.id)
    assert services.node.record == [LOGOUT, Revocation(session_id=session.id)]


@pytest.mark.gen_test
async def test_sockets_are_closed_even_if_the_store_is_away(services: Services) -> None:
    await services.store.close()
    with pytest.raises(StoreUnavailable):
        await services.sessions.close_all("abc")
    assert services.node.record == [Revocation(user_id="abc")]
