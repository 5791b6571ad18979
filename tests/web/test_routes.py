"""The route table against its own promises: every route is called, and every answer has its schema's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from marshmallow import EXCLUDE

from tests.web.site import API_KEY, PASSWORD, Site
from users_server.schemas.answers import RefusalAnswer
from users_server.web.routes import ROUTES, Route, Who, methods_at, normalise_prefix

LOGIN = {"username": "alice", "password": PASSWORD}
CALLS: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", "/authenticated"): ("/authenticated?verbose=true", None),
    ("GET", "/who-am-i"): ("/who-am-i", None),
    ("POST", "/users/login"): ("/users/login", LOGIN),
    ("POST", "/logout"): ("/logout", None),
    ("GET", "/logout"): ("/logout", None),
    ("POST", "/tokens"): ("/tokens", None),
    ("GET", "/users"): ("/users?verbose=true", None),
    ("POST", "/users"): ("/users", {"username": "dora", "email": "dora@example.com", "password": "x"}),
    ("GET", "/users/:user"): ("/users/alice", None),
    ("DELETE", "/users/:user"): ("/users/alice", None),
    ("PUT", "/users/:user/approve-activation"): ("/users/carol/approve-activation", None),
    ("GET", "/sessions"): ("/sessions", None),
    ("DELETE", "/sessions/:id"): ("/sessions/{session}", None),
    ("GET", "/users/:user/meta"): ("/users/alice/meta", None),
    ("GET", "/users/:user/meta/:name"): ("/users/alice/meta/a", None),
    ("POST", "/users/:user/meta"): ("/users/alice/meta", None),
    ("POST", "/users/:user/meta/:name"): ("/users/alice/meta/a", {"value": 1}),
    ("POST", "/events"): ("/events", {"eventType": 1, "username": "x"}),
    ("GET", "/healthz"): ("/healthz", None),
    ("GET", "/readyz"): ("/readyz", None),
    ("GET", "/metrics"): ("/metrics", None),
    ("GET", "/busiest"): ("/busiest", None),
}


def test_every_route_is_called_below() -> None:
    assert {(route.method, route.path) for route in ROUTES} >= set(CALLS)
    assert [route for route in ROUTES if (route.method, route.path) not in CALLS] == []


@pytest.mark.gen_test
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_answers_have_the_shape_of_their_schema(site: Site, route: Route) -> None:
    await site.add_inactive("carol")
    cookie = await site.login("chief")
    session = (await site.ask("GET", "/sessions", cookie=cookie)).json["data"][0]["sessionId"]
    path, body = CALLS[route.method, route.path]
    path = path.format(session=session)
    headers = {"users-api-key": API_KEY} if route.who is Who.TRUSTED else {}
    reply = await site.ask(route.method, path, body, cookie=cookie, headers=headers)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith(route.content_type)
    if route.answer is not None:
        assert route.answer().validate(reply.json) == {}
        assert reply.json["error"] is False
        assert reply.message


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.who is not Who.ALL], ids=lambda route: f"{route.method} {route.path}"
)
async def test_refusals_have_the_shape_of_theirs(site: Site, route: Route) -> None:
    path, body = CALLS[route.method, route.path]
    reply = await site.ask(route.method, path.format(session="x"), body)
    assert reply.status == 401
    assert RefusalAnswer(unknown=EXCLUDE).validate(reply.json) == {}
    assert reply.json == {"message": "You must be logged in to make this request", "error": True} | dict(route.failure)


def test_rows_are_unique_and_described() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert route.summary
        assert route.tag
        assert route.message or route.answer is None


def test_a_fixed_path_shares_the_methods_of_the_template_that_it_fits() -> None:
    methods = methods_at("/users/login", ROUTES)
    assert {method: (route.path, dict(fixed)) for method, (route, fixed) in methods.items()} == {
        "POST": ("/users/login", {}),
        "GET": ("/users/:user", {"user": "login"}),
        "DELETE": ("/users/:user", {"user": "login"}),
    }
    assert set(methods_at("/users/:user", ROUTES)) == {"GET", "DELETE"}


@pytest.mark.parametrize(
    ("prefix", "expected"), [("", ""), ("/", ""), ("api", "/api"), ("/api/", "/api"), ("/a/b", "/a/b")]
)
def test_normalise_prefix(prefix: str, expected: str) -> None:
    assert normalise_prefix(prefix) == expected


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_in_the_docs(route: Route) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "users.md").read_text(encoding="utf-8")
    assert f"`{route.method} {route.path}`" in docs or f"{route.method} `{route.path}`" in docs
