"""``GET /busiest``: who may ask, how much is answered, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.site import API_KEY, Site, SiteMaker
from users_server.core.acceptance import Accepted
from users_server.core.connection import Connection
from users_server.core.messages import DEFAULT_APP, Identity, Publication
from users_server.web.settings import Compatibility, HttpSettings

TRUSTED = {"users-api-key": API_KEY}


class Peer:
    """A client that takes everything at once, but for the bytes that it is told to leave."""

    def __init__(self, queued_bytes: int) -> None:
        self.queued_bytes = queued_bytes

    def encode(self, publication: Publication) -> bytes | None:
        return publication.event.encode()

    def write(self, frames: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...


def enter(
    site: Site,
    connection_id: str,
    *channels: str,
    queued: int = 0,
    messages: int = 0,
    identity: Identity | None = None,
    app: str = DEFAULT_APP,
) -> None:
    peer = Peer(queued)
    connection = Connection(
        connection_id,
        identity or Identity(),
        peer,
        peer,
        lambda _reason: None,
        address="127.0.0.1",
        app=app,
        connected_at=site.clock.monotonic(),
    )
    connection.messages_in = messages
    site.node.connect(connection)
    for channel in channels:
        assert isinstance(site.node.subscribe(connection, channel, lambda _subscribed: None), Accepted)


async def ask(site: Site, query: str = "") -> dict[str, Any]:
    reply = await site.ask("GET", f"/busiest{query}", headers=TRUSTED)
    assert reply.status == 200, reply
    data: dict[str, Any] = reply.json["data"]
    return data


@pytest.mark.gen_test
async def test_admins_and_trusted_callers_may_ask_and_nobody_else(site: Site) -> None:
    deputy = await site.login("deputy")
    emitter = await site.ask("POST", "/tokens", {"scopes": ["events:emit"]}, cookie=deputy)
    assert (await site.ask("GET", "/busiest")).status == 401
    assert (await site.ask("GET", "/busiest", headers={"users-api-key": "x" + API_KEY})).status == 401
    assert (await site.ask("GET", "/busiest", cookie=await site.login("alice"))).status == 403
    service = site.context.tokens.issue("monitor", scopes=["other"])
    assert (await site.ask("GET", "/busiest", token=service)).status == 401
    assert (await site.ask("GET", "/busiest", cookie=deputy)).status == 200
    assert (await site.ask("GET", "/busiest", token=emitter.json["token"])).status == 200
    assert (await site.ask("GET", "/busiest", headers=TRUSTED)).status == 200


@pytest.mark.gen_test
async def test_it_is_below_the_prefix_and_closed_in_webinate_too(make_site: SiteMaker) -> None:
    site = await make_site(http=HttpSettings(api_prefix="/api"), compatibility=Compatibility.WEBINATE)
    assert (await site.ask("GET", "/busiest", headers=TRUSTED)).json["error"] is True
    assert (await site.ask("GET", "/api/busiest")).json["error"] is True
    assert (await site.ask("GET", "/api/busiest", headers=TRUSTED)).json["error"] is False


@pytest.mark.gen_test
async def test_connections_come_by_what_waits_and_then_by_what_they_have_sent(site: Site) -> None:
    enter(site, "quiet")
    enter(site, "talks", messages=9)
    enter(site, "stalls", "a", "b", queued=1, identity=Identity("1" * 24, "ann"))
    enter(site, "stalls and talks", queued=1, messages=2)
    enter(site, "stalls most", queued=1000)
    site.clock.advance(2.5)
    data = await ask(site, "?limit=4")
    assert [c["id"] for c in data["connections"]] == ["stalls most", "stalls and talks", "stalls", "talks"]
    assert data["connections"][2] == {
        "id": "stalls",
        "address": "127.0.0.1",
        "username": "ann",
        "messagesIn": 0,
        "queueBytes": 1,
        "connectedSeconds": 2.5,
        "channels": ["a", "b"],
    }
    assert data["connections"][3]["username"] is None
    assert (data["node"]["queueBytes"], data["node"]["connections"]) == (1002, 6)  # with the site's own listener


@pytest.mark.gen_test
async def test_channels_come_by_what_was_delivered(site: Site) -> None:
    enter(site, "1", "loud", "soft", "silent")
    enter(site, "2", "soft", "silent")
    enter(site, "3", "silent", app="other")
    for channel, times in (("soft", 2), ("loud", 5)):
        for _ in range(times):
            await site.node.publish(DEFAULT_APP, channel, "event", {})
    site.node.hub.flush()
    data = await ask(site)
    assert data["channels"] == [
        {"app": "default", "name": "loud", "subscribers": 1, "publications": 5, "deliveries": 5},
        {"app": "default", "name": "soft", "subscribers": 2, "publications": 2, "deliveries": 4},
        {"app": "default", "name": "silent", "subscribers": 2, "publications": 0, "deliveries": 0},
        {"app": "default", "name": "users", "subscribers": 1, "publications": 0, "deliveries": 0},
        {"app": "other", "name": "silent", "subscribers": 1, "publications": 0, "deliveries": 0},
    ]
    assert len((await ask(site, "?limit=2"))["channels"]) == 2


@pytest.mark.gen_test
async def test_the_node(site: Site) -> None:
    enter(site, "1", "news")
    site.node.statistics.messages["Echo", "ok"] += 3
    site.node.statistics.messages["unknown", "invalid_json"] += 1
    site.node.statistics.closed["slow_consumer"] += 2
    site.node.statistics.started_at = site.clock.monotonic()
    site.node.statistics.loop_lag.observe(0.002, 7)
    before = (await ask(site))["node"]
    await site.node.publish(DEFAULT_APP, "news", "event", {})
    site.node.hub.flush()
    site.clock.advance(60)
    node = (await ask(site))["node"]
    assert node == before | {
        "uptimeSeconds": 60.0,
        "publications": before["publications"] + 1,
        "deliveries": before["deliveries"] + 1,
        "writes": before["writes"] + 1,
        "flushes": before["flushes"] + 1,
        "bytesQueued": before["bytesQueued"] + len("event"),
    }
    assert (node["messages"], node["slowReadersClosed"], node["connections"]) == (4, 2, 2)
    lag = node["loopLag"]
    assert dict(zip(lag["bounds"], lag["counts"], strict=False))[0.0025] == 7
    assert len(lag["counts"]) == len(lag["bounds"]) + 1


@pytest.mark.gen_test
@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "", "9" * 400])
async def test_limits_that_are_refused(site: Site, limit: str) -> None:
    reply = await site.ask("GET", f"/busiest?limit={limit}", headers=TRUSTED)
    assert reply.status == 422
    assert list(reply.json["errors"]) == ["limit"]


@pytest.mark.gen_test
async def test_20_are_answered_by_default_and_100_at_most(site: Site) -> None:
    for number in range(120):
        enter(site, str(number), f"channel {number}", messages=number)
    assert [len((await ask(site))[name]) for name in ("connections", "channels")] == [20, 20]
    data = await ask(site, "?limit=100")
    assert [c["messagesIn"] for c in data["connections"]] == list(range(119, 19, -1))
    assert len(data["channels"]) == 100
