"""What ``list_users`` promises, on every store."""

from __future__ import annotations

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import NOW, make_user
from users_server.backends.mongodb import users as mongodb_users
from users_server.backends.sqlite import search as sqlite_search
from users_server.core.interfaces import Store
from users_server.errors import Conflict

pytestmark = pytest.mark.gen_test(timeout=30)

FAR = 10**30
"""More than any database's integer."""

NAMES = (
    "plain",
    "100%",
    "under_score",
    "dot.star.*",
    "back\\slash",
    "quote'double\"",
    "bracket[a-z]",
    "paren(a|b)",
    "caret^dollar$",
    "hash#dash-",
    "new\nline",
    "nul\0byte",
    "space and\ttab",
    "Straße",
    "İstanbul",
    "smile😀",
    "{brace}",
    "question?plus+",
    "amp&tilde~slash/",
)


async def found(store: Store, search: str) -> list[str]:
    page = await store.list_users(search=search, limit=100)
    assert page.count == len(page.items)
    return [user.username for user in page.items]


class TestPages:
    async def test_the_oldest_comes_first(self, database: Database) -> None:
        young, old, oldest = (make_user(created_on=NOW + age) for age in (30, 20, 10))
        async with opened(database) as store:
            for user in (old, young, oldest):
                await store.create_user(user)
            page = await store.list_users()
            assert (page.items, page.count) == ([oldest, old, young], 3)

    async def test_pages_join_without_gap_or_repetition(self, database: Database) -> None:
        users = [make_user(created_on=NOW) for _ in range(25)]  # of one age: even then there is one order
        async with opened(database) as store:
            for user in reversed(users):
                await store.create_user(user)
            seen = []
            for index in range(0, 30, 10):
                page = await store.list_users(index=index, limit=10)
                assert page.count == 25
                seen += page.items
            assert seen == users

    async def test_twenty_is_the_default(self, database: Database) -> None:
        async with opened(database) as store:
            for _ in range(21):
                await store.create_user(make_user())
            page = await store.list_users()
            assert (len(page.items), page.count) == (20, 21)

    @pytest.mark.parametrize(("index", "limit"), [(0, 0), (0, -1), (3, 5), (FAR, 5), (FAR, FAR), (2**63 - 1, 1)])
    async def test_an_empty_page_has_the_count(self, database: Database, index: int, limit: int) -> None:
        async with opened(database) as store:
            for _ in range(3):
                await store.create_user(make_user())
            page = await store.list_users(index=index, limit=limit)
            assert (page.items, page.count) == ([], 3)

    async def test_odd_bounds_are_the_nearest_that_make_sense(self, database: Database) -> None:
        async with opened(database) as store:
            users = [make_user() for _ in range(3)]
            for user in users:
                await store.create_user(user)
            assert (await store.list_users(index=-5, limit=2)).items == users[:2]
            assert (await store.list_users(index=1, limit=FAR)).items == users[1:]


class TestCounts:
    async def test_the_count_follows_what_is_made_and_removed(self, database: Database) -> None:
        users = [make_user() for _ in range(5)]
        async with opened(database) as store, opened(database) as other:
            for user in users:
                await store.create_user(user)
            with pytest.raises(Conflict):
                await store.create_user(make_user(users[0].username))
            assert await store.delete_user(users[0].id)
            assert not await store.delete_user(users[0].id)
            assert await store.count_users() == (await other.list_users(limit=1)).count == 4

    async def test_a_search_counts_no_more_than_it_must(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (sqlite_search, mongodb_users):
            monkeypatch.setattr(module, "MOST_COUNTED", 5)
        async with opened(database) as store:
            users = [make_user(f"match{number}") for number in range(12)]
            for user in users:
                await store.create_user(user)
            page = await store.list_users(search="match", index=8, limit=3)
            assert (page.items, page.count) == (users[8:11], 5)


class TestNames:
    async def test_a_new_address_is_found_and_the_old_one_is_not(self, database: Database) -> None:
        async with opened(database) as store:
            user = make_user("ann", email="old@example.com")
            await store.create_user(user)
            assert await store.set_email(user.id, "NEW@example.com", expected="old@example.com")
            assert await store.find_user("old@example.com") is None
            changed = await store.find_user("new@EXAMPLE.com")
            assert changed is not None
            assert changed.id == user.id
            assert await found(store, "new@") == ["ann"]
            assert await found(store, "old@") == []

    async def test_removed_names_are_free(self, database: Database) -> None:
        async with opened(database) as store:
            first, second = make_user("ann"), make_user("ANN")
            await store.create_user(first)
            assert await store.delete_user(first.id)
            assert await store.find_user("ann") is None
            await store.create_user(second)
            assert await store.find_user("ann") == second
            assert await found(store, "ann") == ["ANN"]


class TestSearch:
    async def test_a_part_of_the_name_or_email_is_enough(self, database: Database) -> None:
        async with opened(database) as store:
            await store.create_user(make_user("Ann", email="first@example.com"))
            await store.create_user(make_user("bob", email="ANN.other@example.org"))
            await store.create_user(make_user("carl", email="third@example.net"))
            assert await found(store, "ann") == ["Ann", "bob"]
            assert await found(store, "NN") == ["Ann", "bob"]
            assert await found(store, "EXAMPLE.N") == ["carl"]
            assert await found(store, "") == ["Ann", "bob", "carl"]
            assert await found(store, "nobody") == []
            # The name and the email are searched, each by itself.
            assert await found(store, "bobann") == []
            for search, count in (("ann", 1), ("EXAMPLE.N", 0), ("", 3)):
                assert (await store.list_users(search=search, search_emails=False)).count == count

    async def test_a_page_of_a_search_counts_all_that_match(self, database: Database) -> None:
        async with opened(database) as store:
            for number in range(10):
                await store.create_user(make_user(f"{'even' if number % 2 == 0 else 'odd'}{number}"))
            page = await store.list_users(search="EVEN", index=1, limit=2)
            assert ([user.username for user in page.items], page.count) == (["even2", "even4"], 5)

    async def test_every_character_is_literal(self, database: Database) -> None:
        async with opened(database) as store:
            for name in NAMES:
                await store.create_user(make_user(name))
            for name in NAMES:
                assert await found(store, name) == [name]
                for letter in set(name.casefold()) - set("0123456789@.") - set("abcdefghijklmnopqrstuvwxyz"):
                    expected = [other for other in NAMES if letter in other.casefold()]
                    assert await found(store, letter) == expected

    @pytest.mark.parametrize(
        "search",
        [
            ".*",
            "%%",
            "__",
            "pl..n",
            "^plain",
            "plain$",
            "(?i)PLAIN",
            "[p]",
            "\\x70",
            "\\w",
            "p|l",
            "' OR 1=1 --",
            "\\Q",
        ],
    )
    async def test_a_pattern_finds_only_itself(self, database: Database, search: str) -> None:
        async with opened(database) as store:
            await store.create_user(make_user("plain"))
            assert await found(store, search) == []
            await store.create_user(make_user(f"with {search} inside"))
            assert await found(store, search) == [f"with {search} inside"]

    @pytest.mark.parametrize(
        ("search", "name"),
        [("STRASSE", "Straße"), ("ß", "Straße"), ("i̇STAN", "İstanbul"), ("σ", "ΟΔΟΣ"), ("É", "café")],
    )
    async def test_case_is_folded_beyond_ascii(self, database: Database, search: str, name: str) -> None:
        async with opened(database) as store:
            await store.create_user(make_user(name))
            assert await found(store, search) == [name]

    @pytest.mark.parametrize("length", [1_000, 10_000, 100_000])
    async def test_a_very_long_search_finds_nothing(self, database: Database, length: int) -> None:
        async with opened(database) as store:
            await store.create_user(make_user("plain"))
            assert await found(store, "." * length) == []
