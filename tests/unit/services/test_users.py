from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.services.conftest import ADMIN, PASSWORD, SERVICE, SUPER, Services, identity_of
from tests.unit.services.doubles import Interleaved
from users_server.core.accounts import Privilege
from users_server.core.messages import ANONYMOUS, Identity, Revocation
from users_server.errors import (
    ClientError,
    ConfigError,
    Conflict,
    InvalidValue,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    StartupError,
    Unauthenticated,
)
from users_server.services.settings import AdminUser

LOGGED_OUT = "You must be logged in to make this request"
NOT_ALLOWED = "You don't have permission to make this request"
NOT_ALPHANUMERIC = "Please only use alpha numeric characters for your username"
REGULAR = Identity("9" * 24, "somebody", Privilege.REGULAR)

NEW: dict[str, Any] = {"username": "Alice", "email": "Alice@example.com", "password": "secret"}


async def refusal(awaitable: Any) -> tuple[type[ClientError], str]:
    with pytest.raises(ClientError) as caught:
        await awaitable
    return type(caught.value), caught.value.message


@pytest.mark.gen_test
async def test_an_admin_creates_an_active_account(services: Services) -> None:
    user = await services.users.create(ADMIN, **NEW, privileges=2, meta={"a": [1]})
    assert user == await services.store.find_user("alice@EXAMPLE.com")
    assert (user.username, user.email, user.privileges, user.meta) == ("Alice", "Alice@example.com", 2, {"a": [1]})
    assert user.is_active
    assert user.created_on == services.clock.now_ms()
    assert len(user.id) == 24
    assert services.node.record == []
    await services.users.login("alice", "secret")


@pytest.mark.gen_test
async def test_an_account_is_regular_and_without_meta_by_default(services: Services) -> None:
    user = await services.users.create(SUPER, **NEW)
    assert (user.privileges, user.meta) == (3, {})


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("by", "changes", "kind", "message"),
    [
        (ANONYMOUS, {}, Unauthenticated, LOGGED_OUT),
        (SERVICE, {}, Unauthenticated, LOGGED_OUT),
        (REGULAR, {}, PermissionDenied, NOT_ALLOWED),
        (REGULAR, {"privileges": 1, "username": ""}, PermissionDenied, NOT_ALLOWED),
        (
            SUPER,
            {"privileges": 1, "username": "", "email": "", "password": ""},
            PermissionDenied,
            "You cannot create a user with super admin permissions",
        ),
        (ADMIN, {"username": "", "email": "", "password": ""}, InvalidValue, "Username cannot be empty"),
        (ADMIN, {"username": "a b", "email": "", "password": ""}, InvalidValue, "Username must be alphanumeric"),
        (ADMIN, {"username": "a@b.cd"}, InvalidValue, "Username must be alphanumeric"),
        (ADMIN, {"username": "x" * 255}, InvalidValue, "Username must be alphanumeric"),
        (ADMIN, {"email": "", "password": ""}, InvalidValue, "Email cannot be empty"),
        (ADMIN, {"email": "x", "password": ""}, InvalidValue, "Email must be valid"),
        (ADMIN, {"password": "", "privileges": 4}, InvalidValue, "Password cannot be empty"),
        (ADMIN, {"password": "x" * 1025, "privileges": 4}, InvalidValue, "Password cannot be longer than 1024 bytes"),
        (ADMIN, {"privileges": 4}, InvalidValue, "Privilege type is unrecognised"),
        (ADMIN, {"privileges": 0}, InvalidValue, "Privilege type is unrecognised"),
        (ADMIN, {"privileges": -1}, InvalidValue, "Privilege type is unrecognised"),
        (ADMIN, {"username": "bob", "privileges": 4}, InvalidValue, "Privilege type is unrecognised"),
        (ADMIN, {"username": "bob"}, Conflict, "A user with that name or email already exists"),
        (ADMIN, {"username": "BOB"}, Conflict, "A user with that name or email already exists"),
        (ADMIN, {"email": "BOB@example.com"}, Conflict, "A user with that name or email already exists"),
        (
            ADMIN,
            {"meta": {"a": "x" * 1000}},
            PayloadTooLarge,
            "The meta data is too large; at most 1000 bytes are allowed",
        ),
        (ADMIN, {"meta": {"a": 2**64}}, InvalidValue, "The meta data cannot be stored as JSON"),
    ],
)
async def test_refusals_of_create(
    services: Services, by: Identity, changes: dict[str, Any], kind: type[ClientError], message: str
) -> None:
    await services.add_user("bob")
    assert await refusal(services.users.create(by, **{**NEW, **changes})) == (kind, message)
    assert await services.store.count_users() == 1


@pytest.mark.gen_test
async def test_one_of_many_creates_wins(services: Services) -> None:
    creates = (services.users.create(ADMIN, **NEW) for _ in range(10))
    results = await asyncio.gather(*creates, return_exceptions=True)
    assert Counter(isinstance(result, Conflict) for result in results) == {True: 9, False: 1}
    assert await services.store.count_users() == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["bob", "BOB", "Bob@example.com"])
@pytest.mark.parametrize("by_himself", [True, False])
async def test_remove_ends_the_sessions_and_then_announces(services: Services, name: str, by_himself: bool) -> None:
    user = await services.add_user()
    cookies = [(await services.sessions.open(user))[1] for _ in range(2)]
    services.node.record.clear()
    assert (await services.users.remove(identity_of(user) if by_himself else ADMIN, name)).id == user.id
    assert services.node.record == [
        ("Logout", "bob"),
        ("Logout", "bob"),
        Revocation(user_id=user.id),
        ("Removed", "bob"),
    ]
    assert [await services.sessions.find(cookie) for cookie in cookies] == [None, None]
    assert await services.store.get_user(user.id) is None


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("by", "name", "kind", "message"),
    [
        (ANONYMOUS, "bob", Unauthenticated, LOGGED_OUT),
        (ANONYMOUS, "", Unauthenticated, LOGGED_OUT),
        (SERVICE, "bob", Unauthenticated, LOGGED_OUT),
        (REGULAR, "bob", PermissionDenied, NOT_ALLOWED),
        (REGULAR, "nobody", PermissionDenied, NOT_ALLOWED),
        (REGULAR, "root", PermissionDenied, NOT_ALLOWED),
        (ADMIN, "", InvalidValue, "Please enter a valid username"),
        (ADMIN, "a b", InvalidValue, NOT_ALPHANUMERIC),
        (ADMIN, "nobody", NotFound, "Could not find any users with those credentials"),
        (ADMIN, "root", PermissionDenied, "You cannot remove a super user"),
        (SUPER, "root", PermissionDenied, "You cannot remove a super user"),
        (SUPER, "root@example.com", PermissionDenied, "You cannot remove a super user"),
    ],
)
async def test_refusals_of_remove(
    services: Services, by: Identity, name: str, kind: type[ClientError], message: str
) -> None:
    await services.add_user("bob")
    await services.add_user("root", id=SUPER.user_id, privileges=Privilege.SUPER_ADMIN)
    assert await refusal(services.users.remove(by, name)) == (kind, message)
    assert await services.store.count_users() == 2
    assert services.node.record == []


@pytest.mark.gen_test
async def test_an_admin_may_remove_an_admin(services: Services) -> None:
    await services.add_user("other", privileges=Privilege.ADMIN)
    await services.users.remove(ADMIN, "other")
    assert await services.store.count_users() == 0


@pytest.mark.gen_test
async def test_one_of_many_removals_announces(services: Services) -> None:
    user = await services.add_user()
    await services.sessions.open(user)
    services.node.record.clear()
    removals = (services.users.remove(ADMIN, "bob") for _ in range(10))
    results = await asyncio.gather(*removals, return_exceptions=True)
    assert Counter(isinstance(result, NotFound) for result in results) == {True: 9, False: 1}
    assert services.node.record == [("Logout", "bob"), Revocation(user_id=user.id), ("Removed", "bob")]


@pytest.mark.gen_test
async def test_a_removal_is_announced_even_if_the_store_goes_away(services: Services) -> None:
    user = await services.add_user()
    store = Interleaved(services.store, "delete_sessions_of_user", services.store.close)
    await services.rebuilt(store).users.remove(ADMIN, "bob")
    assert services.node.record == [Revocation(user_id=user.id), ("Removed", "bob")]


@pytest.mark.gen_test
async def test_approve_activation(services: Services) -> None:
    user = await services.add_user(is_active=False)
    assert await services.users.approve_activation(ADMIN, "bob@example.com") == replace(user, register_key="")
    assert services.node.record == [("Activated", "bob")]
    await services.users.login("bob", PASSWORD)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("by", "name", "kind", "message"),
    [
        (ANONYMOUS, "idle", Unauthenticated, LOGGED_OUT),
        (REGULAR, "idle", PermissionDenied, NOT_ALLOWED),
        (ADMIN, "", InvalidValue, "Please enter a valid username"),
        (ADMIN, "a b", InvalidValue, NOT_ALPHANUMERIC),
        (ADMIN, "nobody", NotFound, "No user exists with the specified details"),
        (ADMIN, "bob", Conflict, "Account has already been activated"),
    ],
)
async def test_refusals_of_approve_activation(
    services: Services, by: Identity, name: str, kind: type[ClientError], message: str
) -> None:
    await services.add_user("bob")
    await services.add_user("idle", is_active=False)
    assert await refusal(services.users.approve_activation(by, name)) == (kind, message)
    assert services.node.record == []


@pytest.mark.gen_test
async def test_an_account_does_not_approve_itself(services: Services) -> None:
    user = await services.add_user(is_active=False)
    assert await refusal(services.users.approve_activation(identity_of(user), "bob")) == (PermissionDenied, NOT_ALLOWED)


@pytest.mark.gen_test
async def test_one_of_many_approvals_announces(services: Services) -> None:
    await services.add_user(is_active=False)
    approvals = (services.users.approve_activation(ADMIN, "bob") for _ in range(10))
    results = await asyncio.gather(*approvals, return_exceptions=True)
    assert Counter(isinstance(result, Conflict) for result in results) == {True: 9, False: 1}
    assert services.node.record == [("Activated", "bob")]


@pytest.mark.gen_test
async def test_get_is_for_the_owner_and_admins(services: Services) -> None:
    user = await services.add_user()
    for by, name in (
        (identity_of(user), "BOB"),
        (identity_of(user), "bob@example.com"),
        (ADMIN, "bob"),
        (SUPER, "bob"),
    ):
        assert await services.users.get(by, name) == user


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("by", "name", "kind", "message"),
    [
        (ANONYMOUS, "bob", Unauthenticated, LOGGED_OUT),
        (SERVICE, "bob", Unauthenticated, LOGGED_OUT),
        (REGULAR, "bob", PermissionDenied, NOT_ALLOWED),
        (REGULAR, "nobody", PermissionDenied, NOT_ALLOWED),
        (REGULAR, "", InvalidValue, "Please enter a valid username"),
        (ADMIN, "<b>", InvalidValue, NOT_ALPHANUMERIC),
        (ADMIN, "nobody", NotFound, "No user exists with the specified details"),
    ],
)
async def test_refusals_of_get(
    services: Services, by: Identity, name: str, kind: type[ClientError], message: str
) -> None:
    await services.add_user()
    assert await refusal(services.users.get(by, name)) == (kind, message)


@pytest.mark.gen_test
async def test_list_is_for_those_who_are_logged_in(services: Services) -> None:
    users = []
    for name in ("bob", "bobby", "eve"):
        users.append(await services.add_user(name))
        services.clock.advance(1)
    page = await services.users.list(REGULAR, search="BOB", index=1, limit=5)
    assert (page.items, page.count) == ([users[1]], 2)
    assert await refusal(services.users.list(ANONYMOUS)) == (Unauthenticated, LOGGED_OUT)
    assert (await services.users.list(ANONYMOUS, require_login=False)).items == users
    assert (await services.users.list(REGULAR, search=".*")).count == 0
    assert (await services.users.list(REGULAR, index=-3, limit=10**9)).items == users
    assert (await services.users.list(REGULAR, limit=-1)).items == []


@pytest.mark.gen_test
async def test_ensure_admin_creates_the_super_admin_once(services: Services) -> None:
    password = await services.users.ensure_admin(AdminUser())
    assert password is not None
    assert len(password) >= 24
    user, _, _ = await services.users.login("admin", password)
    assert (user.privileges, user.email, user.is_active) == (1, "admin@localhost.localdomain", True)
    assert await services.users.ensure_admin(AdminUser()) is None
    assert await services.store.count_users() == 1


@pytest.mark.gen_test
async def test_ensure_admin_takes_the_operators_password(services: Services) -> None:
    with capture_logs() as logs:
        assert await services.users.ensure_admin(AdminUser(password="chosen one")) is None
    assert "chosen" not in repr(logs)
    await services.users.login("admin@localhost.localdomain", "chosen one")
    assert await services.users.ensure_admin(AdminUser(password="changed")) is None
    await services.users.login("admin", "chosen one")


@pytest.mark.gen_test
async def test_one_of_many_nodes_creates_the_super_admin(services: Services) -> None:
    results = await asyncio.gather(*(services.users.ensure_admin(AdminUser()) for _ in range(5)))
    [password] = [result for result in results if result]
    await services.users.login("admin", password)


@pytest.mark.gen_test
async def test_a_taken_email_of_the_super_admin_stops_the_start(services: Services) -> None:
    await services.add_user("bob", email="admin@localhost.localdomain")
    with pytest.raises(StartupError, match=r"^adminUser\.email: another account has 'admin@localhost\.localdomain'"):
        await services.users.ensure_admin(AdminUser())


@pytest.mark.gen_test
async def test_another_account_of_that_name_is_left_alone_with_a_warning(services: Services) -> None:
    user = await services.add_user("admin")
    with capture_logs() as logs:
        assert await services.users.ensure_admin(AdminUser()) is None
    assert [entry["event"] for entry in logs] == ["the account named by adminUser is not a super admin"]
    assert await services.store.get_user(user.id) == user


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("admin", "path"),
    [
        (AdminUser(username=""), "adminUser.username"),
        (AdminUser(username="a b"), "adminUser.username"),
        (AdminUser(email="admin"), "adminUser.email"),
        (AdminUser(password="x" * 1025), "adminUser.password"),
    ],
)
async def test_a_super_admin_that_cannot_be(services: Services, admin: AdminUser, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await services.users.ensure_admin(admin)
    assert caught.value.path == path
    assert await services.store.count_users() == 0


@pytest.mark.gen_test
async def test_set_password_ends_the_sessions(services: Services) -> None:
    user = await services.add_user()
    _, cookie = await services.sessions.open(user)
    services.node.record.clear()
    with capture_logs() as logs:
        await services.users.set_password("BOB@example.com", "new password")
    assert "new password" not in repr(logs)
    assert services.node.record == [("Logout", "bob"), Revocation(user_id=user.id)]
    assert await services.sessions.find(cookie) is None
    assert await refusal(services.users.login("bob", PASSWORD)) == (
        Unauthenticated,
        "The username or password is incorrect.",
    )
    await services.users.login("bob", "new password")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "password", "kind", "message"),
    [
        ("", "x", InvalidValue, "Please enter a valid username"),
        ("a b", "x", InvalidValue, NOT_ALPHANUMERIC),
        ("bob", "", InvalidValue, "Please enter a valid password"),
        ("bob", "x" * 1025, InvalidValue, "Password cannot be longer than 1024 bytes"),
        ("nobody", "x", NotFound, "No user exists with the specified details"),
    ],
)
async def test_refusals_of_set_password(
    services: Services, name: str, password: str, kind: type[ClientError], message: str
) -> None:
    user = await services.add_user()
    assert await refusal(services.users.set_password(name, password)) == (kind, message)
    assert await services.store.get_user(user.id) == user


@pytest.mark.gen_test
async def test_what_admins_do_is_logged(services: Services) -> None:
    await services.add_user("idle", is_active=False)
    with capture_logs() as logs:
        await services.users.create(ADMIN, **NEW)
        await services.users.approve_activation(ADMIN, "idle")
        await services.users.remove(ADMIN, "alice")
    assert [(entry["event"], entry["username"], entry["by"]) for entry in logs] == [
        ("user created", "Alice", "boss"),
        ("user activated", "idle", "boss"),
        ("user removed", "Alice", "boss"),
    ]
    assert "secret" not in repr(logs)
    assert "argon2" not in repr(logs)
