"""One-time keys, and changes of single fields of an account: the promises of ``core/stores.py``, on every store."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import NOW, make_user
from users_server.core.accounts import KeyKind, OneTimeKey
from users_server.core.interfaces import Store
from users_server.errors import Conflict

USER = "a" * 24
UNKNOWN = "0" * 24

pytestmark = pytest.mark.gen_test(timeout=30)


def make_key(kind: KeyKind = KeyKind.ACTIVATION, user_id: str = USER, **fields: Any) -> OneTimeKey:
    values: dict[str, Any] = {"key_hash": "f" * 64, "created_on": NOW, "expires_at": NOW + 1000}
    return OneTimeKey(kind, user_id, **{**values, **fields})


class TestKeys:
    @pytest.mark.parametrize("kind", KeyKind)
    async def test_a_key_comes_back_as_it_was_written(self, database: Database, kind: KeyKind) -> None:
        key = make_key(kind, email="Ann@Example.com")
        async with opened(database) as store:
            assert await store.find_key(kind, USER, now=NOW) is None
            await store.put_key(key)
            found = await store.find_key(kind, USER, now=NOW)
            assert found == key
            assert type(found.expires_at) is int

    async def test_an_expired_key_is_not_found(self, database: Database) -> None:
        async with opened(database) as store:
            await store.put_key(make_key())
            assert await store.find_key(KeyKind.ACTIVATION, USER, now=NOW + 999) is not None
            assert await store.find_key(KeyKind.ACTIVATION, USER, now=NOW + 1000) is None

    async def test_a_new_key_replaces_the_one_of_its_kind_and_account_only(self, database: Database) -> None:
        old, new = make_key(), make_key(key_hash="e" * 64)
        others = [make_key(KeyKind.RESET), make_key(user_id="b" * 24)]
        async with opened(database) as store:
            for key in (*others, old, new):
                await store.put_key(key)
            assert await store.find_key(KeyKind.ACTIVATION, USER, now=NOW) == new
            for key in others:
                assert await store.find_key(key.kind, key.user_id, now=NOW) == key
            assert await store.take_key(old) is False
            assert await store.find_key(KeyKind.ACTIVATION, USER, now=NOW) == new

    async def test_a_key_is_taken_by_one_caller(self, database: Database) -> None:
        key = make_key()
        async with opened(database) as one, opened(database) as other:
            await one.put_key(key)
            taken = await asyncio.gather(*((one, other)[number % 2].take_key(key) for number in range(20)))
            assert taken.count(True) == 1
            assert await other.find_key(key.kind, USER, now=NOW) is None

    async def test_of_many_at_once_one_key_is_left(self, database: Database) -> None:
        keys = [make_key(key_hash=f"{number:064x}") for number in range(20)]
        async with opened(database) as store:
            await asyncio.gather(*(store.put_key(key) for key in keys))
            left = await store.find_key(KeyKind.ACTIVATION, USER, now=NOW)
            assert left in keys
            assert left is not None
            assert await store.take_key(left)
            assert await store.find_key(KeyKind.ACTIVATION, USER, now=NOW) is None

    async def test_all_keys_of_an_account_go_and_no_others(self, database: Database) -> None:
        other = make_key(user_id="b" * 24)
        async with opened(database) as store:
            for kind in KeyKind:
                await store.put_key(make_key(kind))
            await store.put_key(other)
            await store.delete_keys_of_user(USER)
            await store.delete_keys_of_user(USER)
            assert [await store.find_key(kind, USER, now=NOW) for kind in KeyKind] == [None, None, None]
            assert await store.find_key(other.kind, other.user_id, now=NOW) == other


async def change(store: Store, user_id: str, email: str, expected: str) -> bool | None:
    """:obj:`None` for a conflict."""
    try:
        return await store.set_email(user_id, email, expected=expected)
    except Conflict:
        return None


class TestFields:
    async def test_an_email_is_replaced_where_it_is_the_expected_one(self, database: Database) -> None:
        user = make_user("ann", email="old@example.com", meta={"a": 1})
        async with opened(database) as store:
            await store.create_user(user)
            assert await store.set_email(user.id, "New@example.com", expected="other@example.com") is False
            assert await store.set_email(UNKNOWN, "New@example.com", expected="old@example.com") is False
            assert await store.get_user(user.id) == user
            assert await store.set_email(user.id, "New@example.com", expected="old@example.com") is True
            changed = dataclasses.replace(user, email="New@example.com")
            assert await store.find_user("new@EXAMPLE.com") == changed
            assert await store.find_user("old@example.com") is None
            assert await store.set_email(user.id, "NEW@example.com", expected="New@example.com") is True

    async def test_an_email_of_another_account_is_taken(self, database: Database) -> None:
        ann, bob = make_user("ann", email="ann@example.com"), make_user("bob", email="bob@example.com")
        async with opened(database) as store:
            await store.create_user(ann)
            await store.create_user(bob)
            assert await change(store, bob.id, "ANN@example.com", "bob@example.com") is None
            assert await store.get_user(bob.id) == bob
            assert await store.find_user("ann@example.com") == ann

    async def test_of_many_at_once_one_gets_the_email(self, database: Database) -> None:
        users = [make_user() for _ in range(10)]
        async with opened(database) as store:
            for user in users:
                await store.create_user(user)
            changed = await asyncio.gather(
                *(change(store, user.id, "wanted@example.com", user.email) for user in users)
            )
            assert sorted(changed, key=str) == [None] * 9 + [True]

    async def test_a_register_key_is_renewed_only_while_there_is_one(self, database: Database) -> None:
        user = make_user(register_key="first")
        async with opened(database) as store:
            await store.create_user(user)
            assert await store.renew_register_key(user.id, "second") is True
            assert await store.get_user(user.id) == dataclasses.replace(user, register_key="second")
            assert await store.activate_user(user.id) is True
            assert await store.renew_register_key(user.id, "third") is False
            assert await store.renew_register_key(UNKNOWN, "third") is False
            found = await store.get_user(user.id)
            assert found is not None
            assert found.is_active

    async def test_an_activation_at_the_same_moment_is_not_undone(self, database: Database) -> None:
        users = [make_user(register_key="first") for _ in range(10)]
        async with opened(database) as store:
            for user in users:
                await store.create_user(user)
            await asyncio.gather(
                *(store.activate_user(user.id) for user in users),
                *(store.renew_register_key(user.id, "second") for user in users),
            )
            found = [await store.get_user(user.id) for user in users]
            assert all(user is not None and user.is_active for user in found)

    async def test_a_password_tag_is_set_and_cleared(self, database: Database) -> None:
        user = make_user()
        async with opened(database) as store:
            await store.create_user(user)
            assert await store.set_password_tag(user.id, "tag") is True
            assert await store.get_user(user.id) == dataclasses.replace(user, password_tag="tag")
            assert await store.set_password_tag(user.id, "") is True
            assert await store.get_user(user.id) == user
            assert await store.set_password_tag(UNKNOWN, "tag") is False
