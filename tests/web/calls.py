"""
One call of every route that succeeds.

Paths are filled from the route table. A new route needs a line here only if it takes a body, or if the ordinary values
of its parameters are not good enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.web.forms import BOUNDARY, FormFile, form, save
from tests.web.site import API_KEY, CHIEF, PASSWORD, Reply, Site
from users_server.core.accounts import KeyKind
from users_server.web.routes import Route, Who

PARAMETERS = {
    "app": "shop",
    "bucket": "chief-bucket",
    "bucketId": "{bucket_id}",
    "channel": "a",
    "id": "{file}",
    "ids": "{file}",
    "name": "a",
    "names": "chief-bucket",
    "parentFile": "{file}",
    "user": "alice",
    "value": "5",
}

SPECIAL: dict[str, dict[str, str]] = {
    "/sessions/:id": {"id": "{session}"},
    "/users/:user/approve-activation": {"user": "carol"},
    "/users/:user/buckets/:bucket/files": {"user": "chief"},
    "/users/:user/password": {"user": "chief"},
    "/users/:user/resend-activation": {"user": "carol"},
    "/users/:user/sessions/:id": {"user": "chief", "id": "{session}"},
}
"""Values of parameters for one route."""

QUERIES = {
    "/activate-account": "user=carol&key={activation}",
    "/authenticated": "verbose=true",
    "/confirm-email": "user=alice&key={email_change}",
    "/users": "verbose=true",
}

BODIES: dict[str, Any] = {
    "POST /users/login": {"username": "alice", "password": PASSWORD},
    "POST /users": {"username": "dora", "email": "dora@example.com", "password": "x"},
    "POST /users/register": {"username": "dora", "email": "dora@example.com", "password": "x"},
    "PUT /password-reset": {"user": "alice", "key": "{reset}", "password": "x"},
    "PUT /users/:user/password": {"password": CHIEF.password, "newPassword": "a new one"},
    "PUT /users/:user/email": {"email": "new@example.com"},
    "POST /message-webmaster": {"message": "Help"},
    "POST /users/:user/meta/:name": {"value": 1},
    "POST /events": {"eventType": 1, "username": "x"},
    "POST /apps": {"name": "Market"},
    "PUT /apps/:app": {"name": "Market"},
    "POST /apps/:app/events": {"channel": "a", "event": "b", "data": None},
    "PUT /files/:id/rename-file": {"name": "b.txt"},
}


@dataclass(frozen=True)
class Visit:
    """A site in which every call can succeed, and who calls: the chief."""

    site: Site
    cookie: str
    values: dict[str, str]


async def prepare(site: Site) -> Visit:
    """Make what the calls are about."""
    await site.add_inactive("carol")
    await site.add_app("shop")
    cookie = await site.login("chief")
    (file,) = await save(site, cookie, bucket="chief-bucket")
    stored = await site.store.find_file(file)
    assert stored is not None
    values = {
        "file": file,
        "bucket_id": stored.bucket_id,
        "session": (await site.ask("GET", "/sessions", cookie=cookie)).json["data"][0]["sessionId"],
        "activation": await site.make_key(KeyKind.ACTIVATION, "carol"),
        "reset": await site.make_key(KeyKind.RESET, "alice"),
        "email_change": await site.make_key(KeyKind.EMAIL_CHANGE, "alice"),
    }
    return Visit(site, cookie, values)


def path_of(route: Route, values: dict[str, str]) -> str:
    """The address to call; what ``values`` lacks is ``x``."""
    parameters = {**PARAMETERS, **SPECIAL.get(route.path, {})}
    segments = route.path.split("/")
    path = "/".join(parameters[segment[1:]] if segment.startswith(":") else segment for segment in segments)
    query = QUERIES.get(route.path, "")
    return (f"{path}?{query}" if query else path).format_map(_OrX(values))


def body_of(route: Route, values: dict[str, str]) -> Any:
    body = BODIES.get(f"{route.method} {route.path}")
    if body is None:
        return None
    return {key: value.format_map(_OrX(values)) if isinstance(value, str) else value for key, value in body.items()}


async def call(site: Site, route: Route, values: dict[str, str], cookie: str | None) -> Reply:
    """Call ``route``; without a cookie as a stranger."""
    path, body, headers, raw = path_of(route, values), body_of(route, values), {}, None
    if route.takes_stream:
        raw = form(FormFile())
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    if route.who is Who.TRUSTED and cookie is not None:
        headers = {"users-api-key": API_KEY}
    return await site.ask(route.method, path, body, cookie=cookie, headers=headers, raw=raw)


class _OrX(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"
