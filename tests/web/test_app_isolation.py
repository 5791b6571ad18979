"""Nothing of one app is visible to whoever has another one, on any path of the HTTP API."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.web.site import API_KEY, Listener, Reply, Site, SiteMaker
from tests.web.test_apps import make_app
from users_server.core.channels import ChannelRule
from users_server.core.connection import Connection
from users_server.core.messages import HistoryRule, Identity, Member
from users_server.protocols.jwp.http import HTTP_TABLE
from users_server.web.routes import ROUTES

pytestmark = pytest.mark.gen_test

EVENT = {"channel": "room", "event": "said", "data": "a secret of the shop"}
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/apps/:app"): {"name": "Mine"},
    ("POST", "/apps/:app/events"): EVENT,
}
PATHS = [(route.method, route.path) for route in ROUTES if ":app" in route.path.split("/")]
RULES = (ChannelRule(history=HistoryRule(10, 600), presence=True),)


def basic(app_id: str, api_key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{app_id}:{api_key}".encode()).decode()}


async def ask(site: Site, method: str, path: str, app_id: str, **credentials: Any) -> Reply:
    where = path.replace(":app", app_id).replace(":channel", "room")
    return await site.ask(method, where, BODIES.get((method, path)), **credentials)


def told(reply: Reply) -> tuple[int, bytes, Mapping[str, str]]:
    """All of it but the time."""
    headers = {name: value for name, value in reply.headers.items() if name != "Date"}
    return reply.status, reply.body, headers


async def filled(make_site: SiteMaker) -> tuple[Site, str, dict[str, Any]]:
    """A site with an app of Alice's, something in its channel and somebody there."""
    site = await make_site(channel_rules=RULES)
    app_id, credentials, cookie = await make_app(site, name="Alice's shop")
    published = await site.ask("POST", f"/apps/{app_id}/events", EVENT, cookie=cookie)
    assert published.json["data"][0]["position"]["offset"] == 1
    await site.node._presence.join(app_id, "room", Member("connection", "secret user"))
    return site, app_id, credentials


def test_there_are_paths() -> None:
    assert len(PATHS) >= 9


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_who_has_another_app_sees_what_he_sees_of_none(make_site: SiteMaker, method: str, path: str) -> None:
    site, alices, credentials = await filled(make_site)
    bobs, bobs_credentials, bob = await make_app(site, "bob")
    bobs_key = bobs_credentials["apiKey"]
    strangers: list[dict[str, Any]] = [
        {"cookie": bob},
        {},
        {"headers": {"users-api-key": bobs_key}},
        {"headers": {"users-api-key": API_KEY, "app-api-key": bobs_key}},
        {"headers": {"app-api-key": bobs_key}},
        {"headers": {"app-api-key": bobs_key}, "cookie": bob},
        {"headers": {"app-api-key": ""}},
        {"headers": {"app-api-key": credentials["secret"]}},
        {"headers": basic(bobs, bobs_key)},
        {"headers": basic(alices, bobs_key)},
        {"headers": basic(bobs, credentials["apiKey"])},
        {"headers": {"Authorization": "Basic %%%"}},
        {"headers": {"Authorization": "Basic"}},
    ]
    for stranger in strangers:
        of_another = await ask(site, method, path, alices, **stranger)
        of_none = await ask(site, method, path, "123456789", **stranger)
        assert told(of_another) == told(of_none)
        assert of_another.status in (401, 403, 404)
        assert not re.search(rb"secret|Alice|room", of_another.body)
    alice = await site.login("alice")
    assert (await site.ask("GET", f"/apps/{alices}", cookie=alice)).json["data"]["name"] == "Alice's shop"
    history = await site.ask("GET", f"/apps/{alices}/channels/room/history", cookie=alice)
    assert [publication["data"] for publication in history.json["data"]] == [EVENT["data"]]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_owners_and_admins_get_in_everywhere(make_site: SiteMaker, method: str, path: str) -> None:
    site, app_id, _ = await filled(make_site)
    for username in ("alice", "deputy", "chief"):
        cookie = await site.login(username)
        if method == "DELETE" and username != "chief":
            continue
        assert (await ask(site, method, path, app_id, cookie=cookie)).status == 200


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_an_api_key_opens_channels_and_nothing_else(make_site: SiteMaker, method: str, path: str) -> None:
    site, app_id, credentials = await filled(make_site)
    expected = 200 if "channels" in path or "events" in path else 401
    for headers in ({"app-api-key": credentials["apiKey"]}, basic(app_id, credentials["apiKey"])):
        assert (await ask(site, method, path, app_id, headers=headers)).status == expected


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_the_operators_own_services_reach_channels_and_nothing_else(
    make_site: SiteMaker, method: str, path: str
) -> None:
    site, app_id, _ = await filled(make_site)
    headers = {"users-api-key": API_KEY}
    if "channels" in path or "events" in path:
        assert (await ask(site, method, path, app_id, headers=headers)).status == 200
        assert (await ask(site, method, path, "123456789", headers=headers)).status == 404
        emitter = site.context.tokens.issue("mailer", scopes=["events:emit"])
        assert (await ask(site, method, path, app_id, token=emitter)).status == 401
    else:
        assert (await ask(site, method, path, app_id, headers=headers)).status == 403


async def test_channels_of_one_name_are_two(make_site: SiteMaker) -> None:
    site, alices, _ = await filled(make_site)
    bobs, _, bob = await make_app(site, "bob")
    await site.ask("POST", f"/apps/{bobs}/events", {**EVENT, "data": "bob's"}, cookie=bob)
    history = (await site.ask("GET", f"/apps/{bobs}/channels/room/history", cookie=bob)).json
    assert [publication["data"] for publication in history["data"]] == ["bob's"]
    alice = await site.login("alice")
    alices_history = (await site.ask("GET", f"/apps/{alices}/channels/room/history", cookie=alice)).json
    position = alices_history["position"]
    since = f"{position['epoch']}:{position['offset'] - 1}"
    path = f"/apps/{bobs}/channels/room/history?since={since}"
    reply = (await site.ask("GET", path, cookie=bob)).json
    assert all(publication["data"] == "bob's" for publication in reply["data"])
    assert (await site.ask("GET", f"/apps/{bobs}/channels/room/members", cookie=bob)).json["data"] == []
    state = (await site.ask("GET", f"/apps/{bobs}/channels/room", cookie=bob)).json["data"]
    assert (state["subscribers"], state["members"], state["users"]) == (0, 0, 0)


async def test_lists_hold_ones_own(make_site: SiteMaker) -> None:
    site, alices, _ = await filled(make_site)
    bobs, _, bob = await make_app(site, "bob")
    listed = (await site.ask("GET", "/apps?limit=100", cookie=bob)).json
    assert ([app["id"] for app in listed["data"]], listed["count"]) == ([bobs], 1)
    everything = (await site.ask("GET", "/apps", cookie=await site.login("deputy"))).json
    assert {app["id"] for app in everything["data"]} == {alices, bobs}


OF_BACK_ENDS = [(route.method, route.path) for route in HTTP_TABLE.routes]
PUSHED = {"channel": "room", "event": "said", "payload": "a secret of the shop"}


async def ask_as_back_end(site: Site, method: str, path: str, headers: Mapping[str, str]) -> Reply:
    where = path.replace(":name", "room").replace(":socket_id", "secret%20user")
    return await site.ask(method, where, PUSHED if path.endswith("/push") else None, headers=headers)


async def occupied(make_site: SiteMaker) -> tuple[Site, str, dict[str, Any], Listener]:
    """As :func:`filled`, and somebody is connected."""
    site, app_id, credentials = await filled(make_site)
    ear = Listener()
    connection = Connection("c1", Identity(), ear, ear, lambda *_: None, app=app_id, user_id="secret user")
    site.node.connect(connection)
    await site.node.subscribe(connection, "room", lambda _greeted: ())
    return site, app_id, credentials, ear


@pytest.mark.parametrize(("method", "path"), OF_BACK_ENDS)
async def test_a_back_end_of_another_app_is_a_stranger(make_site: SiteMaker, method: str, path: str) -> None:
    site, alices, credentials, ear = await occupied(make_site)
    bobs, bobs_credentials, bob = await make_app(site, "bob")
    for name, password in (
        (alices, bobs_credentials["apiKey"]),
        (alices, credentials["secret"]),
        (alices, credentials["key"]),
        (alices, ""),
        (bobs, credentials["apiKey"]),
    ):
        of_another = await ask_as_back_end(site, method, path, basic(name, password))
        of_none = await ask_as_back_end(site, method, path, basic("123456789", password))
        assert told(of_another) == told(of_none)
        assert of_another.status == 401
    for headers in ({"users-api-key": API_KEY}, {"app-api-key": credentials["apiKey"]}, {"Cookie": f"SID={bob}"}):
        assert (await ask_as_back_end(site, method, path, headers)).status == 401
    assert site.node.subscriber_count(alices, "room") == 1
    assert ear.events == []


@pytest.mark.parametrize(("method", "path"), OF_BACK_ENDS)
async def test_a_back_end_sees_and_does_nothing_in_another_app(make_site: SiteMaker, method: str, path: str) -> None:
    site, alices, credentials, ear = await occupied(make_site)
    bobs, bobs_credentials, _ = await make_app(site, "bob")
    reply = await ask_as_back_end(site, method, path, basic(bobs, bobs_credentials["apiKey"]))
    assert reply.status in (200, 201)
    assert not re.search(rb"secret|Alice|c1|: *[1-9]", reply.body)
    assert site.node.subscriber_count(alices, "room") == 1
    assert ear.events == []
    own = await ask_as_back_end(site, method, path, basic(alices, credentials["apiKey"]))
    assert own.status == reply.status
    if method == "GET":
        assert b'"subscribers":1' in own.body
    elif path.endswith("/push"):
        assert [data for _, data in ear.events] == ["a secret of the shop"]
    else:
        assert site.node.subscriber_count(alices, "room") == 0
