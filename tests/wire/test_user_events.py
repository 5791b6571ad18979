"""Events 1 to 4: what the user service announces, exactly once, and to whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import ADMIN, API_KEY, ServerProcess
from tests.wire.people import ADMINS, People, make_token

LOGIN, LOGOUT, ACTIVATED, REMOVED = 1, 2, 3, 4


def named(event_type: int, username: str) -> dict[str, Any]:
    return {"eventType": event_type, "username": username}


@pytest.fixture
def witness(connect: Callable[..., RawClient], people: People) -> RawClient:
    """An anonymous client; it is ``people`` first, so that the admin's own login is over."""
    assert people.admin.cookie
    return connect()


def heard(witness: RawClient) -> list[dict[str, Any]]:
    """Without the buckets that come and go with accounts."""
    return [event for event in witness.events_until_echo("mark") if event["eventType"] <= REMOVED]


def test_login(people: People, witness: RawClient) -> None:
    person = people.register()
    assert heard(witness) == [], "an account that is made is not logged in"
    person.log_in_again()
    assert witness.read_event() == named(LOGIN, person.username)
    assert heard(witness) == []


@pytest.mark.parametrize(
    "form", [str.lower, str.upper, lambda name: f"{name}@EXAMPLE.com"], ids=["lower", "upper", "email"]
)
def test_the_event_names_the_account_however_it_was_written(
    people: People, witness: RawClient, form: Callable[[str], str]
) -> None:
    person = people.register()
    people.server.http().login(form(person.username), person.password)
    assert heard(witness) == [named(LOGIN, person.username)]


def test_each_login_is_told(people: People, witness: RawClient) -> None:
    person = people.register()
    for _ in range(3):
        person.log_in_again()
    assert heard(witness) == [named(LOGIN, person.username)] * 3


def test_a_login_that_fails_is_not_told(people: People, witness: RawClient) -> None:
    person = people.register()
    client = people.server.http()
    for name, password in ((person.username, "wrong"), ("Nobody", "a password"), (person.username, ""), ("", "x")):
        answer = client.request("POST", "/users/login", {"username": name, "password": password})
        assert answer.status >= 400
        assert answer.body["authenticated"] is False
    assert heard(witness) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_logout(people: People, witness: RawClient, method: str) -> None:
    person = people()
    assert heard(witness) == [named(LOGIN, person.username)]
    cookie = person.http.cookie
    assert person.http.request(method, "/logout").status == 200
    assert heard(witness) == [named(LOGOUT, person.username)]
    person.http.cookie = cookie
    person.http.request(method, "/logout")
    assert heard(witness) == [], "there was no session to end"


def test_a_session_that_an_admin_removes(people: People, witness: RawClient) -> None:
    person = people()
    user = people.admin.get(f"/users/{person.username}?verbose=true").body["data"]
    assert heard(witness) == [named(LOGIN, person.username)]
    assert people.admin.request("DELETE", f"/sessions/{user['sessionId']}").status == 200
    assert heard(witness) == [named(LOGOUT, person.username)]
    assert people.admin.request("DELETE", f"/sessions/{user['sessionId']}").status == 404
    assert heard(witness) == []


def test_a_session_that_expires(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, session={"lifetimeSeconds": 1}, websocket={"userEvents": "all"})
    with server.connect() as witness:
        server.admin()
        assert witness.read_event() == named(LOGIN, ADMIN["username"])
        assert witness.read_event() == named(LOGOUT, ADMIN["username"])
        assert heard(witness) == []


@pytest.mark.parametrize("by_admin", [True, False])
def test_removal(people: People, witness: RawClient, by_admin: bool) -> None:
    person = people()
    person.log_in_again()
    assert len(heard(witness)) == 2
    client = people.admin if by_admin else person.http
    assert client.request("DELETE", f"/users/{person.username.lower()}").status == 200
    events = heard(witness)
    assert events.count(named(REMOVED, person.username)) == 1
    assert [event for event in events if event != named(REMOVED, person.username)] == [
        named(LOGOUT, person.username)
    ] * 2
    assert client.request("DELETE", f"/users/{person.username}").status >= 400
    assert heard(witness) == []


def test_a_removal_that_is_refused(people: People, witness: RawClient) -> None:
    stranger, other = people(), people.register()
    heard(witness)
    assert stranger.http.request("DELETE", f"/users/{other.username}").status == 403
    assert people.admin.request("DELETE", f"/users/{ADMIN['username']}").status == 403
    assert people.server.http().request("DELETE", f"/users/{other.username}").status == 401
    assert heard(witness) == []


def deactivate(server: ServerProcess, username: str) -> None:
    """Give an account a register key again: accounts made by an admin are active, and nothing else makes them yet."""
    path = server.config["database"]["url"].removeprefix("sqlite:///")
    database = sqlite3.connect(path, timeout=10)
    try:
        with database:
            changed = database.execute("UPDATE users SET register_key = 'key' WHERE username = ?", (username,)).rowcount
        assert changed == 1
    finally:
        database.close()


def test_activation(people: People, witness: RawClient) -> None:
    person = people.register()
    path = f"/users/{person.username}/approve-activation"
    assert people.admin.request("PUT", path).status == 409
    assert heard(witness) == [], "it was active already"
    deactivate(people.server, person.username)
    assert people.admin.request("PUT", path).status == 200
    assert heard(witness) == [named(ACTIVATED, person.username)]
    assert people.admin.request("PUT", path).status == 409
    assert heard(witness) == []


def test_everybody_hears(connect: Callable[..., RawClient], people: People) -> None:
    listener, person = people(), people.register()
    clients = [
        connect(),
        connect(cookie=listener.http.cookie),
        connect(origin=None, headers={"users-api-key": API_KEY}),
    ]
    person.log_in_again()
    for client in clients:
        assert client.read_event() == named(LOGIN, person.username)


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("all", {"anonymous", "regular", "token", "admin", "service"}),
        ("authenticated", {"regular", "token", "admin", "service"}),
        ("admins", {"admin", "service"}),
    ],
)
def test_the_operator_says_who_hears(
    launch: Callable[..., ServerProcess], is_tls: bool, audience: str, expected: set[str]
) -> None:
    server = launch(tls=is_tls, websocket={"userEvents": audience})
    people = People(server)
    person, admin, newcomer = people(), people(privileges=ADMINS), people.register()
    clients = {
        "anonymous": server.connect(),
        "regular": person.connect(),
        "token": server.connect(f"/?token={make_token(person.username)}"),
        "admin": admin.connect(),
        "service": server.connect(origin=None, headers={"users-api-key": API_KEY}),
    }
    try:
        newcomer.log_in_again()
        clients["anonymous"].send_event(eventType=10, message="mark", broadcast=True)
        found = set()
        for name, client in clients.items():
            event = client.read_event()
            if event == named(LOGIN, newcomer.username):
                found.add(name)
                event = client.read_event()
            assert event == {"eventType": 10, "message": "mark"}, "echoes are for everybody"
        assert found == expected
    finally:
        for client in clients.values():
            client.close()
