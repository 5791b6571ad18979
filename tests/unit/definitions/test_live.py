"""What a running server really sends is what the definitions say, and not a field more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import API_KEY, ServerProcess
from tests.unit.definitions.conftest import Checker, read
from users_server.protocols.users.events import EVENTS

FILE = {
    "_id": "5e4a5e4a5e4a5e4a5e4a5e4a",
    "name": "photo.png",
    "user": "ada",
    "identifier": "ada/photo.png",
    "bucketId": "1",
    "bucketName": "ada-bucket",
    "publicURL": None,
    "created": 1700000000000,
    "size": 5,
    "mimeType": "image/png",
    "isPublic": True,
    "numDownloads": 0,
}
BUCKET = {"_id": "2", "name": "b", "identifier": "b1", "user": "ada", "created": 1, "memoryUsed": 5, "meta": {"a": [1]}}
EMITTED: dict[str, dict[str, Any]] = {
    "Login": {"username": "ada"},
    "Logout": {"username": "ada"},
    "Activated": {"username": "ada"},
    "Removed": {"username": "ada"},
    "FilesUploaded": {"username": "ada", "files": [FILE, FILE]},
    "FilesRemoved": {"files": [FILE]},
    "BucketUploaded": {"username": "ada", "bucket": BUCKET},
    "BucketRemoved": {"bucket": BUCKET},
}
QUESTIONS: dict[str, list[dict[str, Any]]] = {
    "MetaRequest": [
        {"username": "chief"},
        {"username": "chief", "property": "a", "val": {"b": None}},
        {"username": "no"},
    ],
    "Echo": [{"message": "hello"}, {"message": "hello", "broadcast": True}],
    "Error": [{}],
}


@pytest.fixture
def service(server: ServerProcess) -> Iterator[RawClient]:
    with server.connect(origin=None, headers={"users-api-key": API_KEY}) as client:
        yield client


def test_every_event_is_asked_for() -> None:
    assert {*EMITTED, *QUESTIONS} == {event.name for event in EVENTS}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_frame_of_every_event(service: RawClient, events: Checker, event: Any) -> None:
    fields = [EMITTED[event.name]] if event.name in EMITTED else QUESTIONS[event.name]
    for data in fields:
        answer = service.ask(eventType=event.type, **data)
        assert answer["eventType"] == event.type
        events.validator(f"{event.name}Event", is_closed=True).validate(answer)
        events.validator("ServerEvent").validate(answer)


def test_every_kind_of_refusal(service: RawClient, events: Checker) -> None:
    for text in (
        "{",
        "[]",
        '{"eventType":99}',
        '{"eventType":10}',
        '{"eventType":5,"username":"a","files":[{"size":"x"}]}',
    ):
        service.send_text(text)
        events.validator("ErrorEvent", is_closed=True).validate(service.read_event())


ACCOUNT = {"username": "Grace", "email": "grace@example.com", "password": "a password"}
REQUESTS: list[tuple[str, str, str, Any, int]] = [
    ("GET", "/authenticated?verbose=true", "/authenticated", None, 200),
    ("GET", "/who-am-i", "/who-am-i", None, 200),
    ("POST", "/users/login", "/users/login", {"username": "chief", "password": "wrong"}, 401),
    ("POST", "/users/login", "/users/login", {"username": 5}, 422),
    ("POST", "/users/login", "/users/login", [], 400),
    ("POST", "/tokens", "/tokens", {"scopes": ["events:emit"]}, 200),
    ("POST", "/users", "/users", ACCOUNT, 200),
    ("POST", "/users", "/users", ACCOUNT, 409),
    ("GET", "/users?limit=5&search=a", "/users", None, 200),
    ("GET", "/users?limit=0", "/users", None, 422),
    ("GET", "/users/grace", "/users/{user}", None, 200),
    ("GET", "/users/nobody", "/users/{user}", None, 404),
    ("PUT", "/users/grace/approve-activation", "/users/{user}/approve-activation", None, 409),
    ("POST", "/users/grace/meta", "/users/{user}/meta", {"value": {"a": 1}}, 200),
    ("GET", "/users/grace/meta", "/users/{user}/meta", None, 200),
    ("POST", "/users/grace/meta/b", "/users/{user}/meta/{name}", {"value": None}, 200),
    ("POST", "/users/grace/meta/b", "/users/{user}/meta/{name}", {}, 422),
    ("GET", "/users/grace/meta/b", "/users/{user}/meta/{name}", None, 200),
    ("GET", "/users/grace/get-stats", "/users/{user}/get-stats", None, 200),
    ("POST", "/create-stats/grace", "/create-stats/{user}", None, 200),
    ("PUT", "/stats/storage-calls/grace/1", "/stats/storage-calls/{user}/{value}", None, 200),
    ("PUT", "/stats/storage-calls/grace/x", "/stats/storage-calls/{user}/{value}", None, 422),
    ("PUT", "/stats/storage-allocated-calls/grace/9", "/stats/storage-allocated-calls/{user}/{value}", None, 200),
    ("PUT", "/stats/storage-memory/grace/1", "/stats/storage-memory/{user}/{value}", None, 200),
    ("PUT", "/stats/storage-allocated-memory/grace/9", "/stats/storage-allocated-memory/{user}/{value}", None, 200),
    ("POST", "/users/grace/buckets/new", "/users/{user}/buckets/{name}", None, 200),
    ("POST", "/users/grace/buckets/new", "/users/{user}/buckets/{name}", None, 409),
    ("GET", "/users/grace/buckets", "/users/{user}/buckets", None, 200),
    ("GET", "/users/grace/buckets/new/files", "/users/{user}/buckets/{bucket}/files", None, 200),
    ("POST", "/buckets/chief-bucket/upload", "/buckets/{bucket}/upload", {}, 415),
    ("POST", "/buckets/none/upload/none", "/buckets/{bucket}/upload/{parentFile}", {}, 404),
    ("GET", "/files/none/download", "/files/{id}/download", None, 404),
    ("GET", "/public/none/none", "/public/{bucketId}/{id}", None, 404),
    ("PUT", "/files/none/rename-file", "/files/{id}/rename-file", {"name": "x"}, 404),
    ("PUT", "/files/none/make-public", "/files/{id}/make-public", None, 404),
    ("PUT", "/files/none/make-private", "/files/{id}/make-private", None, 404),
    ("DELETE", "/files/none", "/files/{ids}", None, 200),
    ("DELETE", "/buckets/none", "/buckets/{names}", None, 200),
    ("DELETE", "/users/grace", "/users/{user}", None, 200),
    ("POST", "/events", "/events", {"eventType": 1, "username": "ada"}, 403),
    ("GET", "/healthz", "/healthz", None, 200),
    ("GET", "/readyz", "/readyz", None, 200),
    ("GET", "/metrics", "/metrics", None, 200),
    ("GET", "/busiest?limit=3", "/busiest", None, 200),
    ("DELETE", "/sessions/none", "/sessions/{id}", None, 404),
    ("DELETE", "/sessions/SESSION", "/sessions/{id}", None, 200),
    ("GET", "/sessions", "/sessions", None, 401),
    ("POST", "/logout", "/logout", None, 200),
    ("GET", "/logout", "/logout", None, 200),
]
"""
Method, path, template, body and the status of the answer to the super admin; SESSION is his own session.

Every route is called in ``tests/web/test_routes.py``; here are some, over the wire.
"""


def test_answers_over_http(server: ServerProcess, openapi: Checker) -> None:
    admin = server.admin()
    session = admin.get("/sessions").body["data"][0]["sessionId"]
    for method, path, template, body, status in REQUESTS:
        answer = admin.request(method, path.replace("SESSION", session), body)
        assert answer.status == status, (method, path, answer)
        check_answer(openapi, method, template, status, answer)


def check_answer(openapi: Checker, method: str, template: str, status: int, answer: Any) -> None:
    document = read("openapi.json")
    response = document["paths"][template][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    ((content_type, content),) = response["content"].items()
    assert answer.headers["content-type"].startswith(content_type)
    assert {name.lower() for name in response.get("headers", ())} <= set(answer.headers)
    if "$ref" in content["schema"]:
        openapi.validator(content["schema"]["$ref"].rpartition("/")[2], is_closed=True).validate(answer.body)
