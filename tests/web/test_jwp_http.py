"""The HTTP API of the JeuWeb Push Server: what an app's back end sends, and what it is answered."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from tests.web.site import PASSWORD, Reply, Site, SiteMaker
from tests.web.test_apps import make_app
from users_server.core.channels import ChannelRule
from users_server.core.connection import Connection
from users_server.core.messages import HistoryRule, Identity, Member, Publication
from users_server.errors import Disconnect
from users_server.web.settings import Compatibility, HttpSettings

pytestmark = pytest.mark.gen_test(timeout=30)

PUSH = "/api/v1/push"
DONE = {"status": "ok", "data": {}}
RULES = (ChannelRule("kept*", history=HistoryRule(10, 600)),)


def refusal(code: int, message: str) -> dict[str, Any]:
    return {"status": "error", "error": {"code": code, "message": message}}


NOT_AUTHENTICATED = refusal(401, "Not authenticated")


def message(channel: Any = "lobby", payload: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"channel": channel, "event": "said", "payload": payload, **fields}


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class Ear:
    """A client of some channels, which notes what comes."""

    queued_bytes = 0

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, Any]] = []
        self.closed: list[str] = []

    def encode(self, publication: Publication) -> bytes | None:
        self.heard.append((publication.channel, publication.event, publication.data))
        return None

    def encode_presence(self, _change: object) -> bytes | None:
        return None

    encode_gap = encode_presence

    def write(self, frames: bytes) -> None:
        raise AssertionError("nothing was encoded")

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("nobody closes the transport itself")

    def abort(self) -> None:
        raise AssertionError("nobody closes the transport itself")

    def ended(self, _connection: Connection, reason: Disconnect) -> None:
        self.closed.append(reason.reason)


class BackEnd:
    """An app's back end, with its API key, and clients of the app."""

    def __init__(self, site: Site, app_id: str, api_key: str, cookie: str) -> None:
        self.site = site
        self.app_id = app_id
        self.api_key = api_key
        self.cookie = cookie
        self.headers = basic(app_id, api_key)

    async def push(self, body: Any, key: str | None = None, **headers: str) -> Reply:
        more = headers if key is None else {"Idempotency-Key": key, **headers}
        return await self.site.ask("POST", PUSH, body, headers={**self.headers, **more})

    async def send(self, raw: bytes, **headers: str) -> Reply:
        return await self.site.ask("POST", PUSH, raw=raw, headers={**self.headers, **headers})

    async def get(self, path: str) -> Reply:
        return await self.site.ask("GET", f"/api/v1/channels{path}", headers=self.headers)

    async def disconnect(self, socket_id: str) -> Reply:
        path = f"/api/v1/sockets/{quote(socket_id, safe='')}/disconnect"
        return await self.site.ask("POST", path, headers=self.headers)

    async def join(
        self, channels: Sequence[str], user_id: str = "ann", member: Mapping[str, Any] | None = None, ref: str = ""
    ) -> Ear:
        ear = Ear()
        name = f"{self.app_id}-{user_id}-{id(ear)}"
        connection = Connection(name, Identity(), ear, ear, ear.ended, app=self.app_id, user_id=user_id)
        self.site.node.connect(connection)
        for channel in channels:
            listed = None if member is None else Member(name, user_id, dict(member), ref)
            await self.site.node.subscribe(connection, channel, lambda _greeted: (), member=listed)
        return ear


async def back_end(make_site: SiteMaker, site: Site | None = None, **fields: Any) -> BackEnd:
    site = site or await make_site(channel_rules=RULES)
    app_id, credentials, cookie = await make_app(site, "deputy", **fields)
    return BackEnd(site, app_id, credentials["apiKey"], cookie)


# Pushing


async def test_a_push_reaches_who_is_there(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    ear = await app.join(["lobby", "kept"])
    reply = await app.push(message(payload={"text": "hi", "n": [1, None, "é😀"]}))
    assert (reply.status, reply.json) == (201, DONE)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Server" not in reply.headers
    assert (await app.push(message(payload=None))).status == 201
    assert ear.heard == [("lobby", "said", {"text": "hi", "n": [1, None, "é😀"]}), ("lobby", "said", None)]


async def test_a_push_to_several_channels(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    ear = await app.join(["a", "b"])
    assert (await app.push({"channels": ["b", "c", "a"], "event": "said", "payload": 5})).json == DONE
    assert ear.heard == [("b", "said", 5), ("a", "said", 5)]
    many = {"channels": [f"c{number}" for number in range(100)], "event": "said", "payload": 5}
    assert (await app.push(many)).status == 201
    many["channels"].append("one more")
    assert (await app.push(many)).status == 400


@pytest.mark.parametrize("absent", ["channel", "event", "payload"])
async def test_what_is_missing(make_site: SiteMaker, absent: str) -> None:
    app = await back_end(make_site)
    body = message()
    del body[absent]
    reply = await app.push(body)
    assert (reply.status, reply.json) == (400, refusal(400, "Missing data"))


@pytest.mark.parametrize("body", [{}, {"channel": 1}, {"channels": []}])
async def test_what_is_missing_goes_before_what_is_wrong(make_site: SiteMaker, body: Any) -> None:
    app = await back_end(make_site)
    assert (await app.push(body)).json == refusal(400, "Missing data")
    assert (await app.send(b"")).json == refusal(400, "Missing data")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{", "The body is not valid JSON"),
        (b"channel=lobby&event=said", "The body is not valid JSON"),
        (b'{"channel":"a","event":"b","payload":NaN}', "The body is not valid JSON"),
        (b'{"channel":"\xff","event":"b","payload":1}', "The body is not valid JSON"),
        (b'{"channel":"\\ud800","event":"b","payload":1}', "The body is not valid JSON"),
        (b"[]", "The body must be a JSON object"),
        (b'"lobby"', "The body must be a JSON object"),
        (b'{"channel":"a","event":"b","payload":' + b"[" * 100 + b"]" * 100 + b"}", "The body is nested more than"),
    ],
)
async def test_bad_json(make_site: SiteMaker, raw: bytes, told: str) -> None:
    app = await back_end(make_site)
    reply = await app.send(raw)
    assert (reply.status, reply.json["error"]["code"]) == (400, 400)
    assert reply.json["error"]["message"].startswith(told)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (message(5), "channel: "),
        (message(None), "channel: "),
        (message(""), "channel: "),
        (message(" a"), "The name of a channel has no control characters"),
        (message("a\n"), "The name of a channel has no control characters"),
        (message("x" * 201), "The name of a channel has 200 bytes at most"),
        (message(channels=["a"]), "channels: "),
        ({"channels": ["a", 1], "event": "b", "payload": 1}, "channels.1: "),
        ({"channels": "a", "event": "b", "payload": 1}, "channels: "),
        ({"channels": [], "event": "b", "payload": 1}, "channels: "),
        ({"channels": ["a", "jwp:x:lobby"], "event": "b", "payload": 1}, "A channel is named by its short name"),
        (message("jwp:app:lobby"), "A channel is named by its short name"),
        (message(event=None), "event: "),
        (message(event=""), "The name of an event has 1 to 200"),
        (message(event="a\0"), "The name of an event has 1 to 200"),
        (message(event="x" * 201), "The name of an event has 1 to 200"),
        (message(event="phx_reply"), "Events that begin with phx_"),
        (message(event="phx_"), "Events that begin with phx_"),
        (message(event="presence_state"), "Events that begin with phx_"),
        (message(event="presence_diff"), "Events that begin with phx_"),
        (message(event="jwp_system"), "Events that begin with phx_"),
        (message(payload={"$binary": "no base64!"}), "A binary payload is"),
        (message(payload={"$binary": "YQ"}), "A binary payload is"),
        (message(payload={"$binary": 5}), "A binary payload is"),
        (message(payload={"$binary": None}), "A binary payload is"),
    ],
)
async def test_what_cannot_be_pushed(make_site: SiteMaker, body: Any, told: str) -> None:
    app = await back_end(make_site)
    ear = await app.join(["a", "lobby"])
    reply = await app.push(body)
    assert (reply.status, reply.json["status"], reply.json["error"]["code"]) == (400, "error", 400)
    assert reply.json["error"]["message"].startswith(told), reply.json
    assert ear.heard == []


@pytest.mark.parametrize(
    "payload", [{"$binary": ""}, {"$binary": "AP+AYQ=="}, {"$binary": "x", "more": 1}, {"a": {"$binary": 5}}]
)
async def test_binary_payloads_and_what_only_looks_so(make_site: SiteMaker, payload: Any) -> None:
    app = await back_end(make_site)
    ear = await app.join(["lobby"])
    assert (await app.push(message(payload=payload))).status == 201
    assert ear.heard == [("lobby", "said", payload)]


async def test_a_client_need_not_say_that_it_sends_json(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    raw = json.dumps(message()).encode()
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        assert (await app.send(raw, **{"Content-Type": content_type})).status == 201
    head = f"POST {PUSH} HTTP/1.1", f"Authorization: {app.headers['Authorization']}", f"Content-Length: {len(raw)}"
    assert (await app.site.send(*head, body=raw)).status == 201


async def test_what_is_too_large(make_site: SiteMaker) -> None:
    app = await back_end(
        make_site, await make_site(http=HttpSettings(max_body_bytes=2000)), limits={"messageBytes": 20}
    )
    assert (await app.push(message(payload="x" * 18))).status == 201
    reply = await app.push(message(payload="x" * 19))
    assert (reply.status, reply.json) == (413, refusal(413, "The data of an event is larger than 20 bytes"))
    for size in (2001, 100_000):
        reply = await app.send(b"x" * size)
        assert (reply.status, reply.json) == (413, refusal(413, "The body is larger than 2000 bytes"))


async def test_an_app_pushes_only_so_fast_and_to_all_channels_or_none(make_site: SiteMaker) -> None:
    app = await back_end(make_site, limits={"publishesPerSecond": 4})
    ear = await app.join(["a", "b", "c"])
    three = {"channels": ["a", "b", "c"], "event": "said", "payload": 1}
    assert (await app.push(three)).status == 201
    reply = await app.push(three)
    assert (reply.status, reply.json) == (429, refusal(429, "The app publishes too fast"))
    assert reply.headers["Retry-After"] == "1"
    assert len(ear.heard) == 3
    assert (await app.push(message("a"))).status == 201
    assert (await app.push(message("a"))).status == 429
    for ask in (app.get(""), app.get("/a"), app.disconnect("ann")):
        assert (await ask).status == 429
    app.site.clock.advance(1)
    assert (await app.push(three)).status == 201
    app.site.clock.advance(10)
    never = await app.push({"channels": list("abcde"), "event": "said", "payload": 1})
    assert (never.status, never.json) == (400, refusal(400, "The app may publish 4 times at once at most"))
    assert len(ear.heard) == 7


async def test_a_push_while_the_broker_is_away(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    await app.site.node._broker.stop()
    reply = await app.push(message())
    assert (reply.status, reply.json["error"]["code"]) == (503, 503)
    assert reply.headers["Retry-After"] == "5"


async def test_the_channels_of_the_server_are_its_own(make_site: SiteMaker) -> None:
    site = await make_site()
    new = await site.context.apps.ensure_default()
    assert new is not None
    app = BackEnd(site, "default", new.api_key, "")
    site.listener.events.clear()
    for reply in (await app.push(message("users", {"username": "x"})), await app.get("/users")):
        assert (reply.status, reply.json) == (403, refusal(403, "This channel belongs to the server"))
    assert site.listener.events == []
    assert (await app.get("")).json["data"]["channels"] == []


# Who may


async def test_who_is_let_in(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    site, headers = app.site, app.headers
    mine = {"name": "Mine"}
    credentials = (await site.ask("POST", "/apps", mine, cookie=app.cookie)).json["credentials"]
    strangers: list[dict[str, Any]] = [
        {},
        {"headers": basic(app.app_id, credentials["apiKey"])},
        {"headers": basic(app.app_id, credentials["secret"])},
        {"headers": basic(app.app_id, "")},
        {"headers": basic("123456789", app.api_key)},
        {"headers": basic("", app.api_key)},
        {"headers": basic("\0/", app.api_key)},
        {"headers": basic(app.app_id, app.api_key + " ")},
        {"headers": {"Authorization": "Basic"}},
        {"headers": {"Authorization": "Basic %%%"}},
        {"headers": {"Authorization": "Basic /w=="}},
        {"headers": {"Authorization": headers["Authorization"].replace("Basic", "Bearer")}},
        {"headers": {"app-api-key": app.api_key}},
        {"cookie": app.cookie},
        {"cookie": app.cookie, "headers": basic("chief", PASSWORD)},
    ]
    for stranger in strangers:
        for method, path in (("POST", PUSH), ("GET", "/api/v1/channels"), ("GET", "/api/v1/channels/lobby")):
            reply = await site.ask(method, path, raw=b"{" if method == "POST" else None, **stranger)
            assert (reply.status, reply.json) == (401, NOT_AUTHENTICATED)
            assert reply.headers["WWW-Authenticate"].startswith("Basic ")
    lower = {"Authorization": headers["Authorization"].replace("Basic", "basic")}
    assert (await site.ask("POST", PUSH, message(), headers=lower)).status == 201


async def test_an_app_that_does_not_serve_it(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    assert (await app.push(message())).status == 201
    for change, status in (
        ({"protocols": ["relay"]}, 401),
        ({"protocols": ["relay", "jwp"]}, 201),
        ({"enabled": False}, 401),
        ({"enabled": True}, 201),
    ):
        changed = await app.site.ask("PUT", f"/apps/{app.app_id}", change, cookie=app.cookie)
        assert changed.status == 200
        reply = await app.push(message())
        assert (reply.status, reply.json) == (status, DONE if status == 201 else NOT_AUTHENTICATED)


async def test_keys_that_are_rotated(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    second = (await app.site.ask("POST", f"/apps/{app.app_id}/rotate", cookie=app.cookie)).json["credentials"]
    newer = BackEnd(app.site, app.app_id, second["apiKey"], app.cookie)
    assert [(await each.push(message())).status for each in (app, newer)] == [201, 201]
    await app.site.ask("POST", f"/apps/{app.app_id}/retire-keys", cookie=app.cookie)
    assert [(await each.push(message())).status for each in (app, newer)] == [401, 201]


async def test_pages_of_other_origins_are_refused(make_site: SiteMaker) -> None:
    app = await back_end(make_site, await make_site(http=HttpSettings(approved_domains=("^https://good$",))))
    for headers in ({"Origin": "https://good"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = await app.push(message(), **headers)
        assert (reply.status, reply.json["error"]["code"]) == (403, 403)
        read = await app.site.ask("GET", "/api/v1/channels", headers={**app.headers, **headers})
        preflight = await app.site.ask("OPTIONS", PUSH, headers=headers)
        assert preflight.status == 405
        for each in (reply, read, preflight):
            assert not [name for name in each.headers if name.lower().startswith("access-control")]
    assert (await app.push(message(), Origin=f"http://{app.site.host}")).status == 201


async def test_methods_and_addresses_that_there_are_not(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    for method, path, allowed in (
        ("GET", PUSH, "POST"),
        ("PUT", PUSH, "POST"),
        ("POST", "/api/v1/channels", "GET, HEAD"),
        ("DELETE", "/api/v1/channels/lobby", "GET, HEAD"),
        ("GET", "/api/v1/sockets/ann/disconnect", "POST"),
    ):
        reply = await app.site.ask(method, path, headers=app.headers)
        assert (reply.status, reply.headers["Allow"]) == (405, allowed)
        assert reply.json == refusal(405, "This method is not allowed here")
    trace = await app.site.send(f"TRACE {PUSH} HTTP/1.1")
    assert (trace.status, trace.json) == (405, refusal(405, "This method is not allowed here"))
    head = await app.site.ask("HEAD", "/api/v1/channels", headers=app.headers)
    assert (head.status, head.body) == (200, b"")
    for path in (PUSH + "/", "/api/v1", "/api/v1/channels/", "/api/v1/channels/a/b", "/api/v2/push"):
        assert (await app.site.ask("POST", path, message(), headers=app.headers)).status == 404


async def test_neither_prefix_nor_compatibility_change_anything(make_site: SiteMaker) -> None:
    site = await make_site(http=HttpSettings(api_prefix="/api/v1"), compatibility=Compatibility.WEBINATE)
    await site.add_app("shop")
    reply = await site.ask("POST", PUSH, message(), headers=basic("shop", "wrong"))
    assert (reply.status, reply.json) == (401, NOT_AUTHENTICATED)
    assert reply.set_cookies == ()


async def test_keys_stay_secret(make_site: SiteMaker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as records:
        app = await back_end(make_site)
        await app.push(message(), "some-key")
        await app.push({})
        await app.send(b"{")
        wrong = BackEnd(app.site, app.app_id, app.api_key[:-1], "")
        await wrong.push(message())
    encoded = app.headers["Authorization"].partition(" ")[2]
    for text in (*map(str, records), caplog.text):
        assert app.api_key[:-1] not in text
        assert encoded not in text


async def test_what_nobody_expected(make_site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await back_end(make_site)

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(type(app.site.context.publishing), "publish", fail)
    with structlog.testing.capture_logs() as records:
        reply = await app.push(message(), "key")
    assert (reply.status, reply.json) == (500, refusal(500, "Something went wrong; it has been logged"))
    assert [(record["event"], record["route"]) for record in records if record["log_level"] == "error"] == [
        ("Unexpected error in a request", PUSH)
    ]
    monkeypatch.undo()
    assert (await app.push(message(), "key")).status == 201


async def test_metrics_know_the_template_alone(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    await app.get("/a-secret-name")
    text = (await app.site.ask("GET", "/metrics")).body.decode()
    assert 'users_server_http_requests_total{method="GET",route="/api/v1/channels/:name",status="200"} 1.0' in text
    assert "a-secret-name" not in text


# Once


async def test_a_key_pushes_once(make_any_site: SiteMaker) -> None:
    app = await back_end(make_any_site)
    ear = await app.join(["lobby"])
    replies = [await app.push(message(), "key-1") for _ in range(3)]
    assert [(reply.status, reply.json) for reply in replies] == [(201, DONE)] * 3
    assert (await app.push(message(), "key-2")).status == 201
    assert len(ear.heard) == 2
    app.site.clock.advance(24 * 3600)
    assert (await app.push(message(), "key-1")).status == 201
    assert len(ear.heard) == 3


async def test_many_at_once_with_one_key_push_once(make_any_site: SiteMaker) -> None:
    app = await back_end(make_any_site)
    ear = await app.join(["lobby"])
    replies = await asyncio.gather(*(app.push(message(), "key") for _ in range(50)))
    assert len(ear.heard) == 1
    statuses = {reply.status for reply in replies}
    assert statuses <= {201, 409}
    assert 201 in statuses
    for reply in replies:
        if reply.status == 409:
            assert reply.headers["Retry-After"] == "1"
            assert reply.json == refusal(409, "The request with this idempotency key is being made")
    assert (await app.push(message(), "key")).json == DONE
    assert len(ear.heard) == 1


async def test_a_key_is_for_one_body(make_any_site: SiteMaker) -> None:
    app = await back_end(make_any_site)
    ear = await app.join(["lobby"])
    assert (await app.push(message(), "key")).status == 201
    for body in (message(payload=2), message("other"), {**message(), "more": 1}):
        reply = await app.push(body, "key")
        assert (reply.status, reply.json) == (
            422,
            refusal(422, "The idempotency key was sent before, with another request"),
        )
    assert len(ear.heard) == 1


async def test_a_push_that_was_refused_may_be_sent_again(make_any_site: SiteMaker) -> None:
    app = await back_end(make_any_site, limits={"publishesPerSecond": 1})
    ear = await app.join(["lobby"])
    assert (await app.push(message(event=""), "key")).status == 400
    assert (await app.push(message(), "key")).status == 201
    assert (await app.push(message(), "other")).status == 429
    app.site.clock.advance(5)
    assert (await app.push(message(), "other")).status == 201
    assert len(ear.heard) == 2


@pytest.mark.parametrize("key", ["", "é", "x" * 256, "a\tb"])
async def test_keys_that_are_none(make_site: SiteMaker, key: str) -> None:
    app = await back_end(make_site)
    raw = json.dumps(message()).encode()
    reply = await app.site.send(
        f"POST {PUSH} HTTP/1.1",
        f"Authorization: {app.headers['Authorization']}",
        f"Idempotency-Key: {key}",
        f"Content-Length: {len(raw)}",
        body=raw,
    )
    told = "An idempotency key has 1 to 255 printable ASCII characters"
    assert (reply.status, reply.json) == (400, refusal(400, told))


async def test_apps_have_keys_of_their_own(make_any_site: SiteMaker) -> None:
    app = await back_end(make_any_site)
    other = await back_end(make_any_site, app.site)
    ears = [await each.join(["lobby"]) for each in (app, other)]
    for each in (app, other):
        assert (await each.push(message(payload=each.app_id), "key")).status == 201
    assert [ear.heard for ear in ears] == [[("lobby", "said", each.app_id)] for each in (app, other)]


# Who is there


async def test_channels_in_use_are_listed(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    other = await back_end(make_site, app.site)
    empty = {"channels": [], "has_more": False, "complete": True}
    assert (await app.get("")).json == {"status": "ok", "data": empty}
    await app.join(["lobby", "game:2", "game:1"])
    await app.join(["lobby"], "bob")
    assert (await app.get("")).json["data"] == {
        "channels": [
            {"channel": "game:1", "subscribers": 1},
            {"channel": "game:2", "subscribers": 1},
            {"channel": "lobby", "subscribers": 2},
        ],
        "has_more": False,
        "complete": True,
    }
    first = (await app.get("?prefix=game%3A&limit=1")).json["data"]
    assert (first["channels"], first["has_more"]) == ([{"channel": "game:1", "subscribers": 1}], True)
    second = (await app.get("?prefix=game%3A&limit=1&after=game%3A1")).json["data"]
    assert (second["channels"], second["has_more"]) == ([{"channel": "game:2", "subscribers": 1}], False)
    assert (await app.get("?prefix=x")).json["data"] == empty
    assert (await other.get("")).json["data"] == empty
    await app.push(message("kept"))
    assert "kept" not in (await app.get("")).body.decode()


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "prefix=%FF", f"after={'x' * 5000}"])
async def test_questions_that_make_no_sense(make_site: SiteMaker, query: str) -> None:
    app = await back_end(make_site)
    reply = await app.get(f"?{query}")
    assert (reply.status, reply.json["status"], reply.json["error"]["code"]) == (400, "error", 400)


async def test_one_channel_and_who_is_listed(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    await app.join(["lobby"], "watcher")
    await app.join(["lobby"], "ann", {"name": "Ann"}, "ref-1")
    await app.join(["lobby"], "ann", {}, "ref-2")
    await app.join(["lobby"], "bob", {"name": "Bob"})
    data = (await app.get("/lobby")).json["data"]
    bobs_ref = data["presence"]["bob"]["metas"][0]["phx_ref"]
    assert data == {
        "channel": "lobby",
        "occupied": True,
        "subscribers": 4,
        "complete": True,
        "presence": {
            "ann": {"metas": [{"name": "Ann", "phx_ref": "ref-1"}, {"phx_ref": "ref-2"}]},
            "bob": {"metas": [{"name": "Bob", "phx_ref": bobs_ref}]},
        },
    }
    nobody = {"channel": "empty", "occupied": False, "subscribers": 0, "complete": True, "presence": {}}
    assert (await app.get("/empty")).json == {"status": "ok", "data": nobody}


@pytest.mark.parametrize("channel", ["a/b", "ü", "a b", "%2F", "a:b,c", "..", "?", "#", "😀", "x" * 200, "channels"])
async def test_names_of_all_kinds(make_site: SiteMaker, channel: str) -> None:
    app = await back_end(make_site)
    ear = await app.join([channel])
    assert (await app.push(message(channel))).status == 201
    assert ear.heard == [(channel, "said", 1)]
    data = (await app.get(f"/{quote(channel, safe='')}")).json["data"]
    assert (data["channel"], data["subscribers"]) == (channel, 1)
    found = (await app.get(f"?prefix={quote(channel, safe='')}")).json["data"]["channels"]
    assert found == [{"channel": channel, "subscribers": 1}]


@pytest.mark.parametrize("path", ["/%20a", "/%00", "/a%0A", "/" + "x" * 201, "/jwp%3Ashop%3Alobby", "/%FF"])
async def test_names_that_no_channel_has(make_site: SiteMaker, path: str) -> None:
    app = await back_end(make_site)
    reply = await app.get(path)
    assert (reply.status, reply.json["status"], reply.json["error"]["code"]) == (400, "error", 400)


# Sending away


async def test_a_socket_id_is_disconnected(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    other = await back_end(make_site, app.site)
    tabs = [await app.join(["lobby"], "user/1:é"), await app.join(["lobby"], "user/1:é")]
    others = [await app.join(["lobby"], "user"), await other.join(["lobby"], "user/1:é")]
    reply = await app.disconnect("user/1:é")
    assert (reply.status, reply.json) == (200, DONE)
    assert [ear.closed for ear in (*tabs, *others)] == [["disconnected_by_app"], ["disconnected_by_app"], [], []]
    assert (await app.disconnect("nobody")).json == DONE
    assert (await app.get("/lobby")).json["data"]["subscribers"] == 1
    assert (await app.disconnect("x" * 256)).status == 400
