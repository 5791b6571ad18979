"""The route table against its own promises: every route is called, and every answer has its schema's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from marshmallow import EXCLUDE

from tests.web import described
from tests.web.calls import BODIES, QUERIES, SPECIAL, call, prepare
from tests.web.site import API_KEY, Site
from users_server.schemas.answers import RefusalAnswer
from users_server.web.routes import ROUTES, Route, Who, methods_at, normalise_prefix


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_what_is_said_of_calls_is_said_of_routes() -> None:
    assert set(SPECIAL) | set(QUERIES) <= {route.path for route in ROUTES}
    assert set(BODIES) <= {name_of(route) for route in ROUTES}


@pytest.mark.gen_test
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
async def test_answers_have_the_shape_of_their_schema(site: Site, route: Route) -> None:
    visit = await prepare(site)
    reply = await call(site, route, visit.values, visit.cookie)
    assert reply.status == 200, reply
    described.check(route, reply)
    if route.answer is not None:
        assert route.answer().validate(reply.json) == {}
        assert reply.json["error"] is False
        assert reply.message


@pytest.mark.gen_test
@pytest.mark.parametrize("route", [route for route in ROUTES if route.who is not Who.ALL], ids=name_of)
async def test_refusals_have_the_shape_of_theirs(site: Site, route: Route) -> None:
    reply = await call(site, route, {}, None)
    assert reply.status == 401
    described.check(route, reply)
    assert RefusalAnswer(unknown=EXCLUDE).validate(reply.json) == {}
    assert reply.json == {"message": "You must be logged in to make this request", "error": True} | dict(route.failure)


@pytest.mark.gen_test
@pytest.mark.parametrize("route", [route for route in ROUTES if route.parameters or route.request], ids=name_of)
async def test_refusals_of_nonsense_are_described(site: Site, route: Route) -> None:
    """Parameters that name nothing, and bodies that are no JSON, too long, or of another kind."""
    cookie = await site.login("chief")
    headers = {"users-api-key": API_KEY} if route.who is Who.TRUSTED else {}
    nowhere = "/".join("nothing" if part.startswith(":") else part for part in route.path.split("/"))
    for raw, content_type in NONSENSE:
        typed = {**headers, "Content-Type": content_type} if raw else headers
        reply = await site.ask(route.method, nowhere, cookie=cookie, headers=typed, raw=raw or None)
        described.check(route, reply)
    if route.request is not None and not route.takes_stream:
        for wrong in wrong_bodies(route):
            described.check(route, await site.ask(route.method, nowhere, wrong, cookie=cookie, headers=headers))


NONSENSE = [(b"", ""), (b"{", "application/json"), (b"[]", "application/json"), (b"a=b", "text/plain")]


def wrong_bodies(route: Route) -> list[Any]:
    """Every field with values of kinds that it is not made for."""
    assert route.request is not None
    names = [field.data_key or name for name, field in route.request().fields.items()]
    return [dict.fromkeys(names, value) for value in (None, 5, [[]], {"a": 1}, "\0")] + [{"unknown": 1}]


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
    docs = "".join(path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "docs").glob("*.md"))
    assert f"`{route.method} {route.path}`" in docs or f"{route.method} `{route.path}`" in docs
