from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.unit.services.doubles import ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.errors import StoreUnavailable
from users_server.services.settings import LoginLimits
from users_server.services.throttle import MESSAGE, LoginLocked, LoginThrottle

LIMITS = LoginLimits(3, 5, window_seconds=60, max_entries=10)

pytestmark = pytest.mark.gen_test


async def fail(throttle: LoginThrottle, account: str = "bob", address: str = "192.0.2.1", times: int = 1) -> None:
    for _ in range(times):
        await throttle.begin(account, address)
        await throttle.failed(account, address)


async def refusal(throttle: LoginThrottle, account: str = "bob", address: str = "192.0.2.1") -> LoginLocked:
    with pytest.raises(LoginLocked) as caught:
        await throttle.begin(account, address)
    assert caught.value.message == MESSAGE
    return caught.value


@pytest.fixture
def throttle(store: SQLiteStore, clock: ManualClock) -> LoginThrottle:
    return LoginThrottle(store, LIMITS, clock)


async def test_an_account_is_limited_from_every_address(throttle: LoginThrottle, clock: ManualClock) -> None:
    for number in range(3):
        await fail(throttle, "Bob", f"192.0.2.{number}")
    assert (await refusal(throttle, "bOB", "192.0.2.9")).retry_after_seconds == 60
    await throttle.begin("alice", "192.0.2.9")
    clock.advance(60)
    await throttle.begin("bob", "192.0.2.9")


async def test_an_address_is_limited_for_every_account(throttle: LoginThrottle) -> None:
    for number in range(5):
        await fail(throttle, f"user{number}")
    await refusal(throttle, "alice")
    await throttle.begin("alice", "192.0.2.2")


async def test_all_nodes_count_together(throttle: LoginThrottle, clock: ManualClock, tmp_path: Path) -> None:
    other_store = SQLiteStore(tmp_path / "users.db")
    await other_store.open()
    other = LoginThrottle(other_store, LIMITS, clock)
    await fail(throttle, times=2)
    await fail(other)
    await refusal(throttle)
    await refusal(other)
    await other_store.close()


async def test_guesses_in_parallel_do_not_slip_under_the_limit(throttle: LoginThrottle) -> None:
    begun = await asyncio.gather(*(throttle.begin("bob", "192.0.2.1") for _ in range(30)), return_exceptions=True)
    assert begun.count(None) == 3
    assert (await refusal(throttle)).retry_after_seconds == 1
    await throttle.released("bob", "192.0.2.1")
    await throttle.begin("bob", "192.0.2.1")


async def test_success_forgives_the_account_and_not_the_address(throttle: LoginThrottle) -> None:
    await fail(throttle, times=2)
    await throttle.begin("bob", "192.0.2.1")
    await throttle.succeeded("bob", "192.0.2.1")
    await fail(throttle, times=3)
    await refusal(throttle, "alice")
    await refusal(throttle, "bob", "192.0.2.2")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ],
)
async def test_one_customer_is_one_address(throttle: LoginThrottle, first: str, second: str) -> None:
    for number in range(5):
        await fail(throttle, f"user{number}", first)
    await refusal(throttle, "alice", second)
    await throttle.begin("alice", "2001:db8:0:1::1")


async def test_an_empty_address_is_not_counted(throttle: LoginThrottle) -> None:
    for number in range(20):
        await fail(throttle, f"user{number}", "")


async def test_a_limit_of_zero_is_none(store: SQLiteStore, clock: ManualClock) -> None:
    await fail(LoginThrottle(store, LoginLimits(0, 0), clock), times=20)


async def test_what_is_stored_is_bounded_and_names_nobody(
    throttle: LoginThrottle, clock: ManualClock, tmp_path: Path
) -> None:
    for number in range(20):
        await fail(throttle, f"user{number}" + "x" * 1000, f"198.51.100.{number}")
    await throttle.trim()
    with sqlite3.connect(tmp_path / "users.db") as connection:
        keys = [row[0] for row in connection.execute("SELECT key FROM login_attempts")]
    connection.close()
    assert len(keys) == 10
    assert {len(key.partition(":")[2]) for key in keys} == {64}
    assert not any("user" in key or "198" in key for key in keys)


async def test_a_lockout_is_news_once_in_a_window(throttle: LoginThrottle, clock: ManualClock) -> None:
    await fail(throttle, times=3)
    assert (await refusal(throttle)).is_news
    assert not (await refusal(throttle)).is_news
    assert (await refusal(throttle, address="192.0.2.2")).is_news
    clock.advance(60)
    await fail(throttle, times=3)
    assert (await refusal(throttle)).is_news


async def test_an_outage_refuses_new_attempts_and_breaks_none(throttle: LoginThrottle, store: SQLiteStore) -> None:
    await throttle.begin("bob", "192.0.2.1")
    await store.close()
    await throttle.failed("bob", "192.0.2.1")
    with pytest.raises(StoreUnavailable):
        await throttle.begin("bob", "192.0.2.1")
    await store.open()
    await throttle.begin("bob", "192.0.2.1")
    await throttle.begin("bob", "192.0.2.1")
    await refusal(throttle)
