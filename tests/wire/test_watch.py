"""Watching over a real socket (docs/watch.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.launcher import Launcher
from tests.raw_client import RawClient
from tests.server_process import API_KEY, EVIL_ORIGIN, ServerProcess

TRUSTED = {"users-api-key": API_KEY}
RULES = {"rules": [{"pattern": "news*", "historySize": 100, "historySeconds": 300}]}


@pytest.fixture(scope="module")
def server(launch: Launcher) -> ServerProcess:
    return launch(channels=RULES)


def make_app(server: ServerProcess, app_id: str) -> str:
    """The API key of a new app."""
    answer = server.admin().request("POST", "/apps", {"name": "Shop", "id": app_id})
    assert answer.status in (200, 201), answer
    key: str = answer.body["credentials"]["apiKey"]
    return key


def publish(server: ServerProcess, app: str, **event: Any) -> None:
    answer = server.http().request("POST", f"/apps/{app}/events", event, headers=TRUSTED)
    assert answer.status == 200, answer


def read(client: RawClient) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(client.read_message().payload)
    return message


def test_what_is_published_over_http_is_watched(server: ServerProcess) -> None:
    with server.connect("/watch?app=default&channel=news", headers=TRUSTED, origin=None) as watcher:
        subscribed = read(watcher)
        assert (subscribed["type"], subscribed["recovered"]) == ("subscribed", None)
        publish(server, "default", channel="elsewhere", event="said", data=1)
        publish(server, "default", channel="news", event="said", data={"text": "é"})
        message = read(watcher)
        position = message.pop("position")
        assert message == {"type": "publication", "channel": "news", "event": "said", "data": {"text": "é"}}
    publish(server, "default", channel="news", event="missed", data=None)
    since = f"{position['epoch']}:{position['offset']}"
    path = f"/watch?app=default&channel=news&since={since}"
    with server.connect(path, headers=TRUSTED, origin=None) as watcher:
        assert read(watcher)["recovered"] is True
        missed = read(watcher)
        assert (missed["event"], missed["position"]["offset"]) == ("missed", position["offset"] + 1)


def test_an_apps_key_opens_that_app_alone(server: ServerProcess) -> None:
    key = make_app(server, "shop")
    with server.connect("/watch?app=shop", headers={"app-api-key": key}, origin=None) as watcher:
        assert read(watcher)["channel"] is None
        publish(server, "default", channel="a", event="of another app", data=1)
        publish(server, "shop", channel="a", event="ours", data=1)
        assert read(watcher)["event"] == "ours"
    with server.connect("/watch?app=default", headers={"app-api-key": key}, origin=None) as refused:
        refused.expect_close(4401)


def test_strangers_are_closed_with_a_reason(server: ServerProcess) -> None:
    with server.connect("/watch?app=default") as anonymous:
        assert "API key" in anonymous.expect_close(4401)
    with server.connect("/watch?app=default&since=1", headers=TRUSTED) as nonsense:
        nonsense.expect_close(1008)
    admin = server.admin()
    with server.connect("/watch", cookie=admin.cookie) as watcher:
        assert read(watcher)["type"] == "subscribed"
    with server.connect("/watch", cookie=admin.cookie, origin=EVIL_ORIGIN) as foreign:
        foreign.expect_close(1008)


def test_an_admin_who_logs_out_watches_no_more(server: ServerProcess) -> None:
    admin = server.admin()
    with server.connect("/watch", cookie=admin.cookie) as watcher:
        read(watcher)
        assert admin.get("/logout").status == 200
        watcher.expect_close(4401)


def test_the_end_of_an_app_is_the_end_of_its_watchers(server: ServerProcess) -> None:
    key = make_app(server, "brief")
    with server.connect("/watch?app=brief", headers={"app-api-key": key}, origin=None) as watcher:
        read(watcher)
        assert server.admin().request("DELETE", "/apps/brief").status == 200
        watcher.expect_close(4404)


def test_it_can_be_turned_off(launch: Launcher) -> None:
    server = launch(protocols={"watch": {"enabled": False}})
    with server.dial() as client:
        assert client.request("/watch", headers={"Upgrade": "websocket"}).status != 101
