"""Internal services: events 1 to 8 from trusted connections, and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import API_KEY, EVIL_ORIGIN, ServerProcess
from tests.wire.people import ADMINS, People, make_token

FILE = {
    "_id": "5e4a5e4a5e4a5e4a5e4a5e4a",
    "name": "photo.png",
    "user": "alice",
    "identifier": "alice/photo.png",
    "bucketId": "1",
    "bucketName": "alice-bucket",
    "publicURL": "https://files.example.com/photo.png",
    "created": 1700000000000,
    "size": 123456789012,
    "mimeType": "image/png",
    "isPublic": True,
    "numDownloads": 0,
    "parentFile": None,
    "meta": {"any": ["thing"]},
}
BUCKET = {
    "_id": "2",
    "name": "alice-bucket",
    "identifier": "alice-bucket-1",
    "user": "alice",
    "created": 1700000000000,
    "memoryUsed": 5,
    "meta": None,
}

EVENTS: dict[int, dict[str, Any]] = {
    1: {"username": "alice"},
    2: {"username": "alice"},
    3: {"username": "Алиса"},
    4: {"username": ""},
    5: {"username": "alice", "files": [FILE, {**FILE, "name": "second"}]},
    6: {"files": [FILE]},
    7: {"username": "alice", "bucket": BUCKET},
    8: {"bucket": BUCKET},
}

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "login-without-name": ({"eventType": 1}, "username"),
    "logout-of-a-number": ({"eventType": 2, "username": 5}, "username"),
    "removed-null": ({"eventType": 4, "username": None}, "username"),
    "files-missing": ({"eventType": 5, "username": "a"}, "files"),
    "files-no-list": ({"eventType": 6, "files": FILE}, "files"),
    "file-without-id": ({"eventType": 6, "files": [{k: v for k, v in FILE.items() if k != "_id"}]}, "files"),
    "file-size-in-text": ({"eventType": 6, "files": [{**FILE, "size": "1"}]}, "files"),
    "bucket-missing": ({"eventType": 8}, "bucket"),
    "bucket-no-object": ({"eventType": 7, "username": "a", "bucket": []}, "bucket"),
    "bucket-created-text": ({"eventType": 8, "bucket": {**BUCKET, "created": "now"}}, "bucket"),
}


@pytest.fixture
def service(connect: Callable[..., RawClient]) -> RawClient:
    return connect(origin=None, headers={"users-api-key": API_KEY})


@pytest.mark.parametrize("event_type", EVENTS)
def test_what_a_service_sends_is_broadcast(
    connect: Callable[..., RawClient], service: RawClient, event_type: int
) -> None:
    clients = [connect(), connect(), service]
    event = {"eventType": event_type, **EVENTS[event_type]}
    service.send_event(**event)
    for client in clients:
        assert client.read_event() == event
        assert client.ask(eventType=10, message="next")["message"] == "next", "it came once"


def test_unknown_fields_do_not_travel(connect: Callable[..., RawClient], service: RawClient) -> None:
    client = connect()
    service.send_event(eventType=8, bucket={**BUCKET, "secret": 1}, username="forged", other=[])
    assert client.read_event() == {"eventType": 8, "bucket": BUCKET}
    service.send_event(eventType=1, username="alice", password="secret")
    assert client.read_event() == {"eventType": 1, "username": "alice"}


@pytest.mark.parametrize(("event", "field"), INVALID.values(), ids=INVALID.keys())
def test_services_are_checked_too(
    connect: Callable[..., RawClient], service: RawClient, event: dict[str, Any], field: str
) -> None:
    client = connect()
    answer = service.ask(**event)
    assert (answer["eventType"], answer["code"], answer["received"]) == (11, "validation_failed", event["eventType"])
    assert set(answer["errors"]) == {field}
    assert client.events_until_echo("mark") == []


def test_a_service_with_a_token(connect: Callable[..., RawClient]) -> None:
    token = make_token("billing", scope="events:emit")
    for options in ({"path": f"/?token={token}"}, {"headers": {"Authorization": f"Bearer {token}"}}):
        client, witness = connect(**options), connect()
        client.send_event(eventType=3, username="alice")
        assert witness.read_event() == {"eventType": 3, "username": "alice"}
        assert client.read_event() == {"eventType": 3, "username": "alice"}


def test_another_scope_is_not_enough(connect: Callable[..., RawClient], people: People) -> None:
    username = people.register().username
    for scope in ("events:listen", "events:emitter", "EVENTS:EMIT", "xevents:emit", ""):
        client = connect(path=f"/?token={make_token(username, scope=scope)}")
        assert client.ask(eventType=1, username="forged")["code"] == "not_permitted"


def test_a_token_does_not_approve_an_origin(connect: Callable[..., RawClient]) -> None:
    token = make_token("billing", scope="events:emit")
    assert connect(origin=EVIL_ORIGIN, path=f"/?token={token}").expect_close(1008)


def test_an_admin_is_not_a_service(connect: Callable[..., RawClient], people: People) -> None:
    for cookie in (people.admin.cookie, people(privileges=ADMINS).http.cookie):
        assert connect(cookie=cookie).ask(eventType=1, username="forged")["code"] == "not_permitted"


def emit(server: ServerProcess, event: Any, **headers: str) -> tuple[int, Any]:
    answer = server.http().request("POST", "/events", event, headers=headers)
    return answer.status, answer.body


@pytest.fixture
def witness(connect: Callable[..., RawClient]) -> Iterator[RawClient]:
    """Fails if anything but the expected has come."""
    client = connect()
    yield client
    assert client.events_until_echo("the end") == []


@pytest.mark.parametrize("event_type", EVENTS)
def test_events_over_http(any_server: ServerProcess, witness: RawClient, event_type: int) -> None:
    event = {"eventType": event_type, **EVENTS[event_type]}
    status, body = emit(any_server, event, **{"users-api-key": API_KEY})
    assert status in (200, 202), body
    assert body["error"] is False
    assert witness.read_event() == event


def test_events_over_http_with_a_token(any_server: ServerProcess, witness: RawClient) -> None:
    token = make_token("billing", scope="events:emit")
    status, body = emit(any_server, {"eventType": 1, "username": "alice"}, Authorization=f"Bearer {token}")
    assert status in (200, 202), body
    assert witness.read_event() == {"eventType": 1, "username": "alice"}


@pytest.mark.parametrize("event", [10, 9, 11, 0, 99])
def test_other_events_cannot_be_emitted(any_server: ServerProcess, witness: RawClient, event: int) -> None:
    status, body = emit(any_server, {"eventType": event, "message": "x", "username": "y"}, **{"users-api-key": API_KEY})
    assert 400 <= status < 500, body
    assert body["error"] is True
    assert witness.is_silent(0)


@pytest.mark.parametrize(("event", "field"), INVALID.values(), ids=INVALID.keys())
def test_events_over_http_are_checked(
    any_server: ServerProcess, witness: RawClient, event: dict[str, Any], field: str
) -> None:
    status, body = emit(any_server, event, **{"users-api-key": API_KEY})
    assert status in (400, 422), body
    assert field in json.dumps(body)
    assert witness.is_silent(0)


@pytest.mark.parametrize("headers", [{}, {"users-api-key": "wrong"}, {"users-api-key": ""}])
def test_events_over_http_are_for_services(
    any_server: ServerProcess, witness: RawClient, headers: dict[str, str]
) -> None:
    status, body = emit(any_server, {"eventType": 1, "username": "forged"}, **headers)
    assert status in (401, 403), body
    assert witness.is_silent(0)


def test_events_over_http_are_not_for_admins(people: People, witness: RawClient) -> None:
    client = people(privileges=ADMINS)
    witness.events_until_echo("after the login")
    answer = client.http.request("POST", "/events", {"eventType": 1, "username": "forged"})
    assert answer.status == 403
