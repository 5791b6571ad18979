from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.conftest import ADMIN, MAX_META_BYTES, SERVICE, SUPER, Services, identity_of
from tests.unit.services.doubles import Interleaved
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import Privilege
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import (
    ClientError,
    Conflict,
    InvalidValue,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    Unauthenticated,
)

LOGGED_OUT = (Unauthenticated, "You must be logged in to make this request")
NOT_ALLOWED = (PermissionDenied, "You don't have permission to make this request")
UNKNOWN = (NotFound, "No user exists with the specified details")
EMPTY = (InvalidValue, "Please enter a valid username")
CHARACTERS = (InvalidValue, "Please only use alpha numeric characters for your username")
REGULAR = Identity("9" * 24, "somebody", Privilege.REGULAR)


async def refusal(awaitable: Any) -> tuple[type[ClientError], str]:
    with pytest.raises(ClientError) as caught:
        await awaitable
    return type(caught.value), caught.value.message


@pytest.mark.gen_test
@pytest.mark.parametrize("by", [ADMIN, SUPER, SERVICE, "bob"])
@pytest.mark.parametrize("name", ["BOB", "bob@example.com"])
async def test_who_reads(services: Services, by: Any, name: str) -> None:
    user = await services.add_user(meta={"a": {"b": [1, None]}})
    by = identity_of(user) if by == "bob" else by
    assert await services.users.get_meta(by, name) == {"a": {"b": [1, None]}}
    assert await services.users.get_meta_property(by, name, "a") == {"b": [1, None]}
    assert await services.users.get_meta_property(by, name, "missing") is None


@pytest.mark.gen_test
async def test_without_a_name_it_is_ones_own(services: Services) -> None:
    user = identity_of(await services.add_user(meta={"a": 1}))
    assert await services.users.get_meta(user, None) == {"a": 1}
    assert await services.users.set_meta_property(user, None, "b", 2, owner_may_write=True) == 2
    assert await services.users.set_meta(user, None, {"c": 3}, owner_may_write=True) == {"c": 3}
    assert await services.users.get_meta_property(user, None, "c") == 3


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("by", "name", "refused"),
    [
        (ANONYMOUS, "bob", LOGGED_OUT),
        (ANONYMOUS, None, LOGGED_OUT),
        (REGULAR, "bob", NOT_ALLOWED),
        (REGULAR, "nobody", NOT_ALLOWED),
        (REGULAR, None, NOT_ALLOWED),
        (REGULAR, "", EMPTY),
        (ADMIN, "a b", CHARACTERS),
        (ADMIN, "nobody", UNKNOWN),
        (SERVICE, "nobody", UNKNOWN),
        (SERVICE, None, EMPTY),
    ],
)
async def test_who_does_not(
    services: Services, by: Identity, name: str | None, refused: tuple[type[ClientError], str]
) -> None:
    user = await services.add_user(meta={"a": 1})
    users = services.users
    assert await refusal(users.get_meta(by, name)) == refused
    assert await refusal(users.get_meta_property(by, name, "a")) == refused
    for owner_may_write in (True, False):
        assert await refusal(users.set_meta(by, name, {}, owner_may_write=owner_may_write)) == refused
        assert await refusal(users.set_meta(by, name, 7, owner_may_write=owner_may_write)) == refused  # type: ignore[arg-type]
        assert await refusal(users.set_meta_property(by, name, "a", 2, owner_may_write=owner_may_write)) == refused
    assert await services.store.get_user(user.id) == user


@pytest.mark.gen_test
@pytest.mark.parametrize("by", [ADMIN, SUPER, SERVICE])
async def test_who_writes(services: Services, by: Identity) -> None:
    user = await services.add_user(meta={"a": 1})
    users = services.users
    assert await users.set_meta_property(by, "bob", "b", [None], owner_may_write=False) == [None]
    assert (await services.store.get_user(user.id)).meta == {"a": 1, "b": [None]}
    assert await users.set_meta(by, "bob@example.com", {"c": {}}, owner_may_write=False) == {"c": {}}
    assert (await services.store.get_user(user.id)).meta == {"c": {}}
    assert await users.set_meta(by, "bob", None, owner_may_write=False) == {}
    assert (await services.store.get_user(user.id)).meta == {}


@pytest.mark.gen_test
@pytest.mark.parametrize("name", [None, "bob"])
async def test_the_owner_writes_only_where_he_may(services: Services, name: str | None) -> None:
    user = await services.add_user()
    by = identity_of(user)
    assert await refusal(services.users.set_meta(by, name, {"a": 1}, owner_may_write=False)) == NOT_ALLOWED
    assert await refusal(services.users.set_meta_property(by, name, "a", 1, owner_may_write=False)) == NOT_ALLOWED
    assert (await services.store.get_user(user.id)).meta == {}
    await services.users.set_meta_property(by, name, "a", 1, owner_may_write=True)
    assert (await services.store.get_user(user.id)).meta == {"a": 1}


@pytest.mark.gen_test
async def test_an_admin_does_not_change_a_super_admin(services: Services) -> None:
    user = await services.add_user("root", privileges=Privilege.SUPER_ADMIN, meta={"a": 1})
    assert await services.users.get_meta(ADMIN, "root") == {"a": 1}
    assert await refusal(services.users.set_meta(ADMIN, "root", {}, owner_may_write=True)) == NOT_ALLOWED
    assert await services.users.set_meta(identity_of(user), "root", {}, owner_may_write=False) == {}


@pytest.mark.gen_test
@pytest.mark.parametrize("value", [7, "x", [], [["a", 1]], True, 0, ""])
async def test_the_whole_is_an_object(services: Services, value: Any) -> None:
    await services.add_user(meta={"a": 1})
    assert await refusal(services.users.set_meta(ADMIN, "bob", value, owner_may_write=False)) == (
        InvalidValue,
        "The meta data must be an object",
    )
    assert await services.users.get_meta(ADMIN, "bob") == {"a": 1}


@pytest.mark.gen_test
async def test_the_whole_is_bounded_however_it_grows(services: Services) -> None:
    users = services.users
    await services.add_user()
    refused = (PayloadTooLarge, f"The meta data is too large; at most {MAX_META_BYTES} bytes are allowed")
    fits = {"a": "x" * (MAX_META_BYTES - 8)}
    await users.set_meta(ADMIN, "bob", fits, owner_may_write=False)
    too_large = {"a": fits["a"] + "x"}
    assert await refusal(users.set_meta(ADMIN, "bob", too_large, owner_may_write=False)) == refused
    assert await refusal(users.set_meta_property(ADMIN, "bob", "b", 1, owner_may_write=False)) == refused
    assert await refusal(users.set_meta_property(ADMIN, "bob", "y" * 1000, 1, owner_may_write=False)) == refused
    assert await users.get_meta(ADMIN, "bob") == fits
    await users.set_meta_property(ADMIN, "bob", "a", "ü" * 400, owner_may_write=False)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.gen_test
@pytest.mark.parametrize("value", [nested(400), 2**64, "\ud800"], ids=["deep", "large", "surrogate"])
async def test_what_has_no_json_is_refused(services: Services, value: Any) -> None:
    user = await services.add_user()
    for attempt in (
        services.users.set_meta_property(ADMIN, "bob", "a", value, owner_may_write=False),
        services.users.set_meta(ADMIN, "bob", {"a": value}, owner_may_write=False),
    ):
        assert await refusal(attempt) == (InvalidValue, "The meta data cannot be stored as JSON")
    assert await services.store.get_user(user.id) == user


@pytest.mark.gen_test
@pytest.mark.parametrize("property", ["", "__proto__", "$where", "a.b", "a\0b", "ü"])
async def test_a_property_is_a_key_and_nothing_else(services: Services, property: str) -> None:
    await services.add_user(meta={"a": {"b": 1}})
    await services.users.set_meta_property(ADMIN, "bob", property, 2, owner_may_write=False)
    assert await services.users.get_meta(ADMIN, "bob") == {"a": {"b": 1}, property: 2}
    assert await services.users.get_meta_property(ADMIN, "bob", property) == 2


@pytest.mark.gen_test(timeout=30)
async def test_writers_in_parallel_lose_nothing(services: Services, tmp_path: Path) -> None:
    await services.add_user()
    other_store = SQLiteStore(tmp_path / "users.db")
    await other_store.open()
    nodes = [services.users, services.rebuilt(other_store).users]
    await asyncio.gather(
        *(nodes[n % 2].set_meta_property(SERVICE, "bob", f"p{n}", n, owner_may_write=False) for n in range(60))
    )
    assert await services.users.get_meta(SERVICE, "bob") == {f"p{n}": n for n in range(60)}
    await other_store.close()


@pytest.mark.gen_test
async def test_writers_of_one_node_take_turns(services: Services) -> None:
    user = await services.add_user()
    await asyncio.gather(
        *(services.users.set_meta_property(SERVICE, "bob", "a", n, owner_may_write=False) for n in range(100))
    )
    stored = await services.store.get_user(user.id)
    assert stored.meta_version == 100
    assert stored.meta["a"] in range(100)


@pytest.mark.gen_test
async def test_a_write_gives_up_in_the_end(services: Services) -> None:
    user = await services.add_user()

    class Busy:
        """A store in which another node is always quicker."""

        def __getattr__(self, name: str) -> Any:
            return getattr(services.store, name)

        async def replace_meta(self, user_id: str, meta: Any, *, expected_version: int) -> bool:
            assert await services.store.replace_meta(user_id, {"other": 1}, expected_version=expected_version)
            return bool(await services.store.replace_meta(user_id, meta, expected_version=expected_version))

    busy = services.rebuilt(Busy())
    assert (await refusal(busy.users.set_meta(ADMIN, "bob", {"mine": 1}, owner_may_write=False)))[0] is Conflict
    stored = await services.store.get_user(user.id)
    assert (stored.meta, stored.meta_version) == ({"other": 1}, 20)


@pytest.mark.gen_test
async def test_an_account_that_is_removed_meanwhile(services: Services) -> None:
    user = await services.add_user()

    async def remove() -> None:
        await services.store.delete_user(user.id)

    for by, refused in ((ADMIN, UNKNOWN), (identity_of(user), NOT_ALLOWED)):
        users = services.rebuilt(Interleaved(services.store, "replace_meta", remove)).users
        assert await refusal(users.set_meta(by, "bob", {}, owner_may_write=True)) == refused
