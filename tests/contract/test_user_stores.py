"""What :class:`~users_server.core.interfaces.UserStore` promises, on every store."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import Any

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import field_types, make_user
from users_server.core.accounts import User
from users_server.core.interfaces import Store
from users_server.errors import Conflict

UNKNOWN = "0" * 24

pytestmark = pytest.mark.gen_test(timeout=30)


async def is_accepted(store: Store, user: User) -> bool:
    try:
        await store.create_user(user)
    except Conflict:
        return False
    return True


class TestUsers:
    async def test_a_user_comes_back_as_it_was_written(self, database: Database) -> None:
        full = make_user(
            "Ann",
            email="Ann@Example.COM",
            privileges=1,
            last_logged_in=2**53,
            register_key="key",
            password_tag="tag",
            session_id="5" * 24,
            meta={"a": 1},
            meta_version=7,
        )
        bare = make_user("bare")
        async with opened(database) as store:
            await store.create_user(full)
            await store.create_user(bare)
            assert await store.get_user(full.id) == full
            assert await store.get_user(bare.id) == bare
            assert await store.find_user("bare") == bare
            found = await store.get_user(full.id)
            assert found is not None
            assert field_types(found) == field_types(full)

    async def test_zero_values_are_kept(self, database: Database) -> None:
        zero = User(id="", username="", email="", password_hash="", privileges=0, created_on=0)
        async with opened(database) as store:
            await store.create_user(zero)
            assert await store.get_user("") == zero
            assert await store.get_user(UNKNOWN) is None

    async def test_nobody_is_there_at_first(self, database: Database) -> None:
        async with opened(database) as store:
            assert await store.count_users() == 0
            assert await store.get_user(UNKNOWN) is None
            assert await store.find_user("nobody") is None
            assert await store.find_user("") is None
            page = await store.list_users()
            assert (page.items, page.count) == ([], 0)

    async def test_changes_of_an_unknown_user_change_nothing(self, database: Database) -> None:
        async with opened(database) as store:
            assert await store.delete_user(UNKNOWN) is False
            assert await store.set_password_hash(UNKNOWN, "hash") is False
            assert await store.activate_user(UNKNOWN) is False
            assert await store.replace_meta(UNKNOWN, {}, expected_version=0) is False
            await store.record_login(UNKNOWN, session_id="a", at=1)
            await store.record_logout(UNKNOWN, session_id="a")
            assert await store.count_users() == 0

    async def test_names_are_found_without_case(self, database: Database) -> None:
        user = make_user("Ann", email="Ann@Example.com")
        async with opened(database) as store:
            await store.create_user(user)
            for name in ("Ann", "ann", "ANN", "ann@example.com", "ANN@EXAMPLE.COM"):
                assert await store.find_user(name) == user
            for name in ("an", "anna", "ann@example.co", "%", "_nn", ".*", " ann"):
                assert await store.find_user(name) is None

    async def test_a_username_comes_before_an_equal_email(self, database: Database) -> None:
        first = make_user("first", email="shared@example.com")
        second = make_user("Shared@example.com")
        async with opened(database) as store:
            await store.create_user(first)
            await store.create_user(second)
            assert await store.find_user("shared@example.com") == second

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("ann", "ANN"),
            ("STRASSE", "straße"),
            ("straẞe", "STRASSE"),
            ("İstanbul", "i̇stanbul"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ﬁn", "FIN"),
        ],
    )
    async def test_what_differs_in_case_only_is_taken(self, database: Database, one: str, other: str) -> None:
        async with opened(database) as store:
            await store.create_user(make_user(one, email=f"{one}@example.com"))
            with pytest.raises(Conflict):
                await store.create_user(make_user(other))
            with pytest.raises(Conflict):
                await store.create_user(make_user(email=f"{other}@EXAMPLE.com"))
            assert await store.count_users() == 1
            assert await store.find_user(other) is not None

    async def test_dotless_and_dotted_i_are_different_letters(self, database: Database) -> None:
        async with opened(database) as store:
            for name in ("istanbul", "ıstanbul", "İstanbul"):
                await store.create_user(make_user(name))
            assert await store.count_users() == 3

    async def test_an_id_is_taken_once(self, database: Database) -> None:
        user = make_user("ann")
        async with opened(database) as store:
            await store.create_user(user)
            with pytest.raises(Conflict):
                await store.create_user(make_user("bob", id=user.id))
            assert await store.get_user(user.id) == user

    async def test_a_conflict_leaves_nothing_behind(self, database: Database) -> None:
        async with opened(database) as store:
            await store.create_user(make_user("ann", email="ann@example.com"))
            refused = make_user("bob", email="ann@example.com")
            with pytest.raises(Conflict):
                await store.create_user(refused)
            await store.create_user(dataclasses.replace(refused, email="bob@example.com"))
            assert await store.count_users() == 2

    async def test_of_fifty_at_once_one_gets_the_name(self, database: Database) -> None:
        async with opened(database) as one, opened(database) as other:
            users = [make_user("Ann" if number % 2 else "aNN") for number in range(50)]
            accepted = await asyncio.gather(
                *(is_accepted((one, other)[number % 2], user) for number, user in enumerate(users))
            )
            assert accepted.count(True) == 1
            assert await one.count_users() == 1
            assert await other.find_user("ann") == users[accepted.index(True)]

    async def test_of_fifty_at_once_one_gets_the_email(self, database: Database) -> None:
        async with opened(database) as store:
            users = [make_user(email="Ann@example.com" if number % 2 else "ann@EXAMPLE.com") for number in range(50)]
            accepted = await asyncio.gather(*(is_accepted(store, user) for user in users))
            assert accepted.count(True) == 1

    async def test_many_at_once_are_all_kept(self, database: Database) -> None:
        async with opened(database) as store:
            users = [make_user() for _ in range(100)]
            await asyncio.gather(*(store.create_user(user) for user in users))
            assert (await store.list_users(limit=200)).items == users

    async def test_a_user_is_deleted_by_one_caller(self, database: Database) -> None:
        user = make_user("ann")
        async with opened(database) as one, opened(database) as other:
            await one.create_user(user)
            deleted = await asyncio.gather(*((one, other)[number % 2].delete_user(user.id) for number in range(20)))
            assert deleted.count(True) == 1
            assert await one.get_user(user.id) is None
            await other.create_user(make_user("ANN"))


class TestChanges:
    async def test_a_password_hash_is_replaced(self, database: Database) -> None:
        user = make_user()
        async with opened(database) as store:
            await store.create_user(user)
            assert await store.set_password_hash(user.id, "new") is True
            assert await store.get_user(user.id) == dataclasses.replace(user, password_hash="new")

    async def test_a_password_hash_is_replaced_only_where_it_is_the_expected_one(self, database: Database) -> None:
        user = make_user(password_hash="old")
        async with opened(database) as store:
            await store.create_user(user)
            assert await store.set_password_hash(user.id, "new", expected="OLD") is False
            assert await store.set_password_hash(user.id, "new", expected="") is False
            assert await store.get_user(user.id) == user
            replaced = await asyncio.gather(
                *(store.set_password_hash(user.id, f"new{number}", expected="old") for number in range(20))
            )
            assert replaced.count(True) == 1
            assert await store.get_user(user.id) == dataclasses.replace(
                user, password_hash=f"new{replaced.index(True)}"
            )

    async def test_an_account_is_activated_by_one_caller(self, database: Database) -> None:
        user = make_user(register_key="key")
        async with opened(database) as store:
            await store.create_user(user)
            activated = await asyncio.gather(*(store.activate_user(user.id) for _ in range(20)))
            assert activated.count(True) == 1
            assert await store.get_user(user.id) == dataclasses.replace(user, register_key="")
            assert await store.activate_user(user.id) is False

    async def test_a_login_and_its_logout_are_recorded(self, database: Database) -> None:
        user = make_user()
        async with opened(database) as store:
            await store.create_user(user)
            await store.record_login(user.id, session_id="first", at=1000)
            await store.record_login(user.id, session_id="second", at=2000)
            await store.record_logout(user.id, session_id="first")
            assert await store.get_user(user.id) == dataclasses.replace(user, session_id="second", last_logged_in=2000)
            await store.record_logout(user.id, session_id="second")
            assert await store.get_user(user.id) == dataclasses.replace(user, session_id="", last_logged_in=2000)

    async def test_changes_of_different_fields_at_once_are_all_kept(self, database: Database) -> None:
        user = make_user(register_key="key", session_id="old")
        async with opened(database) as store:
            await store.create_user(user)
            await asyncio.gather(
                store.set_password_hash(user.id, "new"),
                store.activate_user(user.id),
                store.record_login(user.id, session_id="login", at=5),
                store.replace_meta(user.id, {"a": 1}, expected_version=0),
            )
            assert await store.get_user(user.id) == dataclasses.replace(
                user,
                password_hash="new",
                register_key="",
                session_id="login",
                last_logged_in=5,
                meta={"a": 1},
                meta_version=1,
            )


META: dict[str, Any] = {
    "nested": {"list": [1, [2, {"three": None}]], "empty": {}, "none": []},
    "dots.in.keys": {"a.b": 1},
    "$dollar": {"$set": {"privileges": 1}, "$where": "1"},
    "": "the empty key",
    "unicode": "ß İ ı 😀 e\u0301 \u2028",
    "nul": "a\0b",
    "quotes": "'\"\\`; DROP TABLE users --",
    "integers": [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1],
    "floats": [0.1, -0.0, 1.0, 1e300, 5e-324, 123456789.123456789],
    "booleans": [True, False],
    "_id": "mine",
    "__proto__": {},
}


class TestMeta:
    async def test_meta_comes_back_exactly(self, database: Database) -> None:
        created = make_user(meta=META)
        replaced = make_user()
        async with opened(database) as store:
            await store.create_user(created)
            await store.create_user(replaced)
            assert await store.replace_meta(replaced.id, META, expected_version=0) is True
            for user_id in (created.id, replaced.id):
                user = await store.get_user(user_id)
                assert user is not None
                assert repr(user.meta) == repr(META)  # tells 1 from 1.0 and True, and keeps the order of keys
                assert math.copysign(1, user.meta["floats"][1]) == -1
            page = await store.list_users()
            assert [user.meta for user in page.items] == [META, META]

    async def test_meta_is_replaced_as_a_whole(self, database: Database) -> None:
        user = make_user(meta={"a": {"b": 1}, "c": 2})
        async with opened(database) as store:
            await store.create_user(user)
            assert await store.replace_meta(user.id, {"a": {}}, expected_version=0) is True
            assert await store.get_user(user.id) == dataclasses.replace(user, meta={"a": {}}, meta_version=1)
            assert await store.replace_meta(user.id, {}, expected_version=1) is True
            assert await store.get_user(user.id) == dataclasses.replace(user, meta={}, meta_version=2)

    async def test_another_version_changes_nothing(self, database: Database) -> None:
        user = make_user(meta={"a": 1}, meta_version=3)
        async with opened(database) as store:
            await store.create_user(user)
            for version in (0, 2, 4, -1):
                assert await store.replace_meta(user.id, {"b": 2}, expected_version=version) is False
            assert await store.get_user(user.id) == user

    async def test_every_increment_of_many_at_once_is_counted(self, database: Database) -> None:
        user = make_user(meta={"count": 0})

        async def increment(store: Store) -> None:
            while True:
                found = await store.get_user(user.id)
                assert found is not None
                meta = {"count": found.meta["count"] + 1}
                if await store.replace_meta(user.id, meta, expected_version=found.meta_version):
                    return

        async with opened(database) as store:
            await store.create_user(user)
            await asyncio.gather(*(increment(store) for _ in range(12)))
            assert await store.get_user(user.id) == dataclasses.replace(user, meta={"count": 12}, meta_version=12)

    async def test_of_many_nodes_one_replaces(self, database: Database) -> None:
        if not database.has_atomic_changes:
            pytest.skip("FerretDB 1 does not change a document atomically; only MongoDB may have several nodes")
        user = make_user()
        async with opened(database) as one, opened(database) as other:
            await one.create_user(user)
            replaced = await asyncio.gather(
                *(
                    (one, other)[number % 2].replace_meta(user.id, {"by": number}, expected_version=0)
                    for number in range(20)
                )
            )
            assert replaced.count(True) == 1
            found = await other.get_user(user.id)
            assert found is not None
            assert (found.meta, found.meta_version) == ({"by": replaced.index(True)}, 1)
