"""Apps: who may do what, keys that overlap, and a cache that strangers cannot fill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.unit.services.conftest import ADMIN, SERVICE
from tests.unit.services.doubles import Interleaved, ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import User
from users_server.core.apps import App, AppLimits
from users_server.core.messages import ANONYMOUS, Identity, Notice
from users_server.errors import (
    BrokerUnavailable,
    ConfigError,
    Conflict,
    InvalidValue,
    LimitExceeded,
    NotFound,
    Overloaded,
    PermissionDenied,
    StoreUnavailable,
    Unauthenticated,
    UsersServerError,
)
from users_server.services.app_cache import MAX_AGE_SECONDS, UNKNOWN_BURST, UNKNOWN_SECONDS
from users_server.services.apps import AppDraft, AppOwnerObserver, AppService, NewApp, SecretSealer
from users_server.services.settings import AppSettings

ANN, BOB = Identity("a" * 24, "Ann"), Identity("b" * 24, "Bob")
KEYS = ("a key of the tests of at least 32 bytes",)
USERS = AppSettings(encryption_keys=KEYS, creation="users", max_per_user=2, max_cached=5)

pytestmark = pytest.mark.gen_test


class CountingStore:
    """Counts the look-ups of the store behind it, and is away when told so."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.looks = 0
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_away:
                raise StoreUnavailable
            self.looks += name in ("get_app", "find_app_by_key")
            return await original(*args, **kwargs)

        return call


class Nodes:
    """App services over one store; notices reach all of them."""

    def __init__(self, store: SQLiteStore, clock: ManualClock) -> None:
        self._sqlite = store
        self.clock = clock
        self.services: list[AppService] = []
        self.changes: list[list[tuple[str, App | None]]] = []
        self.is_cut = False

    def add(self, settings: AppSettings = USERS, store: Any = None) -> AppService:
        sealer = SecretSealer(settings)
        service = AppService(store or self._sqlite, sealer, settings, self.clock, self.notify)
        changes: list[tuple[str, App | None]] = []
        service.on_change(lambda app_id, app: changes.append((app_id, app)))
        self.services.append(service)
        self.changes.append(changes)
        return service

    async def notify(self, notice: Notice) -> None:
        assert notice.kind == "app_changed"
        if self.is_cut:
            raise BrokerUnavailable
        for service in self.services:
            service.handle_notice(notice.data)

    async def settled(self) -> None:
        for service in self.services:
            await service.settled()


@pytest.fixture
def nodes(io_loop: IOLoop, store: SQLiteStore, clock: ManualClock) -> Iterator[Nodes]:
    made = Nodes(store, clock)
    yield made
    for service in made.services:
        io_loop.run_sync(service.stop)


async def make(service: AppService, by: Identity = ANN, name: str = "Shop", **arguments: Any) -> NewApp:
    return await service.create(by, AppDraft(name=name), owner_id=by.user_id, **arguments)


async def refusal(call: Awaitable[Any]) -> tuple[type[UsersServerError], str]:
    with pytest.raises(UsersServerError) as caught:
        await call
    return type(caught.value), caught.value.message


def read_all(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


class TestCreation:
    async def test_a_new_app_can_be_used_at_once(self, nodes: Nodes) -> None:
        service = nodes.add()
        new = await make(service)
        assert new.app.id.isdecimal()
        assert len(new.app.id) == 9
        assert (new.app.owner_id, new.app.created_on) == (ANN.user_id, nodes.clock.now_ms())
        app = await service.get(new.app.id)
        assert app == await service.by_key(new.key) == new.app
        assert service.secrets(app) == (new.secret,)
        assert service.webhook_key(app) == new.webhook_key != ""
        assert service.is_api_key(app, new.api_key)

    async def test_no_secret_is_stored_or_shown(self, nodes: Nodes, tmp_path: Path) -> None:
        new = await make(nodes.add())
        for text in (repr(new), repr(new.app), "".join(map(repr, nodes.changes))):
            assert not any(secret in text for secret in (new.secret, new.api_key, new.webhook_key))
        files = read_all(tmp_path)
        assert new.key.encode() in files
        assert not any(secret.encode() in files for secret in (new.secret, new.api_key, new.webhook_key))

    async def test_only_live_api_keys_are_right(self, nodes: Nodes) -> None:
        service = nodes.add()
        new, other = await make(service), await make(service)
        for wrong in (None, "", other.api_key, new.secret, new.key, new.api_key[:-1], "ß", "\ud800", "0" * 64):
            assert not service.is_api_key(new.app, wrong)

    async def test_who_may_create(self, nodes: Nodes) -> None:
        admins_only = nodes.add(AppSettings(encryption_keys=KEYS))
        assert await refusal(make(admins_only, ANONYMOUS)) == (Unauthenticated, Unauthenticated.default_message)
        assert (await refusal(make(admins_only, SERVICE)))[0] is Unauthenticated
        assert (await refusal(make(admins_only)))[0] is PermissionDenied
        assert (await make(admins_only, ADMIN)).app.owner_id == ADMIN.user_id
        users = nodes.add()
        assert (await make(users)).app.owner_id == ANN.user_id
        for arguments in ({"app_id": "shop", "owner_id": ANN.user_id}, {"owner_id": BOB.user_id}, {"owner_id": None}):
            draft = AppDraft(name="Shop")
            assert (await refusal(users.create(ANN, draft, **arguments)))[0] is PermissionDenied
        assert (await users.create(ADMIN, AppDraft(name="Shop"), app_id="shop", owner_id=None)).app.owner_id is None

    async def test_a_user_has_so_many_apps_at_most(self, nodes: Nodes) -> None:
        service = nodes.add()
        outcomes = await asyncio.gather(*(make(service) for _ in range(5)), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LimitExceeded"] * 3 + ["NewApp"] * 2
        assert isinstance(outcomes[-1], LimitExceeded)
        assert (await make(service, BOB)).app.owner_id == BOB.user_id

    async def test_an_id_is_taken_once(self, nodes: Nodes) -> None:
        one, other = nodes.add(), nodes.add()
        calls = [make((one, other)[number % 2], ADMIN, app_id="shop") for number in range(6)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 5 + ["NewApp"]

    @pytest.mark.parametrize(
        "app_id", ["", ".", "..", "a/b", "a b", "-a", "_a", ".a", "ü", "a" * 65, "a\n", "a:b", "a*", "%41", "a\0"]
    )
    async def test_an_id_that_cannot_be(self, nodes: Nodes, app_id: str) -> None:
        service = nodes.add()
        assert (await refusal(make(service, ADMIN, app_id=app_id)))[0] is InvalidValue
        assert await refusal(service.get(app_id)) == (NotFound, "The app does not exist")
        assert await refusal(service.show(ADMIN, app_id)) == (NotFound, "The app does not exist")

    @pytest.mark.parametrize(
        "draft",
        [
            {"name": ""},
            {"name": "x" * 101},
            {"name": " x"},
            {"name": "x\n"},
            {"webhook_endpoint": "ftp://example.com"},
            {"webhook_endpoint": "https://"},
            {"webhook_endpoint": "https://user:password@example.com"},
            {"webhook_endpoint": "https://example.com:99999/"},
            {"webhook_endpoint": "https://example.com/a b"},
            {"webhook_endpoint": "https://example.com/\r\nX: y"},
            {"webhook_endpoint": "https://[::1"},
            {"webhook_endpoint": "/hook"},
            {"webhook_endpoint": "https://example.com/" + "x" * 2000},
            {"webhook_key": "short"},
            {"webhook_key": "with a space in it"},
            {"webhook_key": "x" * 201},
            {"protocols": ["Relay"]},
            {"protocols": [""]},
            {"protocols": ["relay"] * 21},
            {"allowed_origins": ["("]},
            {"allowed_origins": [r"(?=x)"]},
            {"allowed_origins": ["x"] * 51},
            {"allowed_origins": ["x" * 501]},
            {"limits": AppLimits(connections=-1)},
            {"limits": AppLimits(publishes_per_second=-0.1)},
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, nodes: Nodes, draft: dict[str, Any]) -> None:
        service = nodes.add()
        assert (await refusal(service.create(ADMIN, AppDraft(**{"name": "x", **draft}))))[0] is InvalidValue
        new = await make(service, ADMIN)
        assert (await refusal(service.change(ADMIN, new.app.id, AppDraft(**draft))))[0] is InvalidValue
        assert await service.show(ADMIN, new.app.id) == new.app


class TestOwners:
    async def test_a_stranger_cannot_tell_whether_an_app_exists(self, nodes: Nodes) -> None:
        service = nodes.add()
        new = await make(service)
        calls: list[Callable[[str], Awaitable[Any]]] = [
            lambda app_id: service.show(BOB, app_id),
            lambda app_id: service.change(BOB, app_id, AppDraft(name="Mine")),
            lambda app_id: service.change(BOB, app_id, AppDraft(name="")),
            lambda app_id: service.change(BOB, app_id, AppDraft(is_enabled=True)),
            lambda app_id: service.rotate(BOB, app_id),
            lambda app_id: service.retire_old(BOB, app_id),
            lambda app_id: service.remove(BOB, app_id),
            lambda app_id: service.admit(app_id, by=BOB, api_key=None),
        ]
        for call in calls:
            assert await refusal(call(new.app.id)) == await refusal(call("999")) == (NotFound, "The app does not exist")
        for api_key in ("", "wrong", new.secret):
            answers = [await refusal(service.admit(i, by=ADMIN, api_key=api_key)) for i in (new.app.id, "999", "/")]
            assert answers == [(Unauthenticated, "The app or its API key is not right")] * 3
        assert await service.show(ANN, new.app.id) == new.app
        assert (await service.list(BOB)).items == []

    async def test_lists_are_ones_own_and_admins_see_all(self, nodes: Nodes) -> None:
        service = nodes.add()
        anns = (await make(service)).app
        nodes.clock.advance(1)
        bobs = (await make(service, BOB)).app
        assert (await service.list(ANN)).items == [anns]
        assert (await service.list(BOB)).items == [bobs]
        page = await service.list(ADMIN, index=1, limit=5)
        assert (page.items, page.count) == ([bobs], 2)
        assert (await refusal(service.list(ANONYMOUS)))[0] is Unauthenticated

    async def test_who_is_admitted(self, nodes: Nodes) -> None:
        service = nodes.add()
        new, other = await make(service), await make(service, BOB)
        app_id = new.app.id
        assert await service.admit(app_id, by=ANN, api_key=None) == new.app
        assert await service.admit(app_id, by=ADMIN, api_key=None) == new.app
        assert await service.admit(app_id, by=ANONYMOUS, api_key=new.api_key) == new.app
        assert (await refusal(service.admit(app_id, by=ANN, api_key=other.api_key)))[0] is Unauthenticated
        assert (await refusal(service.admit(app_id, by=ANONYMOUS, api_key=None)))[0] is Unauthenticated
        assert (await refusal(service.admit(app_id, by=SERVICE, api_key=None)))[0] is Unauthenticated
        await service.change(ADMIN, app_id, AppDraft(is_enabled=False))
        assert (await refusal(service.admit(app_id, by=ANONYMOUS, api_key=new.api_key)))[0] is Unauthenticated

    async def test_an_owner_changes_what_is_his_to_change(self, nodes: Nodes) -> None:
        service = nodes.add()
        new = await make(service)
        draft = AppDraft(
            name="Other",
            webhook_endpoint="https://example.com:8443/hook?a=1",
            webhook_key="a key of his own"[:16].replace(" ", "-"),
            protocols=["relay", "users"],
            allowed_origins=[r"^https://example\.com$"],
        )
        app = await service.change(ANN, new.app.id, draft)
        assert app == await service.get(new.app.id)
        assert (app.name, app.protocols, app.version) == ("Other", ("relay", "users"), 1)
        assert service.webhook_key(app) == "a-key-of-his-own"
        cleared = await service.change(ANN, new.app.id, AppDraft(webhook_endpoint="", protocols=[], allowed_origins=[]))
        assert (cleared.webhook_endpoint, cleared.protocols, cleared.allowed_origins) == ("", (), ())
        assert (cleared.name, service.webhook_key(cleared)) == ("Other", "a-key-of-his-own")
        for for_admins in (AppDraft(limits=AppLimits()), AppDraft(is_enabled=False)):
            assert (await refusal(service.change(ANN, new.app.id, for_admins)))[0] is PermissionDenied
            await service.change(ADMIN, new.app.id, for_admins)

    async def test_changes_of_two_at_once_are_both_kept(self, nodes: Nodes, store: SQLiteStore) -> None:
        other = nodes.add()
        new = await make(other)
        change = AppDraft(name="Other")
        one = nodes.add(store=Interleaved(store, "replace_app", lambda: other.change(ANN, new.app.id, change)))
        app = await one.change(ANN, new.app.id, AppDraft(protocols=["relay"]))
        assert (app.name, app.protocols, app.version) == ("Other", ("relay",), 2)

    async def test_an_app_that_goes_meanwhile_is_not_there(self, nodes: Nodes, store: SQLiteStore) -> None:
        other = nodes.add()
        for method, call in (
            ("replace_app", lambda service, app_id: service.change(ANN, app_id, AppDraft(name="Other"))),
            ("delete_app", lambda service, app_id: service.remove(ANN, app_id)),
        ):
            app_id = (await make(other)).app.id
            service = nodes.add(store=Interleaved(store, method, lambda app_id=app_id: other.remove(ANN, app_id)))
            assert (await refusal(call(service, app_id)))[0] is NotFound

    async def test_the_apps_of_an_account_go_with_it(self, nodes: Nodes) -> None:
        service, other = nodes.add(), nodes.add()
        ann = User("a" * 24, "Ann", "ann@example.com", "", 3, nodes.clock.now_ms())
        gone = [await make(service) for _ in range(2)]
        kept = await make(service, BOB)
        observer = AppOwnerObserver(service)
        await observer.created(ann)
        await observer.removed(ann)
        await observer.removed(ann)
        await nodes.settled()
        for new in gone:
            assert (await refusal(other.get(new.app.id)))[0] is NotFound
            assert (await refusal(other.by_key(new.key)))[0] is NotFound
            assert (new.app.id, None) in nodes.changes[1]
        assert await other.get(kept.app.id) == kept.app


class TestRotation:
    async def test_the_former_keys_stay_until_they_are_retired(self, nodes: Nodes) -> None:
        service, other = nodes.add(), nodes.add()
        first = await make(service)
        app_id = first.app.id
        second = await service.rotate(ANN, app_id)
        for node in (service, other):
            app = await node.get(app_id)
            assert node.secrets(app) == (second.secret, first.secret)
            assert await node.by_key(first.key) == await node.by_key(second.key) == app
            assert node.is_api_key(app, first.api_key)
            assert node.is_api_key(app, second.api_key)
        assert second.webhook_key == ""
        assert service.webhook_key(second.app) == first.webhook_key
        await service.retire_old(ANN, app_id)
        for node in (service, other):
            app = await node.get(app_id)
            assert node.secrets(app) == (second.secret,)
            assert not node.is_api_key(app, first.api_key)
            assert (await refusal(node.by_key(first.key)))[0] is NotFound
            assert await node.by_key(second.key) == app

    async def test_a_second_rotation_ends_the_oldest(self, nodes: Nodes) -> None:
        service = nodes.add()
        first = await make(service)
        made = [first, *[await service.rotate(ANN, first.app.id) for _ in range(3)]]
        app = await service.get(first.app.id)
        assert service.secrets(app) == (made[3].secret, made[2].secret)
        assert [service.is_api_key(app, each.api_key) for each in made] == [False, False, True, True]
        assert await service.retire_old(ANN, app.id) == await service.get(app.id)


class TestDefaultApp:
    async def test_it_is_made_once(self, nodes: Nodes) -> None:
        one, other = nodes.add(), nodes.add()
        outcomes = await asyncio.gather(one.ensure_default(), other.ensure_default(), one.ensure_default())
        (new,) = [outcome for outcome in outcomes if outcome is not None]
        for node in (one, other):
            app = await node.get("default")
            assert (app.owner_id, node.secrets(app)) == (None, (new.secret,))
            assert app.is_enabled
        assert await one.ensure_default() is None
        assert ("default", new.app) in nodes.changes[0]
        assert ("default", new.app) in nodes.changes[1]

    async def test_a_node_with_other_keys_does_not_start(self, nodes: Nodes) -> None:
        await nodes.add().ensure_default()
        stranger = nodes.add(AppSettings(encryption_keys=("another key of the tests, 32 bytes long",)))
        with pytest.raises(ConfigError, match=r"apps\.encryptionKeys"):
            await stranger.ensure_default()


class TestCache:
    async def test_an_app_in_use_is_looked_up_once(self, nodes: Nodes, store: SQLiteStore) -> None:
        new = await make(nodes.add())
        counting = CountingStore(store)
        service = nodes.add(store=counting)
        await asyncio.gather(*(service.get(new.app.id) for _ in range(10)))
        await service.by_key(new.key)
        await service.get(new.app.id)
        assert counting.looks == 1
        assert nodes.changes[1] == [(new.app.id, new.app)]

    async def test_a_change_reaches_every_node(self, nodes: Nodes) -> None:
        one, other = nodes.add(), nodes.add()
        new = await make(one)
        await other.get(new.app.id)
        changed = await one.change(ANN, new.app.id, AppDraft(name="Other"))
        assert await other.get(new.app.id) == changed
        await nodes.settled()
        assert [app for _, app in nodes.changes[1]][-1] == changed
        await one.remove(ANN, new.app.id)
        assert (await refusal(other.get(new.app.id)))[0] is NotFound
        await nodes.settled()
        assert nodes.changes[1][-1] == (new.app.id, None)

    async def test_a_node_that_heard_nothing_looks_again(self, nodes: Nodes) -> None:
        one, other = nodes.add(), nodes.add()
        new = await make(one)
        gone = await make(one, BOB)
        await other.get(new.app.id)
        await other.get(gone.app.id)
        nodes.is_cut = True
        changed = await one.change(ANN, new.app.id, AppDraft(name="Other"))
        await one.remove(BOB, gone.app.id)
        assert await other.get(new.app.id) == new.app
        nodes.clock.advance(MAX_AGE_SECONDS)
        assert await other.get(new.app.id) == changed
        assert (await refusal(other.get(gone.app.id)))[0] is NotFound
        assert nodes.changes[1][-2:] == [(new.app.id, changed), (gone.app.id, None)]

    async def test_after_an_interruption_all_are_looked_up(self, nodes: Nodes) -> None:
        one, other = nodes.add(), nodes.add()
        new, gone = await make(one), await make(one, BOB)
        for app_id in (new.app.id, gone.app.id):
            await other.get(app_id)
        nodes.is_cut = True
        changed = await one.change(ANN, new.app.id, AppDraft(name="Other"))
        await one.remove(BOB, gone.app.id)
        other.forget_all()
        await other.settled()
        assert nodes.changes[1][-2:] == [(new.app.id, changed), (gone.app.id, None)]

    async def test_what_a_look_up_finds_too_late_is_not_kept(self, nodes: Nodes, store: SQLiteStore) -> None:
        one = nodes.add()
        new = await make(one)

        class Slow(CountingStore):
            """Its first look-up has its answer already while another node changes the app."""

            async def get_app(self, app_id: str) -> App | None:
                app = await store.get_app(app_id)
                self.looks += 1
                if self.looks == 1:
                    await one.change(ANN, app_id, AppDraft(name="Other"))
                return app

        other = nodes.add(store=Slow(store))
        assert (await other.get(new.app.id)).name == "Shop"
        assert (await other.get(new.app.id)).name == "Other"
        await nodes.settled()
        assert (await other.get(new.app.id)).name == "Other"

    async def test_strangers_neither_fill_the_cache_nor_wear_out_the_store(
        self, nodes: Nodes, store: SQLiteStore
    ) -> None:
        new = await make(nodes.add())
        counting = CountingStore(store)
        service = nodes.add(store=counting)
        await service.get(new.app.id)
        outcomes = [(await refusal(service.get(f"unknown{number}")))[0] for number in range(500)]
        outcomes += [(await refusal(service.by_key(f"unknown{number}")))[0] for number in range(500)]
        assert set(outcomes) == {NotFound, Overloaded}
        assert counting.looks <= UNKNOWN_BURST + 1
        looks = counting.looks
        assert await service.get(new.app.id) == await service.by_key(new.key) == new.app
        for name in ("/", "", "a" * 65, "ü", "unknown0"):
            assert (await refusal(service.get(name)))[0] is NotFound
        for key in ("", "ü", "x" * 101):
            assert (await refusal(service.by_key(key)))[0] is NotFound
        assert counting.looks == looks
        nodes.clock.advance(60)
        assert (await refusal(service.get("unknown0")))[0] is NotFound

    async def test_an_app_that_comes_is_found_although_it_was_unknown(self, nodes: Nodes) -> None:
        one, other = nodes.add(), nodes.add()
        assert (await refusal(other.get("shop")))[0] is NotFound
        new = await make(one, ADMIN, app_id="shop")
        assert await other.get("shop") == new.app
        nodes.is_cut = True
        assert (await refusal(other.get("silent")))[0] is NotFound
        silent = await make(one, ADMIN, app_id="silent")
        nodes.clock.advance(UNKNOWN_SECONDS)
        assert await other.get("silent") == silent.app

    async def test_it_is_bounded(self, nodes: Nodes, store: SQLiteStore) -> None:
        maker = nodes.add()
        made = [await make(maker, ADMIN) for _ in range(8)]
        counting = CountingStore(store)
        service = nodes.add(store=counting)
        for new in made:
            await service.get(new.app.id)
        for new in made[-5:]:
            await service.get(new.app.id)
            await service.by_key(new.key)
        assert counting.looks == 8
        await service.get(made[0].app.id)
        assert await service.by_key(made[3].key) == made[3].app
        assert counting.looks == 10

    async def test_known_apps_outlive_an_outage_of_the_store(self, nodes: Nodes, store: SQLiteStore) -> None:
        new = await make(nodes.add())
        counting = CountingStore(store)
        service = nodes.add(store=counting)
        await service.get(new.app.id)
        counting.is_away = True
        nodes.clock.advance(MAX_AGE_SECONDS)
        assert await service.get(new.app.id) == new.app
        assert (await refusal(service.get("other")))[0] is StoreUnavailable
        counting.is_away = False
        assert (await refusal(service.get("other")))[0] is NotFound

    async def test_a_waiter_that_gives_up_takes_nobody_along(self, nodes: Nodes) -> None:
        new = await make(nodes.add())
        service = nodes.add()
        first = asyncio.ensure_future(service.get(new.app.id))
        second = asyncio.ensure_future(service.get(new.app.id))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == new.app


async def test_too_many_ids_are_taken(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    service = nodes.add()
    monkeypatch.setattr("users_server.services.apps.secrets.randbelow", lambda _most: 0)
    assert (await make(service, ADMIN)).app.id == "100000000"
    assert (await refusal(make(service, ADMIN)))[0] is Conflict
