"""Channels of an app over HTTP: what a back end publishes and reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.web.site import Reply, Site, SiteMaker
from tests.web.test_apps import make_app
from users_server.core.channels import ChannelRule, Publishers
from users_server.core.messages import HistoryRule, Member

pytestmark = pytest.mark.gen_test

RULES = (
    ChannelRule("kept*", history=HistoryRule(3, 60.5)),
    ChannelRule("present*", presence=True),
    ChannelRule("server*", publishers=Publishers.SERVER),
)


class BackEnd:
    """An app's back end, with its API key."""

    def __init__(self, site: Site, app_id: str, api_key: str) -> None:
        self.site = site
        self.app_id = app_id
        self.headers = {"app-api-key": api_key}

    async def publish(self, body: Any) -> Reply:
        return await self.site.ask("POST", f"/apps/{self.app_id}/events", body, headers=self.headers)

    async def get(self, channel: str, rest: str = "") -> Reply:
        path = f"/apps/{self.app_id}/channels/{quote(channel, safe='')}{rest}"
        return await self.site.ask("GET", path, headers=self.headers)


async def back_end(make_site: SiteMaker, **limits: Any) -> BackEnd:
    site = await make_site(channel_rules=RULES)
    fields = {"limits": limits} if limits else {}
    app_id, credentials, _ = await make_app(site, "deputy", **fields)
    return BackEnd(site, app_id, credentials["apiKey"])


def event(channel: str = "kept", data: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"channel": channel, "event": "said", "data": data, **fields}


async def test_publishing_tells_the_positions(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    first = await app.publish(event())
    assert first.message == "Published 1 times"
    (published,) = first.json["data"]
    epoch = published["position"]["epoch"]
    assert published == {"channel": "kept", "position": {"epoch": epoch, "offset": 1}}
    assert (await app.publish(event("other"))).json["data"] == [{"channel": "other", "position": None}]
    both = {"channels": ["kept", "other", "kept"], "event": "said", "data": None}
    assert [each["position"] for each in (await app.publish(both)).json["data"]] == [
        {"epoch": epoch, "offset": 2},
        None,
        {"epoch": epoch, "offset": 3},
    ]
    several = await app.publish([event(data=number) for number in range(5)])
    assert several.message == "Published 5 times"
    assert [each["position"]["offset"] for each in several.json["data"]] == [4, 5, 6, 7, 8]


async def test_history(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    empty = (await app.get("kept", "/history")).json
    assert (empty["data"], empty["position"]["offset"], empty["complete"]) == ([], 0, True)
    start = f"{empty['position']['epoch']}:0"
    await app.publish([event(data={"number": number}) for number in range(1, 3)])
    await app.publish(event(data=None, toUser="7", exceptConnection="c1"))
    page = (await app.get("kept", f"/history?since={start}")).json
    assert page["complete"] is True
    assert page["position"]["offset"] == 3
    none = {"sender": None, "toUser": None, "exceptConnection": None}
    assert page["data"] == [
        {"offset": 1, "event": "said", "data": {"number": 1}, **none},
        {"offset": 2, "event": "said", "data": {"number": 2}, **none},
        {"offset": 3, "event": "said", "data": None, "sender": None, "toUser": "7", "exceptConnection": "c1"},
    ]
    assert [each["offset"] for each in (await app.get("kept", "/history?limit=2")).json["data"]] == [2, 3]
    assert [each["offset"] for each in (await app.get("kept", f"/history?since={start}&limit=1")).json["data"]] == [1]
    await app.publish(event())
    lost = (await app.get("kept", f"/history?since={start}")).json
    assert (lost["complete"], lost["data"], lost["position"]["offset"]) == (False, [], 4)
    other = (await app.get("kept", "/history?since=abcdef:4")).json
    assert (other["complete"], other["data"]) == (False, [])


async def test_a_channel_without_history(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    await app.publish(event("other"))
    page = (await app.get("other", "/history")).json
    assert (page["data"], page["position"], page["complete"]) == ([], None, True)
    assert (await app.get("other", "/history?since=abcdef:1")).json["complete"] is False


@pytest.mark.parametrize(
    "query", ["since=1", "since=a:", "since=:1", "since=a:-1", "since=a:1x", "limit=1001", "limit=-1"]
)
async def test_queries_that_make_no_sense(make_site: SiteMaker, query: str) -> None:
    app = await back_end(make_site)
    assert (await app.get("kept", f"/history?{query}")).status == 422


async def test_options_and_numbers(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    await app.publish(event())
    kept = (await app.get("kept")).json["data"]
    assert kept == {
        "channel": "kept",
        "history": {"size": 3, "seconds": 60.5},
        "presence": False,
        "publishers": "clients",
        "subscribers": 0,
        "position": {"epoch": kept["position"]["epoch"], "offset": 1},
        "members": None,
        "users": None,
    }
    for connection, user in (("c1", "ann"), ("c2", "ann"), ("c3", "bob")):
        member = Member(connection, user, {"name": user})
        await app.site.node._presence.join(app.app_id, "present", member)
    present = (await app.get("present")).json["data"]
    assert (present["presence"], present["members"], present["users"]) == (True, 3, 2)
    assert (present["history"], present["position"]) == (None, None)
    members = (await app.get("present", "/members")).json
    assert members["count"] == 3
    assert members["data"][0] == {"connectionId": "c1", "userId": "ann", "info": {"name": "ann"}}
    assert (await app.get("server")).json["data"]["publishers"] == "server"
    assert (await app.get("kept", "/members")).json["data"] == []


@pytest.mark.parametrize("channel", ["a/b", "ü", "a b", "*", "%2F", "$where", "a:b,c", "..", "channels", "x" * 200])
async def test_names_of_all_kinds(make_site: SiteMaker, channel: str) -> None:
    app = await back_end(make_site)
    assert (await app.publish(event(channel))).status == 200
    assert (await app.get(channel)).json["data"]["channel"] == channel


@pytest.mark.parametrize("channel", ["", " a", "a ", "a\0", "a\n", "x" * 201, "ü" * 101, "\u202e"])
async def test_names_that_no_channel_has(make_site: SiteMaker, channel: str) -> None:
    app = await back_end(make_site)
    assert (await app.publish([event("kept"), event(channel)])).status == 422
    if channel:
        assert (await app.get(channel)).status == 422
    # nothing of the request was published
    assert (await app.get("kept")).json["data"]["position"]["offset"] == 0


@pytest.mark.parametrize(
    ("body", "at_fault"),
    [
        ({}, {"event", "data"}),
        ({"event": "said", "data": 1}, {"channel"}),
        ({"event": "said", "data": 1, "channel": "a", "channels": ["a"]}, {"channel"}),
        ({"event": "said", "data": 1, "channels": []}, {"channels"}),
        ({"event": "said", "data": 1, "channels": ["a"] * 101}, {"channels"}),
        ({"event": "said", "data": 1, "channel": 1}, {"channel"}),
        ({"event": 1, "data": 1, "channel": "a"}, {"event"}),
        ({"event": "said", "channel": "a"}, {"data"}),
        ({"event": "said", "data": 1, "channel": "a", "toUser": 1}, {"toUser"}),
        ({"event": "", "data": 1, "channel": "a"}, set()),
        ({"event": "x" * 201, "data": 1, "channel": "a"}, set()),
        ({"event": "a\nb", "data": 1, "channel": "a"}, set()),
        ({"event": "said", "data": 1, "channel": "a", "toUser": ""}, set()),
        ([], {"_schema"}),
        ([event()] * 101, {"_schema"}),
    ],
)
async def test_events_that_make_no_sense(make_site: SiteMaker, body: Any, at_fault: set[str]) -> None:
    app = await back_end(make_site)
    reply = await app.publish(body)
    assert reply.status == 422
    assert set(reply.json.get("errors", {})) >= at_fault


async def test_so_many_publications_at_most(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    body = {"channels": ["a"] * 100, "event": "said", "data": 1}
    assert (await app.publish([body] * 11)).status == 422
    assert len((await app.publish([body] * 10)).json["data"]) == 1000


async def test_data_is_bounded(make_site: SiteMaker) -> None:
    app = await back_end(make_site, messageBytes=10)
    assert (await app.publish(event(data="x" * 8))).status == 200
    reply = await app.publish(event(data="x" * 9))
    assert (reply.status, reply.message) == (413, "The data of an event is larger than 10 bytes")
    several = await app.publish([event(), event(data="x" * 9)])
    assert (several.status, several.message) == (
        413,
        "Event 1 was refused: The data of an event is larger than 10 bytes",
    )
    assert (await app.get("kept")).json["data"]["position"]["offset"] == 1


async def test_data_is_bounded_by_the_server_too(make_site: SiteMaker) -> None:
    app = await back_end(make_site)
    assert (await app.publish(event(data="x" * 65_534))).status in (200, 413)
    assert (await app.publish(event(data="x" * 65_535))).status == 413


async def test_an_app_publishes_only_so_fast(make_site: SiteMaker) -> None:
    app = await back_end(make_site, publishesPerSecond=2)
    replies = [await app.publish(event()) for _ in range(20)]
    refused = [reply for reply in replies if reply.status == 429]
    assert refused
    assert int(refused[0].headers["Retry-After"]) >= 1
    published = 20 - len(refused)
    assert (await app.get("kept")).json["data"]["position"]["offset"] == published
    app.site.clock.advance(60)
    assert (await app.publish(event())).status == 200


async def test_a_list_ends_where_the_limit_is(make_site: SiteMaker) -> None:
    app = await back_end(make_site, publishesPerSecond=2)
    reply = await app.publish([event(data=number) for number in range(50)])
    assert reply.status == 429
    published = (await app.get("kept")).json["data"]["position"]["offset"]
    assert reply.message.startswith(f"Event {published} was refused: ")


async def test_the_channels_of_the_server_are_its_own(make_site: SiteMaker) -> None:
    site = await make_site(channel_rules=(ChannelRule(history=HistoryRule(5, 60), presence=True),))
    new = await site.context.apps.ensure_default()
    assert new is not None
    app = BackEnd(site, "default", new.api_key)
    deputy = await site.login("deputy")
    site.listener.events.clear()
    for channel in ("users", "echo"):
        replies = [
            await app.publish(event(channel)),
            await app.publish({"channels": ["room", channel], "event": "Login", "data": {"username": "x"}}),
            await site.ask("POST", "/apps/default/events", event(channel), cookie=deputy),
            *[await app.get(channel, rest) for rest in ("", "/history", "/members")],
        ]
        assert [reply.status for reply in replies] == [403] * 6
    assert site.listener.events == []
    assert (await app.get("room")).json["data"]["position"]["offset"] == 0
    assert (await app.publish(event("Users"))).status == 200
    app_id, credentials, _ = await make_app(site)
    other = BackEnd(site, app_id, credentials["apiKey"])
    site.listener.events.clear()
    assert (await other.publish(event("users"))).status == 200
    assert site.listener.events == []
