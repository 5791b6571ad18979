"""What :class:`~users_server.core.interfaces.AppStore` promises, on every store."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Any

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import NOW
from users_server.core.apps import App, AppCredentials, AppLimits
from users_server.errors import Conflict

pytestmark = pytest.mark.gen_test(timeout=30)

_numbers = itertools.count(1)


def make_credentials(key: str | None = None) -> AppCredentials:
    number = next(_numbers)
    return AppCredentials(key or f"key{number}", f"sealed{number}", f"{number:064x}", NOW + number)


def make_app(app_id: str | None = None, **fields: Any) -> App:
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": app_id or f"app{number}",
        "name": f"App {number}",
        "credentials": (make_credentials(),),
        "created_on": NOW + number,
    }
    return App(**{**values, **fields})


def key_of(app: App) -> str:
    return app.credentials[0].key


FULL = {
    "credentials": (make_credentials(), make_credentials()),
    "owner_id": "a" * 24,
    "webhook_endpoint": "https://example.com/ß?$where=1",
    "sealed_webhook_key": "sealed \\ '😀",
    "protocols": ("relay", "users"),
    "allowed_origins": (r"^https://example\.com$", ".*"),
    "limits": AppLimits(connections=1, channels=2**40, message_bytes=3, publishes_per_second=0.5),
    "is_enabled": False,
    "debug_signatures": True,
}


class TestRecords:
    async def test_an_app_comes_back_as_it_was_written(self, database: Database) -> None:
        full, bare = make_app(**FULL), make_app("A.b-c_1")
        async with opened(database) as one:
            for app in (full, bare):
                await one.create_app(app)
        async with opened(database) as other:
            for app in (full, bare):
                found = await other.get_app(app.id)
                assert found == app
                assert found is not None
                assert {type(getattr(found, field.name)) for field in dataclasses.fields(found)} == {
                    type(getattr(app, field.name)) for field in dataclasses.fields(app)
                }
                for credentials in app.credentials:
                    assert await other.find_app_by_key(credentials.key) == app

    async def test_nothing_is_there_at_first(self, database: Database) -> None:
        async with opened(database) as store:
            for name in ("unknown", "", "\0", "$where", "ü" * 500):
                assert await store.get_app(name) is None
                assert await store.find_app_by_key(name) is None
            assert await store.delete_app("unknown") is False
            assert await store.replace_app(make_app()) is False
            page = await store.list_apps()
            assert (page.items, page.count) == ([], 0)

    async def test_ids_and_keys_tell_case_apart(self, database: Database) -> None:
        lower, upper = make_app("one", credentials=(make_credentials("k"),)), make_app("ONE")
        async with opened(database) as store:
            await store.create_app(lower)
            await store.create_app(upper)
            assert await store.get_app("ONE") == upper
            assert await store.find_app_by_key("K") is None

    async def test_ids_and_keys_are_taken_once(self, database: Database) -> None:
        app = make_app()
        async with opened(database) as store:
            await store.create_app(app)
            same_id, same_key = make_app(app.id), make_app(credentials=(make_credentials(), *app.credentials))
            for taken in (same_id, same_key):
                with pytest.raises(Conflict):
                    await store.create_app(taken)
            assert await store.find_app_by_key(key_of(same_id)) is None
            assert await store.find_app_by_key(key_of(same_key)) is None
            assert await store.get_app(same_key.id) is None
            assert await store.find_app_by_key(key_of(app)) == app
            # what a refused insertion had taken is free again
            await store.create_app(make_app(credentials=(same_id.credentials[0], same_key.credentials[0])))

    async def test_of_many_that_want_one_id_one_gets_it(self, database: Database) -> None:
        apps = [make_app("wanted") for _ in range(10)]
        async with opened(database) as one, opened(database) as other:
            answers = await asyncio.gather(
                *((one, other)[number % 2].create_app(app) for number, app in enumerate(apps)), return_exceptions=True
            )
            assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 9 + ["NoneType"]
            winner = apps[answers.index(None)]
            assert await other.get_app("wanted") == winner
            found = [await one.find_app_by_key(key_of(app)) for app in apps]
            assert [app for app in found if app is not None] == [winner]


class TestChanges:
    async def test_a_change_counts_the_version_up(self, database: Database) -> None:
        app = make_app(owner_id="a" * 24)
        async with opened(database) as store:
            await store.create_app(app)
            changed = dataclasses.replace(app, name="Other", owner_id="b" * 24, protocols=("relay",))
            assert await store.replace_app(changed) is True
            assert await store.get_app(app.id) == dataclasses.replace(changed, version=1)
            assert await store.replace_app(changed) is False
            assert (await store.list_apps(owner_id="a" * 24)).count == 0
            assert (await store.list_apps(owner_id="b" * 24)).count == 1

    async def test_keys_come_and_go_with_the_record(self, database: Database) -> None:
        app, other = make_app(), make_app()
        async with opened(database) as store:
            await store.create_app(app)
            await store.create_app(other)
            new, newest = make_credentials(), make_credentials()
            assert await store.replace_app(dataclasses.replace(app, credentials=(new, *app.credentials)))
            for key in (new.key, key_of(app)):
                found = await store.find_app_by_key(key)
                assert found is not None
                assert found.id == app.id
            assert await store.replace_app(dataclasses.replace(app, credentials=(newest, new), version=1))
            assert await store.find_app_by_key(key_of(app)) is None
            with pytest.raises(Conflict):
                await store.replace_app(dataclasses.replace(app, credentials=other.credentials, version=2))
            found = await store.find_app_by_key(newest.key)
            assert found is not None
            assert (found.id, found.version, found.credentials) == (app.id, 2, (newest, new))
            assert await store.find_app_by_key(key_of(other)) == other

    async def test_a_change_that_comes_too_late_takes_no_key(self, database: Database) -> None:
        app, late = make_app(), make_credentials()
        async with opened(database) as store:
            await store.create_app(app)
            assert await store.replace_app(dataclasses.replace(app, name="Other"))
            assert await store.replace_app(dataclasses.replace(app, credentials=(late,))) is False
            assert await store.find_app_by_key(late.key) is None
            assert await store.find_app_by_key(key_of(app)) is not None
            await store.create_app(make_app(credentials=(late,)))

    async def test_no_change_is_lost(self, database: Database) -> None:
        app = make_app(name="0")

        async with opened(database) as one, opened(database) as other:
            stores = (one, other) if database.has_atomic_changes else (one, one)
            await one.create_app(app)

            async def count(store: Any) -> None:
                while True:
                    current = await store.get_app(app.id)
                    assert current is not None
                    if await store.replace_app(dataclasses.replace(current, name=str(int(current.name) + 1))):
                        return

            await asyncio.gather(*(count(stores[number % 2]) for number in range(8)))
            found = await one.get_app(app.id)
            assert found is not None
            assert (found.name, found.version) == ("8", 8)

    async def test_an_app_is_deleted_by_one_caller(self, database: Database) -> None:
        app = make_app()
        async with opened(database) as one, opened(database) as other:
            await one.create_app(app)
            answers = await asyncio.gather(*((one, other)[number % 2].delete_app(app.id) for number in range(10)))
            assert answers.count(True) == 1
            assert await one.get_app(app.id) is None
            assert await one.find_app_by_key(key_of(app)) is None
            assert await one.replace_app(app) is False
            with pytest.raises(Conflict):  # its histories may live on
                await other.create_app(app)
            # its keys are free
            await one.create_app(dataclasses.replace(app, id="another"))


class TestLists:
    async def test_pages_are_oldest_first(self, database: Database) -> None:
        apps = [make_app(f"{name}", created_on=NOW) for name in "cab"]
        old = make_app(created_on=NOW - 1)
        mine = make_app(owner_id="a" * 24, created_on=NOW + 10**6)
        expected = [old, *sorted(apps, key=lambda app: app.id), mine]
        async with opened(database) as store:
            for app in (*apps, mine, old):
                await store.create_app(app)
            page = await store.list_apps()
            assert (page.items, page.count) == (expected, 5)
            page = await store.list_apps(index=1, limit=2)
            assert (page.items, page.count) == (expected[1:3], 5)
            page = await store.list_apps(owner_id="a" * 24)
            assert (page.items, page.count) == ([mine], 1)
            page = await store.list_apps(owner_id="")
            assert (page.items, page.count) == ([], 0)

    @pytest.mark.parametrize(("index", "limit"), [(0, 0), (0, -1), (2, 5), (10**30, 10**30)])
    async def test_an_empty_page_has_the_count(self, database: Database, index: int, limit: int) -> None:
        async with opened(database) as store:
            for _ in range(2):
                await store.create_app(make_app())
            page = await store.list_apps(index=index, limit=limit)
            assert (page.items, page.count) == ([], 2)
