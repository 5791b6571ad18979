from __future__ import annotations

import pytest

from tests.unit.services.doubles import ManualClock
from users_server.errors import LimitExceeded
from users_server.services.settings import LoginLimits
from users_server.services.throttle import LoginThrottle


def fail(throttle: LoginThrottle, account: str = "bob", address: str = "192.0.2.1", times: int = 1) -> None:
    for _ in range(times):
        throttle.check(account, address)
        throttle.failed(account, address)


def refusal(throttle: LoginThrottle, account: str = "bob", address: str = "192.0.2.1") -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        throttle.check(account, address)
    return caught.value


@pytest.fixture
def throttle(clock: ManualClock) -> LoginThrottle:
    return LoginThrottle(LoginLimits(3, 5, window_seconds=60, max_entries=10), clock)


def test_an_account_is_limited_from_every_address(throttle: LoginThrottle, clock: ManualClock) -> None:
    fail(throttle, address="192.0.2.1", times=2)
    clock.advance(20)
    fail(throttle, address="192.0.2.2")
    error = refusal(throttle, address="192.0.2.3")
    assert error.retry_after_seconds == 40
    assert error.message == "Too many failed logins; please try again later"
    throttle.check("alice", "192.0.2.1")


def test_names_are_compared_without_case(throttle: LoginThrottle) -> None:
    fail(throttle, "Bob")
    fail(throttle, "bob")
    fail(throttle, "BOB")
    refusal(throttle, "bOb")


def test_an_address_is_limited_for_every_account(throttle: LoginThrottle) -> None:
    for number in range(5):
        fail(throttle, f"user{number}")
    assert refusal(throttle, "alice").retry_after_seconds == 60
    throttle.check("alice", "192.0.2.2")


def test_the_window_ends_after_its_first_failure(throttle: LoginThrottle, clock: ManualClock) -> None:
    fail(throttle, times=3)
    clock.advance(59.999)
    assert refusal(throttle).retry_after_seconds == pytest.approx(0.001, abs=0.001)
    clock.advance(0.001)
    fail(throttle, times=3)
    assert refusal(throttle).retry_after_seconds == 60


def test_refused_attempts_do_not_prolong_the_window(throttle: LoginThrottle, clock: ManualClock) -> None:
    fail(throttle, times=3)
    for _ in range(100):
        refusal(throttle)
    clock.advance(60)
    throttle.check("bob", "192.0.2.1")


def test_success_clears_the_account_but_not_the_address(throttle: LoginThrottle) -> None:
    fail(throttle, times=2)
    throttle.check("bob", "192.0.2.1")
    throttle.succeeded("bob", "192.0.2.1")
    fail(throttle, times=3)
    refusal(throttle, "alice", "192.0.2.1")
    refusal(throttle, "bob", "192.0.2.2")


def test_successes_do_not_use_up_an_address(throttle: LoginThrottle) -> None:
    for _ in range(100):
        throttle.check("bob", "192.0.2.1")
        throttle.succeeded("bob", "192.0.2.1")


def test_attempts_under_way_count(throttle: LoginThrottle) -> None:
    for _ in range(3):
        throttle.check("bob", "192.0.2.1")
    assert refusal(throttle).retry_after_seconds == 1
    throttle.released("bob", "192.0.2.1")
    throttle.check("bob", "192.0.2.1")
    refusal(throttle)


def test_attempts_that_were_not_decided_are_forgotten(throttle: LoginThrottle) -> None:
    for _ in range(100):
        throttle.check("bob", "192.0.2.1")
        throttle.released("bob", "192.0.2.1")


def test_an_attempt_under_way_outlives_the_window(throttle: LoginThrottle, clock: ManualClock) -> None:
    fail(throttle)
    throttle.check("bob", "192.0.2.1")
    throttle.check("bob", "192.0.2.1")
    clock.advance(60)
    throttle.check("bob", "192.0.2.1")
    refusal(throttle)
    throttle.failed("bob", "192.0.2.1")
    clock.advance(30)
    throttle.failed("bob", "192.0.2.1")
    throttle.failed("bob", "192.0.2.1")
    assert refusal(throttle).retry_after_seconds == 30


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ],
)
def test_one_customer_is_one_address(throttle: LoginThrottle, first: str, second: str) -> None:
    for number in range(5):
        fail(throttle, f"user{number}", first)
    refusal(throttle, "alice", second)
    throttle.check("alice", "2001:db8:0:1::1")


def test_an_empty_address_is_not_counted(throttle: LoginThrottle) -> None:
    for number in range(20):
        fail(throttle, f"user{number}", "")


def test_a_limit_of_zero_is_none(clock: ManualClock) -> None:
    throttle = LoginThrottle(LoginLimits(0, 0), clock)
    fail(throttle, times=100)


def test_memory_is_bounded_and_the_oldest_goes_first(throttle: LoginThrottle) -> None:
    fail(throttle, "kept", "192.0.2.2", times=2)
    fail(throttle, "old", "192.0.2.1", times=3)
    for number in range(8):
        fail(throttle, f"user{number}", f"198.51.100.{number}")
    fail(throttle, "kept", "192.0.2.3")
    fail(throttle, "new", "192.0.2.4")
    assert len(throttle._accounts) == 10
    assert len(throttle._addresses) == 10
    refusal(throttle, "kept", "203.0.113.1")
    throttle.check("old", "203.0.113.1")


def test_long_names_take_no_more_memory(throttle: LoginThrottle) -> None:
    fail(throttle, "x" * 1_000_000, "y" * 1_000_000)
    assert max(len(key) for key in [*throttle._accounts._entries, *throttle._addresses._entries]) <= 254


def test_nothing_is_kept_of_successes(throttle: LoginThrottle) -> None:
    throttle.check("bob", "192.0.2.1")
    throttle.succeeded("bob", "192.0.2.1")
    assert len(throttle._accounts) == len(throttle._addresses) == 0
