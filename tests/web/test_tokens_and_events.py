"""Tokens made over HTTP and used over HTTP, and events that internal services emit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.site import API_KEY, START_MS, Site, SiteMaker
from users_server.errors import BrokerUnavailable

TRUSTED = {"users-api-key": API_KEY}
EVENT = {"eventType": 1, "username": "someone"}


@pytest.mark.gen_test
async def test_a_token_works_where_the_cookie_does(site: Site) -> None:
    reply = await site.ask("POST", "/tokens", cookie=await site.login("alice"))
    assert (reply.status, reply.message) == (200, "Token has been created")
    assert reply.json["expires"] == START_MS // 1000 + 3600
    token = reply.json["token"]
    who = await site.ask("GET", "/authenticated", token=token)
    assert who.json["user"]["username"] == "alice"
    assert who.cookie is None
    assert (await site.ask("GET", "/users/alice", token=token)).status == 200
    assert (await site.ask("GET", "/users/bob", token=token)).status == 403
    assert (await site.ask("POST", "/events", EVENT, token=token)).status == 403


@pytest.mark.gen_test
async def test_a_token_ends(site: Site) -> None:
    reply = await site.ask("POST", "/tokens", {"lifetimeSeconds": 60}, cookie=await site.login("alice"))
    assert reply.json["expires"] == START_MS // 1000 + 60
    token = reply.json["token"]
    site.clock.advance(70)
    ended = await site.ask("GET", "/authenticated", token=token)
    assert (ended.status, ended.message) == (401, "The token has expired")


@pytest.mark.gen_test
async def test_a_token_ends_with_its_session(site: Site) -> None:
    cookie = await site.login("alice")
    token = (await site.ask("POST", "/tokens", cookie=cookie)).json["token"]
    await site.ask("POST", "/logout", cookie=cookie)
    ended = await site.ask("GET", "/authenticated", token=token)
    assert (ended.status, ended.message) == (401, "The session has ended")


@pytest.mark.gen_test
async def test_a_token_made_with_a_token_does_not_outlive_it(site: Site) -> None:
    cookie = await site.login("alice")
    first = (await site.ask("POST", "/tokens", {"lifetimeSeconds": 600}, cookie=cookie)).json
    site.clock.advance(100)
    second = (await site.ask("POST", "/tokens", token=first["token"])).json
    assert second["expires"] == first["expires"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lifetimeSeconds": 3601}, "lifetimeSeconds"),
        ({"lifetimeSeconds": 0}, "lifetimeSeconds"),
        ({"lifetimeSeconds": -1}, "lifetimeSeconds"),
        ({"lifetimeSeconds": 10**30}, "lifetimeSeconds"),
        ({"lifetimeSeconds": "60"}, "lifetimeSeconds"),
        ({"scopes": "events:emit"}, "scopes"),
        ({"scopes": [1]}, "scopes"),
        ({"scopes": [""]}, "scopes"),
        ({"scopes": ["read events:emit"]}, "scopes"),
        ({"scopes": ["read\u00a0events:emit"]}, "scopes"),
        ({"scopes": ["events:emit\n"]}, "scopes"),
        ({"scopes": ["x"] * 17}, "scopes"),
        ({"scopes": ["x" * 65]}, "scopes"),
    ],
)
async def test_tokens_that_are_not_made(site: Site, body: Any, field: str) -> None:
    reply = await site.ask("POST", "/tokens", body, cookie=await site.login("alice"))
    assert reply.status == 422
    assert list(reply.json["errors"]) == [field]
    assert "token" not in reply.json


@pytest.mark.gen_test
async def test_only_admins_may_grant_the_right_to_emit(site: Site) -> None:
    body = {"scopes": ["events:emit", "other"]}
    assert (await site.ask("POST", "/tokens", body, cookie=await site.login("alice"))).status == 403
    reply = await site.ask("POST", "/tokens", body, cookie=await site.login("deputy"))
    assert reply.status == 200
    assert (await site.ask("POST", "/events", EVENT, token=reply.json["token"])).status == 200


@pytest.mark.gen_test
async def test_without_keys_there_are_no_tokens(make_site: SiteMaker) -> None:
    site = await make_site(keys=())
    reply = await site.ask("POST", "/tokens", cookie=await site.login("alice"))
    assert reply.status == 404
    assert reply.message.startswith("Tokens are not configured")


@pytest.mark.gen_test
async def test_a_token_of_a_service(site: Site) -> None:
    token = site.context.tokens.issue("billing service", scopes=["events:emit"])
    assert (await site.ask("GET", "/authenticated", token=token)).json["authenticated"] is False
    assert (await site.ask("POST", "/events", EVENT, token=token)).json["emitted"] == 1
    assert (await site.ask("POST", "/tokens", token=token)).status == 403


@pytest.mark.gen_test
async def test_emitting_one_event(site: Site) -> None:
    reply = await site.ask("POST", "/events", {**EVENT, "unknown": 1}, headers=TRUSTED)
    assert reply.json == {"message": "Emitted 1 events", "error": False, "emitted": 1}
    assert site.listener.events == [("Login", {"username": "someone"})]


@pytest.mark.gen_test
async def test_emitting_many_keeps_their_order(site: Site) -> None:
    events = [{"eventType": 1, "username": f"user{number}"} for number in range(100)]
    reply = await site.ask("POST", "/events", events, headers=TRUSTED)
    assert (reply.message, reply.json["emitted"]) == ("Emitted 100 events", 100)
    assert [data["username"] for _, data in site.listener.events] == [f"user{number}" for number in range(100)]


@pytest.mark.gen_test
@pytest.mark.parametrize("count", [0, 101])
async def test_too_few_or_too_many_events(site: Site, count: int) -> None:
    reply = await site.ask("POST", "/events", [EVENT] * count, headers=TRUSTED)
    assert reply.status == 422
    assert reply.json["errors"] == {"_schema": ["Between 1 and 100 objects are allowed"]}
    assert site.listener.events == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({}, 422),
        ({"username": "someone"}, 422),
        ({"eventType": "1", "username": "someone"}, 422),
        ({"eventType": True, "username": "someone"}, 422),
        ({"eventType": 1}, 422),
        ({"eventType": 1, "username": 7}, 422),
        ({"eventType": 99}, 422),
        ({"eventType": 10, "message": "echo"}, 403),
        ({"eventType": 11, "code": "x", "message": "y"}, 403),
    ],
)
async def test_events_that_are_not_emitted(site: Site, event: Any, status: int) -> None:
    reply = await site.ask("POST", "/events", event, headers=TRUSTED)
    assert (reply.status, reply.json["error"]) == (status, True)
    assert site.listener.events == []


@pytest.mark.gen_test
async def test_the_answer_names_the_event_that_was_refused(site: Site) -> None:
    events = [EVENT, EVENT, {"eventType": 1}, EVENT]
    reply = await site.ask("POST", "/events", events, headers=TRUSTED)
    assert reply.status == 422
    assert list(reply.json["errors"]) == ["2"]
    assert list(reply.json["errors"]["2"]) == ["username"]
    assert len(site.listener.events) == 2
    reply = await site.ask("POST", "/events", [EVENT, "text"], headers=TRUSTED)
    assert list(reply.json["errors"]) == ["1"]
    assert len(site.listener.events) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("key", [None, "", "wrong", API_KEY + "x", API_KEY[:-1], API_KEY.upper()])
async def test_a_wrong_api_key_is_none(site: Site, key: str | None) -> None:
    headers = {} if key is None else {"users-api-key": key}
    assert (await site.ask("POST", "/events", EVENT, headers=headers)).status == 401


@pytest.mark.gen_test
async def test_a_broker_that_is_away(site: Site) -> None:
    await site.node.stop()
    reply = await site.ask("POST", "/events", EVENT, headers=TRUSTED)
    assert reply.status == 503
    assert "Retry-After" in reply.headers
    with pytest.raises(BrokerUnavailable):
        await site.node.check()
