"""
Nothing of one app reaches anybody in another, over any socket: not what is published, joined, kept or watched.

Each app marks all that is said in it; the channels, the users' ids and the events are called the same in all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.launcher import Launcher
from tests.redis_server import RedisServer, find_redis
from tests.server_process import API_KEY, ServerProcess
from tests.wire.tenants import (
    CHANNEL,
    VISITOR,
    Tenant,
    basic,
    close_code,
    greeted,
    heard,
    listen,
    numbers,
    sides,
    watch,
    ways_of,
)

RULES = {"rules": [{"pattern": "*", "historySize": 100, "historySeconds": 300, "presence": True}]}
NOBODYS = "123456789"
"""The id of no app."""

PAIRS = [("first", "second"), ("tenant", "TENANT"), ("default", "default.x")]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(find_redis(), tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["memory", "redis"])
def server(request: pytest.FixtureRequest, launch: Launcher) -> ServerProcess:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis").url
    return launch(channels=RULES, broker={"url": url})


MakeTenant = Callable[[str], Tenant]


@pytest.fixture(scope="module")
def make_tenant(server: ServerProcess) -> MakeTenant:
    """``make_tenant(id)``: a new app, or the default app."""
    admin = server.admin()

    def make(app_id: str) -> Tenant:
        if app_id == "default":
            answer = admin.request("POST", "/apps/default/rotate")
        else:
            answer = admin.request("POST", "/apps", {"name": "A tenant's", "id": app_id})
        assert answer.status in (200, 201), answer
        assert admin.cookie
        credentials = answer.body["credentials"]
        return Tenant(server, admin.cookie, app_id, credentials["secret"], credentials["apiKey"])

    return make


@pytest.fixture(scope="module", params=PAIRS, ids=" and ".join)
def pair(request: pytest.FixtureRequest, make_tenant: MakeTenant) -> tuple[Tenant, Tenant]:
    """Two apps, each with a history."""
    one, other = (make_tenant(app_id) for app_id in request.param)
    for tenant in (one, other):
        tenant.make_noise()
    return one, other


def test_nothing_of_one_app_is_told_in_another(pair: tuple[Tenant, Tenant]) -> None:
    for own, other in sides(pair):
        with ExitStack() as stack:
            stack.enter_context(other.join(VISITOR))
            listeners = listen(stack, own)
            other.make_noise()
            own.make_noise()
            own.publish("last")
            for name, (client, first) in listeners.items():
                frames = heard(client, "last")
                assert own.mark in json.dumps(frames), name
                assert other.mark not in json.dumps([first, *frames]), name
                assert len(frames) >= 3, name


def test_members_are_those_of_the_own_app(pair: tuple[Tenant, Tenant]) -> None:
    for own, other in sides(pair):
        ids = [next(numbers) for _ in range(3)]
        with other.join(ids[0]) as first, other.join(ids[1]) as second, own.join(ids[2]) as third:
            lists = [client.read_event()["users"] for client in (first, second, third)]
            for listed in lists[:2]:
                assert own.mark not in json.dumps(listed)
            assert other.mark not in json.dumps(lists[2])
            with watch(own, "the app's key", f"&channel={CHANNEL}") as watcher:
                members = {int(member["user"]) for member in watcher.read_event()["members"]}
                assert members & set(ids) == {ids[2]}
            third.close()
            other.publish("last")
            assert own.mark not in json.dumps(heard(second, "last"))


def test_a_position_of_another_app_brings_nothing_of_it(pair: tuple[Tenant, Tenant]) -> None:
    for own, other in sides(pair):
        with ExitStack() as stack:
            client, _ = greeted(stack, other.join(query="&recover=1"))
            other.publish("last")
            epoch, _, offset = heard(client, "last")[-1]["position"].partition(":")
        assert int(offset) > 1
        for position in (f"{epoch}:0", f"{epoch}:1", f"{epoch}:{offset}"):
            with ExitStack() as stack:
                listeners = (
                    greeted(stack, own.join(query=f"&recover=1&position={position}")),
                    greeted(stack, watch(own, "the app's key", f"&channel={CHANNEL}&since={position}")),
                )
                own.publish("now")
                for client, first in listeners:
                    text = json.dumps([first, *heard(client, "now")])
                    assert own.mark in text
                    assert other.mark not in text


@pytest.mark.parametrize("separator", [".", "-", "_"])
def test_names_that_run_together_are_two(make_tenant: MakeTenant, separator: str) -> None:
    """The app ``a`` has a channel ``b.room``, the app ``a.b`` has ``room``; and ``:``, which no id of an app has."""
    short, long = make_tenant(f"x{separator}a"), make_tenant(f"x{separator}a{separator}b")
    names = [
        (f"b{separator}room", "room"),
        (f"{separator}b:room", "room"),
        (f"{separator}b{separator}room", "room"),
        ("room", f"{long.id}:room"),
        (f"{short.id}:room", "room"),
    ]
    for one, two in names:
        with ExitStack() as stack:
            first, _ = greeted(stack, short.join(channel=one, query="&recover=1"))
            second, _ = greeted(stack, long.join(channel=two, query="&recover=1"))
            short.publish(channel=one)
            long.publish(channel=two)
            short.publish("last", channel=one)
            long.publish("last", channel=two)
            for client, own, other in ((first, short, long), (second, long, short)):
                text = json.dumps(heard(client, "last"))
                assert own.mark in text
                assert other.mark not in text


def test_the_users_socket_api_is_the_default_apps_alone(make_tenant: MakeTenant, server: ServerProcess) -> None:
    tenant = make_tenant("with-users")
    with ExitStack() as stack:
        witnesses = [
            stack.enter_context(server.connect(**options))
            for options in ({}, {"cookie": tenant.cookie}, {"origin": None, "headers": {"users-api-key": API_KEY}})
        ]
        inside = [
            greeted(stack, client)[0]
            for client in (
                tenant.join(channel="users", query="&recover=1"),
                tenant.join(channel="echo", query="&recover=1"),
                watch(tenant, "a service's key", ""),
                watch(tenant, "the app's key", "&channel=users"),
            )
        ]
        for channel in ("users", "echo"):
            tenant.publish("Login", channel)
            tenant.publish("Echo", channel)
        server.admin()
        for number, witness in enumerate(witnesses):
            events = witness.events_until_echo(f"witness {number}")
            assert tenant.mark not in json.dumps(events)
            assert {"eventType": 1, "username": "chief"} in events
        for channel in ("users", "echo"):
            tenant.publish("last", channel)
        for client in inside:
            text = json.dumps(heard(client, "last"))
            assert tenant.mark in text
            assert "chief" not in text
            assert "witness" not in text


# What opens one app opens no other


def path_at(app_id: str) -> str:
    return f"/watch?app={app_id}"


Attempt = Callable[[Tenant, str], tuple[str, dict[str, str]]]
ATTEMPTS: dict[str, Attempt] = {
    "a relay token": lambda own, app: (own.token_path(at=f"/relay/{app}"), {}),
    "a relay token, with more in the path": lambda own, app: (own.token_path(at=f"/relay/{own.id}%2F..%2F{app}"), {}),
    "a relay token, with a NUL": lambda own, app: (own.token_path(at=f"/relay/{app}%00"), {}),
    "a relay token, with the app in the query": lambda own, app: (
        own.token_path(at=f"/relay/{app}") + f"&app={own.id}",
        {},
    ),
    "a relay token for watching": lambda own, app: (
        path_at(app) + "&" + own.token_path(at="").removeprefix("?"),
        {},
    ),
    "a relay token in a header": lambda own, app: (
        path_at(app),
        {"Authorization": f"Bearer {own.token_path(at='').partition('=')[2]}"},
    ),
    "an API key": lambda own, app: (path_at(app), {"app-api-key": own.api_key}),
    "an API key and a name": lambda own, app: (path_at(app), basic(own.id, own.api_key)),
    "an API key and the other's name": lambda own, app: (path_at(app), basic(app, own.api_key)),
    "an API key for a service's": lambda own, app: (path_at(app), {"users-api-key": own.api_key}),
    "an API key beside a service's": lambda own, app: (
        path_at(app),
        {"users-api-key": API_KEY, "app-api-key": own.api_key},
    ),
    "a secret for an API key": lambda own, app: (path_at(app), {"app-api-key": own.secret}),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_keys_and_tokens_of_one_app_are_nothing_to_another(pair: tuple[Tenant, Tenant], name: str) -> None:
    for own, other in sides(pair):
        answers = set()
        for app_id in (other.id, NOBODYS):
            path, headers = ATTEMPTS[name](own, app_id)
            with own.server.connect(path, headers=headers, origin=None) as client:
                answers.add(close_code(client))
        assert len(answers) == 1, "whether there is such an app is not told"
        assert answers.pop()[0] == 4401


def test_a_token_of_an_app_does_not_open_the_paths_without_one(make_tenant: MakeTenant, server: ServerProcess) -> None:
    tenant = make_tenant("elsewhere")
    for path, code in (
        (tenant.token_path(at="/relay"), 4401),
        (tenant.token_path(at="/relay/default"), 4401),
        (tenant.token_path(at="/"), 4401),
        (tenant.token_path(at="/watch"), 4401),
    ):
        with server.connect(path) as client:
            assert close_code(client)[0] == code
    for headers in (
        {"app-api-key": tenant.api_key},
        basic(tenant.id, tenant.api_key),
        {"users-api-key": tenant.secret},
    ):
        with server.connect("/", headers=headers, origin=None) as client:
            assert close_code(client)[0] == 1008, "it is no trusted connection, so it needs an origin"
        with server.connect("/", headers=headers) as client:
            client.send_event(eventType=1, username="mallory")
            assert client.read_event()["code"] == "not_permitted"


# The end of one app is the end of no other


@pytest.mark.parametrize("end", ["disabled", "removed"])
def test_the_end_of_one_app_leaves_the_others_alone(make_tenant: MakeTenant, server: ServerProcess, end: str) -> None:
    stays, goes = make_tenant(f"stays-{end}"), make_tenant(f"goes-{end}")
    goes.make_noise()
    with ExitStack() as stack:
        witness = stack.enter_context(server.connect())
        listeners, others = listen(stack, stays), listen(stack, goes)
        goes.change("PUT", "", {"enabled": False}) if end == "disabled" else goes.change("DELETE", "")
        for name, (client, _) in others.items():
            assert close_code(client)[0] == 4404, name
        for name, way in ways_of(goes).items():
            with way(goes) as client:
                assert close_code(client)[0] in (4401, 4404), name
        stays.make_noise()
        stays.publish("last")
        for name, (client, _) in listeners.items():
            text = json.dumps(heard(client, "last"))
            assert (stays.mark in text, goes.mark in text) == (True, False), name
        witness.events_until_echo("still here")
    if end == "disabled":
        goes.change("PUT", "", {"enabled": True})
        with ExitStack() as stack:
            assert listen(stack, goes)


def test_new_keys_of_one_app_are_no_news_to_another(make_tenant: MakeTenant, server: ServerProcess) -> None:
    stays, changes = make_tenant("keeps-its-keys"), make_tenant("has-new-keys")
    credentials = changes.change("POST", "/rotate")["credentials"]
    changes.change("POST", "/retire-keys")
    renewed = Tenant(server, changes.cookie, changes.id, credentials["secret"], credentials["apiKey"])
    for tenant in (stays, renewed):
        with ExitStack() as stack:
            assert listen(stack, tenant)
    for client in (changes.join(), watch(changes, "the app's key", "")):
        with client:
            assert close_code(client)[0] == 4401
