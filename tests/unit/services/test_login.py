from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import bcrypt
import pytest
from structlog.testing import capture_logs

from tests.unit.services.conftest import CHEAP, PASSWORD, Services
from tests.unit.services.doubles import HeldPasswords, Interleaved
from users_server.errors import (
    ClientError,
    InvalidValue,
    LimitExceeded,
    Overloaded,
    PermissionDenied,
    StoreUnavailable,
    Unauthenticated,
)
from users_server.services.passwords import PasswordService
from users_server.services.settings import LoginLimits, PasswordSettings
from users_server.services.throttle import LoginLocked

INCORRECT = "The username or password is incorrect."


async def refusal(services: Services, name: str, password: str, **others: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        await services.users.login(name, password, **others)
    return caught.value


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["Bob", "bOB", "bob@Example.com", "BOB@EXAMPLE.COM"])
async def test_login_by_username_or_email(services: Services, name: str) -> None:
    added = await services.add_user("Bob")
    services.clock.advance(1)
    user, session, cookie = await services.users.login(
        name, PASSWORD, remember_me=False, address="192.0.2.1", user_agent="browser"
    )
    assert user == await services.store.get_user(added.id)
    assert (user.session_id, user.last_logged_in) == (session.id, services.clock.now_ms())
    assert (session.is_persistent, session.address, session.user_agent) == (False, "192.0.2.1", "browser")
    assert await services.sessions.find(cookie) == session
    assert services.node.record == [("Login", "Bob")]


@pytest.mark.gen_test
async def test_logout(services: Services) -> None:
    await services.add_user()
    _, session, cookie = await services.users.login("bob@example.com", PASSWORD)
    assert await services.users.logout(session.id)
    assert not await services.users.logout(session.id)
    assert not await services.users.logout(None)
    assert await services.sessions.find(cookie) is None
    assert services.node.events() == [("Login", "bob"), ("Logout", "bob")]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "password", "kind", "message"),
    [
        ("", "", InvalidValue, "Please enter a valid username"),
        ("", PASSWORD, InvalidValue, "Please enter a valid username"),
        ("b o b", "", InvalidValue, "Please only use alpha numeric characters for your username"),
        ("bob'--", PASSWORD, InvalidValue, "Please only use alpha numeric characters for your username"),
        ("bob@", PASSWORD, InvalidValue, "Please only use alpha numeric characters for your username"),
        ("\ud800", PASSWORD, InvalidValue, "Please only use alpha numeric characters for your username"),
        ("bob", "", InvalidValue, "Please enter a valid password"),
        ("nobody", "", InvalidValue, "Please enter a valid password"),
        ("bob", "wrong", Unauthenticated, INCORRECT),
        ("bob", PASSWORD.upper(), Unauthenticated, INCORRECT),
        ("bob", "x" * 100_000, Unauthenticated, INCORRECT),
        ("bob@example.com", "wrong", Unauthenticated, INCORRECT),
        ("nobody", PASSWORD, Unauthenticated, INCORRECT),
        ("nobody@example.com", PASSWORD, Unauthenticated, INCORRECT),
        (
            "idle",
            PASSWORD,
            PermissionDenied,
            "Please authorise your account by clicking on the link that was sent to your email",
        ),
        ("idle", "wrong", Unauthenticated, INCORRECT),
    ],
)
async def test_refusals(services: Services, name: str, password: str, kind: type[ClientError], message: str) -> None:
    await services.add_user("bob")
    await services.add_user("idle", is_active=False)
    error = await refusal(services, name, password)
    assert type(error) is kind
    assert error.message == message
    assert services.node.record == []
    assert (await services.sessions.list(0, 20)).count == 0


@pytest.mark.gen_test
async def test_an_unknown_name_costs_what_a_wrong_password_does(services: Services) -> None:
    user = await services.add_user()
    first = await refusal(services, "bob", "wrong")
    second = await refusal(services, "nobody", "wrong")
    third = await refusal(services, "nobody@example.com", "wrong")
    assert services.passwords.verified == [user.password_hash, None, None]
    assert len({(type(error), error.message) for error in (first, second, third)}) == 1


@pytest.mark.gen_test
async def test_a_bcrypt_hash_is_renewed_at_login(services: Services) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    added = await services.add_user(password_hash=old)
    await refusal(services, "bob", "wrong")
    assert (await services.store.get_user(added.id)).password_hash == old
    user, _, _ = await services.users.login("bob", PASSWORD)
    stored = await services.store.get_user(added.id)
    assert user == stored
    assert PasswordService.scheme(stored.password_hash) == "argon2id"
    await services.users.login("bob", PASSWORD)
    assert (await services.store.get_user(added.id)).password_hash == stored.password_hash


@pytest.mark.gen_test
async def test_logins_in_parallel_may_renew_the_same_hash(services: Services) -> None:
    await services.add_user(password_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    await asyncio.gather(*(services.users.login("bob", PASSWORD) for _ in range(8)))
    assert (await services.sessions.list(0, 20)).count == 8
    await services.users.login("bob", PASSWORD)


@pytest.mark.gen_test
@pytest.mark.parametrize("change", ["password", "removed"])
async def test_a_renewal_does_not_undo_what_happened_meanwhile(services: Services, change: str) -> None:
    user = await services.add_user(password_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    new_hash = await services.passwords.hash("new password")

    async def other() -> Any:
        if change == "removed":
            return await services.store.delete_user(user.id)
        return await services.store.set_password_hash(user.id, new_hash)

    other_node = services.rebuilt(Interleaved(services.store, "set_password_hash", other))
    assert (await refusal(other_node, "bob", PASSWORD)).message == INCORRECT
    stored = await services.store.get_user(user.id)
    assert stored == (None if change == "removed" else replace(user, password_hash=new_hash))


@pytest.mark.gen_test
async def test_a_removal_during_the_login_leaves_no_session(services: Services) -> None:
    user = await services.add_user()
    store = Interleaved(services.store, "create_session", lambda: services.store.delete_user(user.id))
    assert isinstance(await refusal(services.rebuilt(store), "bob", PASSWORD), Unauthenticated)
    assert (await services.sessions.list(0, 20)).count == 0


@pytest.mark.gen_test
async def test_failures_of_an_account_are_limited_whether_it_exists_or_not(services: Services) -> None:
    await services.add_user("bob")
    errors = []
    for name in ("bob", "nobody"):
        for _ in range(10):
            assert (await refusal(services, name, "wrong")).message == INCORRECT
        errors.append(await refusal(services, name, PASSWORD, address="192.0.2.9"))
    assert isinstance(errors[0], LimitExceeded)
    assert isinstance(errors[1], LimitExceeded)
    assert errors[0].message == errors[1].message
    assert errors[0].retry_after_seconds == errors[1].retry_after_seconds == 300
    assert len(services.passwords.verified) == 20
    services.clock.advance(300)
    await services.users.login("bob", PASSWORD)


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("name", ["bob", "nobody"])
async def test_a_thousand_guesses_in_parallel_do_not_slip_under_the_limit(services: Services, name: str) -> None:
    await services.add_user("bob")
    guesses = (services.users.login(name, f"guess{n}", address=f"192.0.{n // 256}.{n % 256}") for n in range(1000))
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert Counter(type(result) for result in results) == {Unauthenticated: 10, LoginLocked: 990}
    assert len(services.passwords.verified) == 10
    assert isinstance(await refusal(services, name, PASSWORD), LimitExceeded)


@pytest.mark.gen_test(timeout=30)
async def test_a_thousand_names_in_parallel_from_one_address(services: Services) -> None:
    guesses = (services.users.login(f"user{n}", "guess", address="192.0.2.1") for n in range(1000))
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert Counter(type(result) for result in results) == {Unauthenticated: 50, LoginLocked: 950}
    assert len(services.passwords.verified) == 50


@pytest.mark.gen_test
async def test_the_right_password_clears_the_accounts_failures(services: Services) -> None:
    await services.add_user("bob")
    await services.add_user("idle", is_active=False)
    for _ in range(3):
        for _ in range(9):
            await refusal(services, "bob", "wrong")
        await services.users.login("bob", PASSWORD)
    for _ in range(20):
        assert isinstance(await refusal(services, "idle", PASSWORD), PermissionDenied)


@pytest.mark.gen_test
async def test_values_that_nobody_can_have_are_not_counted(services: Services) -> None:
    for _ in range(20):
        await refusal(services, "bob", "")
    assert (await refusal(services, "bob", "wrong")).message == INCORRECT


@pytest.mark.gen_test
async def test_an_outage_uses_up_no_attempts(services: Services) -> None:
    await services.add_user()
    await services.store.close()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await services.users.login("bob", "wrong")
    await services.store.open()
    await services.users.login("bob", PASSWORD)


@pytest.mark.gen_test
async def test_an_overload_uses_up_no_attempts(services: Services) -> None:
    held = services.passwords = HeldPasswords(PasswordSettings(hash_workers=1, max_waiting=0), costs=CHEAP)
    node = services.rebuilt(limits=LoginLimits(failures_per_account=50, failures_per_address=50))
    attempts = {asyncio.ensure_future(node.users.login("nobody", "wrong", address="192.0.2.1")) for _ in range(50)}
    pending = attempts
    while len(pending) > 1:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    held.go.set()
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert Counter(type(result) for result in results) == {Overloaded: 49, Unauthenticated: 1}
    for _ in range(49):
        await node.throttle.begin("nobody", "192.0.2.1")
    with pytest.raises(LimitExceeded):
        await node.throttle.begin("nobody", "192.0.2.1")
    await held.close()


@pytest.mark.gen_test
async def test_a_login_that_is_cancelled_counts_as_failed(services: Services) -> None:
    held = services.passwords = HeldPasswords(PasswordSettings(hash_workers=1), costs=CHEAP)
    node = services.rebuilt(limits=LoginLimits(failures_per_account=1))
    attempt = asyncio.ensure_future(node.users.login("nobody", "wrong"))
    await held.is_running.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    with pytest.raises(LimitExceeded) as caught:
        await node.throttle.begin("nobody", "")
    assert caught.value.retry_after_seconds == LoginLimits().window_seconds
    held.go.set()
    await held.close()


@pytest.mark.gen_test
async def test_a_limit_of_none_lets_everybody_try(services: Services) -> None:
    await services.add_user()
    node = services.rebuilt(limits=LoginLimits(0, 0))
    for _ in range(60):
        assert (await refusal(node, "bob", "wrong", address="192.0.2.1")).message == INCORRECT


@pytest.mark.gen_test
async def test_logs_name_the_account_and_no_secret(services: Services) -> None:
    await services.add_user()
    with capture_logs() as logs:
        await refusal(services, "nobody", "hunter2")
        await refusal(services, "bob", "hunter2", address="192.0.2.1\nfake")
        _, session, cookie = await services.users.login("bob@example.com", PASSWORD, address="192.0.2.1")
        await services.users.logout(session.id)
    assert [{**entry, "log_level": ""} for entry in logs] == [
        {"event": "login refused", "name": "nobody", "address": "", "reason": "unauthenticated", "log_level": ""},
        {
            "event": "login refused",
            "name": "bob",
            "address": "192.0.2.1?fake",
            "reason": "unauthenticated",
            "log_level": "",
        },
        {"event": "login", "username": "bob", "address": "192.0.2.1", "session_id": session.id, "log_level": ""},
        {"event": "logout", "username": "bob", "session_id": session.id, "log_level": ""},
    ]
    for secret in ("hunter2", PASSWORD, cookie, session.token_hash, "argon2"):
        assert secret not in repr(logs)
