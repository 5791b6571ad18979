"""One's own logins, log out everywhere, the audit log, export and erasure, on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.mongodb_server import MongoServer, RunningMongoServer, drop_database, find_mongodb
from tests.unit.services.doubles import HeldPasswords
from tests.web.site import CHEAP, START_MS, Site, SiteMaker
from users_server.backends.mongodb import MongoStore
from users_server.core.interfaces import Store
from users_server.services.settings import LoginLimits, PasswordSettings

pytestmark = pytest.mark.gen_test(timeout=30)


@pytest.fixture(scope="module")
def mongodb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer | RunningMongoServer]:
    server = find_mongodb(tmp_path_factory.mktemp("mongodb"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "mongodb"])
def store_of(request: pytest.FixtureRequest) -> Iterator[Callable[[], Store] | None]:
    if request.param == "sqlite":
        yield None
        return
    url = request.getfixturevalue("mongodb_server").database_url()
    yield lambda: MongoStore(url)
    drop_database(url)


@pytest.fixture
def site(io_loop: IOLoop, store_of: Callable[[], Store] | None, make_site: SiteMaker) -> Site:
    started: Site = io_loop.run_sync(lambda: make_site(store_of=store_of))
    return started


async def audit(site: Site, query: str = "") -> list[dict[str, Any]]:
    deputy = await site.login("deputy")
    reply = await site.ask("GET", f"/audit?limit=100&{query}", cookie=deputy)
    assert reply.status == 200, reply
    assert reply.json["count"] == len(reply.json["data"])
    entries: list[dict[str, Any]] = reply.json["data"]
    return entries


async def is_logged_in(site: Site, cookie: str) -> bool:
    return bool((await site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"])


class TestOwnSessions:
    async def test_each_login_is_listed_with_device_and_times(self, site: Site) -> None:
        first = await site.login("alice")
        site.clock.advance(10)
        headers = {"User-Agent": "Another Browser/1.0"}
        body = {"username": "alice", "password": "a password of the tests", "rememberMe": False}
        await site.ask("POST", "/users/login", body, headers=headers)
        await site.login("bob")
        site.clock.advance(300)
        reply = await site.ask("GET", "/users/alice/sessions", cookie=first)
        assert (reply.status, reply.message, reply.json["count"]) == (200, "Found 2 sessions", 2)
        young, old = reply.json["data"]
        assert (young["device"], young["persistent"], young["isCurrent"]) == ("Another Browser/1.0", False, False)
        assert (old["isCurrent"], old["address"]) == (True, "127.0.0.1")
        assert young["createdOn"] - old["createdOn"] == 10_000
        # This very request has used it.
        assert old["lastUsed"] - old["createdOn"] == 310_001
        assert young["lastUsed"] == young["createdOn"]
        assert first not in reply.body.decode()

    async def test_one_is_ended_by_its_owner(self, site: Site) -> None:
        kept, ended = await site.login("alice"), await site.login("alice")
        (young, _) = (await site.ask("GET", "/users/alice/sessions", cookie=kept)).json["data"]
        path = f"/users/alice/sessions/{young['sessionId']}"
        assert (await site.ask("DELETE", path, cookie=await site.login("bob"))).status == 403
        reply = await site.ask("DELETE", path, cookie=kept)
        assert reply.message == f"Session {young['sessionId']} has been removed"
        assert reply.cookie is None or reply.cookie.value == kept
        assert site.listener.events[-1] == ("Logout", {"username": "alice"})
        assert (await is_logged_in(site, kept), await is_logged_in(site, ended)) == (True, False)
        again = await site.ask("DELETE", path, cookie=kept)
        assert (again.status, again.message) == (404, f"Session '{young['sessionId']}' does not exist")

    async def test_nobody_ends_anothers_session_through_himself(self, site: Site) -> None:
        alice, bob = await site.login("alice"), await site.login("bob")
        (session,) = (await site.ask("GET", "/users/alice/sessions", cookie=alice)).json["data"]
        reply = await site.ask("DELETE", f"/users/bob/sessions/{session['sessionId']}", cookie=bob)
        assert reply.status == 404
        assert await is_logged_in(site, alice)
        assert (await site.ask("GET", "/users/alice/sessions", cookie=bob)).status == 403
        assert (await site.ask("GET", "/users/alice/sessions")).status == 401

    @pytest.mark.parametrize("keeps_current", [True, False])
    async def test_log_out_everywhere(self, site: Site, keeps_current: bool) -> None:
        cookies = [await site.login("alice") for _ in range(3)]
        bob = await site.login("bob")
        events = len(site.listener.events)
        reply = await site.ask("POST", "/logout-everywhere", {"keepCurrent": keeps_current}, cookie=cookies[0])
        count = 3 - keeps_current
        assert (reply.status, reply.message, reply.json["count"]) == (200, f"Ended {count} sessions", count)
        assert site.listener.events[events:] == [("Logout", {"username": "alice"})] * count
        assert [await is_logged_in(site, cookie) for cookie in cookies] == [keeps_current, False, False]
        assert await is_logged_in(site, bob)
        assert reply.cookie is not None
        assert bool(reply.cookie.value) == keeps_current

    async def test_an_admin_ends_all_of_a_user(self, site: Site) -> None:
        alice, deputy = await site.login("alice"), await site.login("deputy")
        assert (await site.ask("DELETE", "/users/alice/sessions", cookie=deputy)).message == "Ended 1 sessions"
        assert not await is_logged_in(site, alice)
        assert await is_logged_in(site, deputy)

    async def test_nobody_logged_in_has_nothing_to_end(self, site: Site) -> None:
        reply = await site.ask("POST", "/logout-everywhere")
        assert (reply.status, reply.message) == (401, "You must be logged in to make this request")


class TestLockout:
    async def test_it_tells_nothing_and_says_when_to_come_back(
        self, make_site: SiteMaker, store_of: Callable[[], Store] | None
    ) -> None:
        site = await make_site(store_of=store_of, login_limits=LoginLimits(2, 100, window_seconds=60))
        replies = []
        for name in ("alice", "nobody"):
            for _ in range(3):
                reply = await site.ask("POST", "/users/login", {"username": name, "password": "wrong"})
                replies.append((reply.status, reply.headers.get("Retry-After"), reply.body))
        assert replies[:3] == replies[3:]
        assert [status for status, _, _ in replies[:3]] == [401, 401, 429]
        assert replies[2][1] == "60"
        right = {"username": "alice", "password": "a password of the tests"}
        assert (await site.ask("POST", "/users/login", right)).status == 429
        site.clock.advance(60)
        assert (await site.ask("POST", "/users/login", right)).status == 200

    async def test_an_address_waits_too(self, make_site: SiteMaker, store_of: Callable[[], Store] | None) -> None:
        site = await make_site(store_of=store_of, login_limits=LoginLimits(100, 3, window_seconds=60))
        statuses = [
            (await site.ask("POST", "/users/login", {"username": f"user{number}", "password": "wrong"})).status
            for number in range(5)
        ]
        assert statuses == [401, 401, 401, 429, 429]


class TestLoginsUnderLoad:
    async def test_beyond_the_queue_the_server_is_busy_and_then_it_is_not(
        self, make_site: SiteMaker, store_of: Callable[[], Store] | None
    ) -> None:
        settings = PasswordSettings(hash_workers=1, max_waiting=2)
        site = await make_site(store_of=store_of, passwords_of=lambda: HeldPasswords(settings, costs=CHEAP))
        held = site.passwords
        assert isinstance(held, HeldPasswords)
        asked = [
            asyncio.ensure_future(site.ask("POST", "/users/login", {"username": f"user{number}", "password": "wrong"}))
            for number in range(10)
        ]
        pending = set(asked)
        while len(pending) > 3:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for reply in done:
                assert reply.result().status == 503
                assert int(reply.result().headers["Retry-After"]) > 0
                assert reply.result().json["authenticated"] is False
        held.go.set()
        assert sorted([reply.status for reply in await asyncio.gather(*asked)]) == [401] * 3 + [503] * 7
        right = {"username": "alice", "password": "a password of the tests"}
        assert (await site.ask("POST", "/users/login", right)).status == 200


class TestAudit:
    async def test_only_admins_read_it(self, site: Site) -> None:
        assert (await site.ask("GET", "/audit")).status == 401
        assert (await site.ask("GET", "/audit", cookie=await site.login("alice"))).status == 403

    async def test_who_did_what_to_whom_from_where(self, site: Site) -> None:
        headers = {"User-Agent": "curl/8"}
        await site.ask("POST", "/users/login", {"username": "alice", "password": "wrong"}, headers=headers)
        alice = await site.login("alice")
        await site.ask("POST", "/logout", cookie=alice, headers=headers)
        deputy = await site.login("deputy")
        site.clock.advance(1)
        body = {"username": "carol", "email": "carol@example.com", "password": "carols secret"}
        await site.ask("POST", "/users", body, cookie=deputy)
        site.clock.advance(1)
        await site.ask("POST", "/users/bob/meta", {"value": {"a": "not to be kept"}}, cookie=deputy)
        site.clock.advance(1)
        await site.ask("DELETE", "/users/carol", cookie=deputy)
        entries = await audit(site)
        seen = {(entry["action"], entry["username"], entry["by"]) for entry in entries}
        assert {
            ("login_failed", "alice", ""),
            ("login", "alice", "alice"),
            ("logout", "alice", "alice"),
            ("meta_changed", "bob", "deputy"),
        } <= seen
        (removed,) = [entry for entry in entries if entry["action"] == "account_removed"]
        assert removed["by"] == "deputy"
        assert removed["username"].startswith("erased-")
        (failed,) = [entry for entry in entries if entry["action"] == "login_failed"]
        assert (failed["address"], failed["userAgent"]) == ("127.0.0.1", "curl/8")
        text = repr(entries)
        for secret in ("wrong", "carols secret", "not to be kept", alice, deputy, "a password of the tests"):
            assert secret not in text

    async def test_filters_and_pages(self, site: Site) -> None:
        for number in range(5):
            site.clock.advance(1)
            await site.ask("POST", "/users/login", {"username": f"user{number}", "password": "wrong"})
        assert [entry["username"] for entry in await audit(site, "action=login_failed")] == [
            f"user{number}" for number in reversed(range(5))
        ]
        assert [entry["action"] for entry in await audit(site, "user=USER3")] == ["login_failed"]
        assert await audit(site, "user=.*") == []
        assert await audit(site, "address=192.0.2.1") == []
        moment = (await audit(site, "user=user2"))[0]["at"]
        found = await audit(site, f"action=login_failed&since={moment}&until={moment + 1}")
        assert [entry["username"] for entry in found] == ["user2"]
        reply = await site.ask("GET", "/audit?action=login_failed&index=1&limit=2", cookie=await site.login("deputy"))
        assert ([entry["username"] for entry in reply.json["data"]], reply.json["count"]) == (["user3", "user2"], 5)
        reply = await site.ask("GET", "/audit?action=no_such", cookie=await site.login("deputy"))
        assert (reply.status, list(reply.json["errors"])) == (422, ["action"])


class TestPersonalData:
    async def test_the_export_has_everything_and_no_secret(self, site: Site) -> None:
        deputy = await site.login("deputy")
        await site.ask("POST", "/users/alice/meta", {"value": {"colour": "red"}}, cookie=deputy)
        alice = await site.login("alice")
        await site.login("bob")
        reply = await site.ask("GET", "/users/alice/export", cookie=alice)
        assert (reply.status, reply.message) == (200, "Everything that is held of alice")
        data = reply.json["data"]
        assert data["account"]["username"] == "alice"
        assert data["account"]["email"] == "alice@example.com"
        assert data["meta"] == {"colour": "red"}
        assert len(data["sessions"]) == 1
        assert {entry["action"] for entry in data["audit"]["entries"]} >= {"login", "meta_changed", "account_created"}
        assert all(not entry["address"] for entry in data["audit"]["entries"] if entry["by"] == "deputy")
        text = reply.body.decode()
        stored = await site.store.find_user("alice")
        assert stored is not None
        for secret in (stored.password_hash, alice, "bob"):
            assert secret not in text
        assert (await audit(site, "action=data_exported"))[0]["by"] == "alice"

    async def test_it_is_for_the_owner_and_admins(self, site: Site) -> None:
        assert (await site.ask("GET", "/users/alice/export")).status == 401
        assert (await site.ask("GET", "/users/alice/export", cookie=await site.login("bob"))).status == 403
        assert (await site.ask("GET", "/users/alice/export", cookie=await site.login("deputy"))).status == 200
        assert (await site.ask("GET", "/users/nobody/export", cookie=await site.login("deputy"))).status == 404

    async def test_apps_buckets_and_files_are_in_it(self, site: Site) -> None:
        alice = await site.login("alice")
        made = await site.ask("POST", "/apps", {"name": "Shop"}, cookie=alice)
        assert made.status == 200, made
        await site.ask("POST", "/users/alice/buckets/pictures", cookie=alice)
        part = (
            '--x\r\nContent-Disposition: form-data; name="f"; filename="note.txt"\r\nContent-Type: text/plain\r\n\r\n'
            "a note\r\n--x--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        reply = await site.ask("POST", "/buckets/pictures/upload", raw=part.encode(), headers=headers, cookie=alice)
        assert reply.status == 200, reply
        exported = await site.ask("GET", "/users/alice/export", cookie=alice)
        data = exported.json["data"]
        assert [app["name"] for app in data["apps"]] == ["Shop"]
        assert [bucket["name"] for bucket in data["buckets"]] == ["alice-bucket", "pictures"]
        (file,) = data["buckets"][1]["files"]
        assert (file["name"], file["size"]) == ("note.txt", 6)
        path = file["url"].removeprefix(f"http://{site.host}")
        assert (await site.ask("GET", path, cookie=alice)).body == b"a note"
        secrets = [made.json["credentials"][name] for name in ("secret", "apiKey")]
        assert not any(secret in exported.body.decode() for secret in secrets)

    async def test_parts_are_added_by_those_who_keep_them(self, site: Site) -> None:
        class Source:
            part = "things"

            async def export(self, user: Any) -> Any:
                return [f"a thing of {user.username}"]

        site.context.safety.personal_data.add(Source())
        reply = await site.ask("GET", "/users/alice/export", cookie=await site.login("alice"))
        assert reply.json["data"]["things"] == ["a thing of alice"]

    async def test_a_removed_user_leaves_nothing_of_himself(self, site: Site) -> None:
        alice = await site.login("alice")
        stored = await site.store.find_user("alice")
        assert stored is not None
        reply = await site.ask("DELETE", "/users/alice", cookie=alice)
        assert reply.status == 200
        entries = await audit(site)
        assert any(entry["action"] == "account_removed" for entry in entries)
        assert "alice" not in repr(entries)
        assert stored.id not in repr(entries)
        assert await site.store.list_sessions_of_user(stored.id, now=START_MS) == []
        assert await site.store.find_user("alice@example.com") is None
