"""
The route table of the HTTP API (users-http-api.md), the only place that knows the paths and the messages of success.

It drives the Tornado application and ``definitions/openapi.json``. Each resource has its rows in a module here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tornado.routing import URLSpec

from users_server.web.context import HttpContext
from users_server.web.http import NotFoundHandler, ResourceHandler
from users_server.web.paths import fixed_paths_first, pattern_of
from users_server.web.route import Route, Who
from users_server.web.routes.apps import APPS, CHANNELS
from users_server.web.routes.authentication import AUTHENTICATION
from users_server.web.routes.content import CONTENT
from users_server.web.routes.documents import DOCUMENTS
from users_server.web.routes.events import EVENTS
from users_server.web.routes.meta import META
from users_server.web.routes.operation import OPERATION
from users_server.web.routes.registration import REGISTRATION
from users_server.web.routes.safety import SAFETY
from users_server.web.routes.sessions import SESSIONS
from users_server.web.routes.users import USERS

__all__ = ["ROUTES", "NotFoundHandler", "Route", "Who", "build_http_routes"]

ROUTES = (
    *AUTHENTICATION,
    *REGISTRATION,
    *USERS,
    *SESSIONS,
    *SAFETY,
    *META,
    *CONTENT,
    *EVENTS,
    *APPS,
    *CHANNELS,
    *OPERATION,
    *DOCUMENTS,
)


def build_http_routes(context: HttpContext, routes: Iterable[Route] = ROUTES) -> list[URLSpec]:
    """The table as Tornado wants it; the last spec answers every other path with 404."""
    table = tuple(routes)
    prefix = normalise_prefix(context.http.api_prefix)
    specs = [
        URLSpec(
            re.escape("" if is_operation else prefix) + pattern_of(path) + "$",
            ResourceHandler,
            {"context": context, "routes": methods_at(path, table)},
        )
        for path, is_operation in sorted(
            {(route.path, route.is_operation) for route in table}, key=lambda key: fixed_paths_first(key[0])
        )
    ]
    return [*specs, URLSpec(".*", NotFoundHandler, {"context": context})]


def methods_at(path: str, table: Iterable[Route]) -> dict[str, tuple[Route, Mapping[str, str]]]:
    """
    Method to the row that answers it at ``path``, and the parameters which ``path`` itself fixes.

    A fixed path may also be one of a template: ``/users/login`` is POST's own, but a user may have that name, so GET
    and DELETE go to the rows of ``/users/:user``.
    """
    methods: dict[str, tuple[Route, Mapping[str, str]]] = {}
    for route in table:
        if route.path == path:
            methods[route.method] = (route, {})
        elif ":" not in path and (match := re.fullmatch(pattern_of(route.path), path)):
            methods.setdefault(route.method, (route, match.groupdict()))
    return methods


def normalise_prefix(prefix: str) -> str:
    """With a slash before and none behind; empty stays empty."""
    return "/" + prefix.strip("/") if prefix.strip("/") else ""
