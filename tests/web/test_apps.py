"""Apps over HTTP: made, shown, changed, rotated and removed, by those who may."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import structlog

from tests.web.site import API_KEY, ENCRYPTION_KEY, START_MS, Site, SiteMaker
from users_server.schemas.apps import NewAppAnswer
from users_server.services.settings import AppSettings

pytestmark = pytest.mark.gen_test

UNKNOWN = (404, "The app does not exist")
NO_LIMITS = {"connections": 0, "channels": 0, "messageBytes": 0, "publishesPerSecond": 0.0}


async def make_app(site: Site, username: str = "alice", **fields: Any) -> tuple[str, dict[str, Any], str]:
    """The id, the credentials, and the cookie of its maker."""
    cookie = await site.login(username)
    reply = await site.ask("POST", "/apps", {"name": "Shop", **fields}, cookie=cookie)
    assert reply.status == 200, reply
    assert NewAppAnswer().validate(reply.json) == {}
    return reply.json["data"]["id"], reply.json["credentials"], cookie


async def test_the_life_of_an_app(site: Site) -> None:
    app_id, credentials, cookie = await make_app(site, webhookEndpoint="https://example.com/hook")
    assert set(credentials) == {"key", "secret", "apiKey", "webhookKey"}
    shown = (await site.ask("GET", f"/apps/{app_id}", cookie=cookie)).json
    owner = await site.store.find_user("alice")
    assert owner is not None
    assert shown == {
        "message": f"Found {app_id}",
        "error": False,
        "data": {
            "id": app_id,
            "name": "Shop",
            "ownerId": owner.id,
            "createdOn": shown["data"]["createdOn"],
            "keys": [{"key": credentials["key"], "createdOn": shown["data"]["createdOn"]}],
            "webhookEndpoint": "https://example.com/hook",
            "protocols": [],
            "allowedOrigins": [],
            "debugSignatures": False,
            "limits": NO_LIMITS,
            "enabled": True,
        },
    }
    assert shown["data"]["createdOn"] > START_MS
    change = {
        "name": "Market",
        "protocols": ["relay"],
        "allowedOrigins": ["^https://example\\.com$"],
        "webhookEndpoint": "",
        "debugSignatures": True,
    }
    changed = await site.ask("PUT", f"/apps/{app_id}", change, cookie=cookie)
    assert changed.message == f"App {app_id} has been changed"
    assert changed.json["data"] == {**shown["data"], **change}
    listed = await site.ask("GET", "/apps", cookie=cookie)
    assert (listed.message, listed.json["data"], listed.json["count"]) == ("Found 1 apps", [changed.json["data"]], 1)
    removed = await site.ask("DELETE", f"/apps/{app_id}", cookie=cookie)
    assert removed.json == {"message": f"App {app_id} has been removed", "error": False}
    again = await site.ask("DELETE", f"/apps/{app_id}", cookie=cookie)
    assert (again.status, again.message) == UNKNOWN


async def test_the_default_app_stays_and_no_id_is_given_out_again(site: Site) -> None:
    deputy = await site.login("deputy")
    await site.ask("POST", "/apps", {"name": "Default", "id": "default"}, cookie=deputy)
    default = await site.ask("DELETE", "/apps/default", cookie=deputy)
    assert (default.status, default.message) == (409, "The default app cannot be removed; turn it off instead")
    made = await site.ask("POST", "/apps", {"name": "Shop", "id": "shop"}, cookie=deputy)
    assert made.status == 200, made
    assert (await site.ask("DELETE", "/apps/shop", cookie=deputy)).status == 200
    again = await site.ask("POST", "/apps", {"name": "Other", "id": "shop"}, cookie=deputy)
    assert again.status == 409


async def test_secrets_are_shown_once_and_never_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as records:
        app_id, first, cookie = await make_app(site)
        rotated = await site.ask("POST", f"/apps/{app_id}/rotate", cookie=cookie)
        second = rotated.json["credentials"]
        answers = [
            await site.ask("GET", "/apps", cookie=cookie),
            await site.ask("GET", f"/apps/{app_id}", cookie=cookie),
            await site.ask(
                "PUT", f"/apps/{app_id}", {"name": "Other", "webhookKey": "my-own-webhook-key"}, cookie=cookie
            ),
            await site.ask(
                "POST", f"/apps/{app_id}/events", {"channel": "a"}, headers={"app-api-key": first["apiKey"]}
            ),
            await site.ask("POST", f"/apps/{app_id}/retire-keys", cookie=cookie),
            await site.ask("DELETE", f"/apps/{app_id}", cookie=cookie),
        ]
    assert set(second) == {"key", "secret", "apiKey"}
    secrets = [first["secret"], first["apiKey"], first["webhookKey"], second["secret"], second["apiKey"]]
    texts = [*(answer.body.decode() for answer in answers), *map(str, records), caplog.text]
    for secret in (*secrets, "my-own-webhook-key"):
        assert not any(secret in text for text in texts)
    assert [record["event"] for record in records if record["event"].startswith("app")] == [
        "app created",
        "app's credentials rotated",
        "app changed",
        "app's old credentials ended",
        "app removed",
    ]


async def test_rotation(site: Site) -> None:
    app_id, first, cookie = await make_app(site)

    async def is_accepted(api_key: str) -> bool:
        reply = await site.ask("GET", f"/apps/{app_id}/channels/room", headers={"app-api-key": api_key})
        assert reply.status in (200, 401)
        return reply.status == 200

    second = (await site.ask("POST", f"/apps/{app_id}/rotate", cookie=cookie)).json
    assert [key["key"] for key in second["data"]["keys"]] == [second["credentials"]["key"], first["key"]]
    assert await is_accepted(first["apiKey"])
    assert await is_accepted(second["credentials"]["apiKey"])
    retired = (await site.ask("POST", f"/apps/{app_id}/retire-keys", cookie=cookie)).json
    assert [key["key"] for key in retired["data"]["keys"]] == [second["credentials"]["key"]]
    assert not await is_accepted(first["apiKey"])
    assert await is_accepted(second["credentials"]["apiKey"])


async def test_who_may_make_which_app(make_site: SiteMaker) -> None:
    site = await make_site(apps=AppSettings(encryption_keys=(ENCRYPTION_KEY,)))
    alice, deputy = await site.login("alice"), await site.login("deputy")
    body = {"name": "Shop"}
    assert (await site.ask("POST", "/apps", body)).status == 401
    assert (await site.ask("POST", "/apps", body, headers={"users-api-key": API_KEY})).status == 403
    assert (await site.ask("POST", "/apps", body, cookie=alice)).status == 403
    assert (await site.ask("POST", "/apps", {**body, "id": "shop", "owner": "Alice"}, cookie=deputy)).status == 200
    assert (await site.ask("GET", "/apps/shop", cookie=alice)).status == 200
    taken = await site.ask("POST", "/apps", {**body, "id": "shop"}, cookie=deputy)
    assert (taken.status, taken.message) == (409, "An app with that id already exists")
    assert (await site.ask("POST", "/apps", {**body, "owner": "nobody"}, cookie=deputy)).status == 404


async def test_what_a_user_may_not_choose(site: Site) -> None:
    alice = await site.login("alice")
    for fields in ({"id": "shop"}, {"owner": "bob"}, {"owner": "nobody"}, {"limits": {}}, {"enabled": False}):
        assert (await site.ask("POST", "/apps", {"name": "Shop", **fields}, cookie=alice)).status == 403
    assert (await site.ask("POST", "/apps", {"name": "Shop", "owner": "alice"}, cookie=alice)).status == 200


async def test_a_user_has_so_many_at_most(make_site: SiteMaker) -> None:
    settings = AppSettings(encryption_keys=(ENCRYPTION_KEY,), creation="users", max_per_user=1)
    site = await make_site(apps=settings)
    _, _, cookie = await make_app(site)
    reply = await site.ask("POST", "/apps", {"name": "Shop"}, cookie=cookie)
    assert (reply.status, reply.message) == (429, "You may have 1 apps at most")
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "x", "protocols": "relay"}, "protocols"),
        ({"name": "x", "protocols": [1]}, "protocols"),
        ({"name": "x", "limits": {"connections": -1}}, "limits"),
        ({"name": "x", "limits": {"connections": 2**53}}, "limits"),
        ({"name": "x", "limits": {"publishesPerSecond": "many"}}, "limits"),
        ({"name": "x", "enabled": 1}, "enabled"),
        ({"name": "x", "debugSignatures": "true"}, "debugSignatures"),
        ({"name": ""}, None),
        ({"name": "x", "id": "a/b"}, None),
        ({"name": "x", "webhookEndpoint": "javascript:alert(1)"}, None),
        ({"name": "x", "allowedOrigins": ["("]}, None),
    ],
)
async def test_what_makes_no_sense(site: Site, fields: dict[str, Any], at_fault: str | None) -> None:
    reply = await site.ask("POST", "/apps", fields, cookie=await site.login("deputy"))
    assert reply.status == 422
    assert list(reply.json.get("errors", {})) == ([at_fault] if at_fault else [])


async def test_limits_and_the_switch_are_the_admins(site: Site) -> None:
    app_id, credentials, alice = await make_app(site)
    deputy = await site.login("deputy")
    limits = {"connections": 5, "channels": 6, "messageBytes": 7, "publishesPerSecond": 0.5}
    for fields in ({"limits": limits}, {"enabled": False}):
        assert (await site.ask("PUT", f"/apps/{app_id}", fields, cookie=alice)).status == 403
        reply = await site.ask("PUT", f"/apps/{app_id}", fields, cookie=deputy)
        assert {name: reply.json["data"][name] for name in fields} == fields
    off = await site.ask("POST", f"/apps/{app_id}/events", {"channel": "a", "event": "b", "data": 1}, cookie=alice)
    assert (off.status, off.message) == (403, "The app is turned off")
    by_key = {"app-api-key": credentials["apiKey"]}
    assert (await site.ask("GET", f"/apps/{app_id}/channels/a", headers=by_key)).status == 401


async def test_apps_go_with_their_owner(site: Site) -> None:
    app_id, credentials, _ = await make_app(site)
    bobs, _, bob = await make_app(site, "bob")
    deputy = await site.login("deputy")
    assert (await site.ask("DELETE", "/users/alice", cookie=deputy)).status == 200
    assert (await site.ask("GET", f"/apps/{app_id}", cookie=deputy)).status == 404
    by_key = {"app-api-key": credentials["apiKey"]}
    assert (await site.ask("GET", f"/apps/{app_id}/channels/a", headers=by_key)).status == 401
    assert (await site.ask("GET", f"/apps/{bobs}", cookie=bob)).status == 200


async def test_a_foreign_page_changes_nothing(site: Site) -> None:
    app_id, _, cookie = await make_app(site)
    headers = {"Origin": "https://evil.example"}
    for method, path, body in (
        ("POST", "/apps", {"name": "x"}),
        ("PUT", f"/apps/{app_id}", {"name": "x"}),
        ("DELETE", f"/apps/{app_id}", None),
        ("POST", f"/apps/{app_id}/rotate", None),
        ("POST", f"/apps/{app_id}/retire-keys", None),
        ("POST", f"/apps/{app_id}/events", {"channel": "a", "event": "b", "data": 1}),
    ):
        assert (await site.ask(method, path, body, cookie=cookie, headers=headers)).status == 403
    assert (await site.ask("GET", f"/apps/{app_id}", cookie=cookie)).json["data"]["name"] == "Shop"
