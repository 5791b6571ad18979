"""
The route table of the HTTP API (users-http-api.md), the only place that knows the paths and the messages of success.

It drives the Tornado application and ``definitions/openapi.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tornado.routing import URLSpec

from users_server.schemas.busiest import BusiestAnswer
from users_server.schemas.emit import EmitAnswer, EventInput
from users_server.schemas.meta import MetaInput, MetaPropertyInput
from users_server.schemas.operation import ReadyAnswer
from users_server.schemas.queries import BusiestQuery, PageQuery, UsersQuery, VerboseQuery
from users_server.schemas.sessions import SessionsAnswer
from users_server.schemas.tokens import TokenAnswer, TokenInput
from users_server.schemas.users import AuthenticationAnswer, CreateUserInput, LoginInput, UserAnswer, UsersAnswer
from users_server.web.context import HttpContext
from users_server.web.http import NotFoundHandler, ResourceHandler
from users_server.web.rest import authentication, busiest, events, meta, operation, sessions, tokens, users
from users_server.web.route import Route, Who

__all__ = ["ROUTES", "NotFoundHandler", "Route", "Who", "build_http_routes"]

AUTHENTICATED = Route(
    "GET",
    "/authenticated",
    authentication.who_am_i,
    Who.ALL,
    summary="Tell who the caller is",
    message="User is authenticated",
    tag="authentication",
    query=VerboseQuery,
    answer=AuthenticationAnswer,
    failure={"authenticated": False},
)

AUTHENTICATION = (
    AUTHENTICATED,
    replace(AUTHENTICATED, path="/who-am-i"),
    Route(
        "POST",
        "/users/login",
        authentication.login,
        Who.ALL,
        summary="Log in and get the session cookie",
        message="User is authenticated",
        tag="authentication",
        request=LoginInput,
        answer=AuthenticationAnswer,
        failure={"authenticated": False},
    ),
    Route(
        "POST",
        "/logout",
        authentication.logout,
        Who.ALL,
        summary="End the session and clear its cookie",
        message="Successfully logged out",
        tag="authentication",
    ),
    Route(
        "GET",
        "/logout",
        authentication.logout,
        Who.ALL,
        summary="The same, for existing clients; POST is the better choice",
        message="Successfully logged out",
        tag="authentication",
        changes_state=True,
    ),
    Route(
        "POST",
        "/tokens",
        tokens.create_token,
        Who.LOGGED_IN,
        summary="Make a token for the caller, for sockets and for clients without cookies",
        message="Token has been created",
        tag="authentication",
        request=TokenInput,
        answer=TokenAnswer,
    ),
)

USERS = (
    Route(
        "GET",
        "/users",
        users.list_users,
        Who.LOGGED_IN,
        summary="List users",
        message="Found {count} users",
        tag="users",
        query=UsersQuery,
        answer=UsersAnswer,
        is_open_in_webinate=True,
    ),
    Route(
        "POST",
        "/users",
        users.create_user,
        Who.ADMIN,
        summary="Create a user, whose account is active at once",
        message="User {name} has been created",
        tag="users",
        request=CreateUserInput,
        answer=UserAnswer,
    ),
    Route(
        "GET",
        "/users/:user",
        users.get_user,
        Who.OWNER,
        summary="Get a user by username or email",
        message="Found {name}",
        tag="users",
        query=VerboseQuery,
        answer=UserAnswer,
    ),
    Route(
        "DELETE",
        "/users/:user",
        users.remove_user,
        Who.OWNER,
        summary="Remove a user",
        message="User {name} has been removed",
        tag="users",
    ),
    Route(
        "PUT",
        "/users/:user/approve-activation",
        users.approve_activation,
        Who.ADMIN,
        summary="Activate an account without its key",
        message="Activation code has been approved",
        tag="users",
    ),
)

SESSIONS = (
    Route(
        "GET",
        "/sessions",
        sessions.list_sessions,
        Who.ADMIN,
        summary="List the logins that are alive",
        message="Found {count} active sessions",
        tag="sessions",
        query=PageQuery,
        answer=SessionsAnswer,
    ),
    Route(
        "DELETE",
        "/sessions/:id",
        sessions.remove_session,
        Who.ADMIN,
        summary="End a login and close its sockets",
        message="Session {id} has been removed",
        tag="sessions",
    ),
)

META = (
    Route(
        "GET",
        "/users/:user/meta",
        meta.get_meta,
        Who.OWNER,
        summary="Get all meta data of a user, as the bare object",
        message="",
        tag="meta",
        answer=None,
    ),
    Route(
        "GET",
        "/users/:user/meta/:name",
        meta.get_meta_property,
        Who.OWNER,
        summary="Get one value of a user's meta data, as the bare value",
        message="",
        tag="meta",
        answer=None,
    ),
    Route(
        "POST",
        "/users/:user/meta",
        meta.set_meta,
        Who.ADMIN,
        summary="Replace all meta data of a user, or clear it",
        message="User's data has been updated",
        tag="meta",
        request=MetaInput,
    ),
    Route(
        "POST",
        "/users/:user/meta/:name",
        meta.set_meta_property,
        Who.ADMIN,
        summary="Set one value of a user's meta data",
        message="Value '{name}' has been updated",
        tag="meta",
        request=MetaPropertyInput,
    ),
)

EVENTS = (
    Route(
        "POST",
        "/events",
        events.emit_events,
        Who.TRUSTED,
        summary="Emit one event to the sockets, or up to 100",
        message="Emitted {count} events",
        tag="events",
        request=EventInput,
        answer=EmitAnswer,
        max_items=100,
    ),
)

OPERATION = (
    Route(
        "GET",
        "/healthz",
        operation.health,
        Who.ALL,
        summary="Tell that the process is alive",
        message="The server is alive",
        tag="operation",
        is_operation=True,
    ),
    Route(
        "GET",
        "/readyz",
        operation.ready,
        Who.ALL,
        summary="Tell whether all that the server needs is there; 503 if not",
        message="The server is ready",
        tag="operation",
        answer=ReadyAnswer,
        is_operation=True,
    ),
    Route(
        "GET",
        "/metrics",
        operation.metrics,
        Who.ALL,
        summary="Metrics for Prometheus",
        message="",
        tag="operation",
        answer=None,
        content_type="text/plain",
        is_operation=True,
    ),
    Route(
        "GET",
        "/busiest",
        busiest.list_busiest,
        Who.OPERATOR,
        summary="Tell what the server has done, and which of its connections and channels are the busiest",
        message="There are {count} connections",
        tag="operation",
        query=BusiestQuery,
        answer=BusiestAnswer,
    ),
)

ROUTES = (*AUTHENTICATION, *USERS, *SESSIONS, *META, *EVENTS, *OPERATION)


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
        for path, is_operation in sorted({(route.path, route.is_operation) for route in table}, key=_fixed_paths_first)
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


def pattern_of(path: str) -> str:
    """A regular expression with one named group for each parameter of the template ``path``."""
    segments = (
        f"(?P<{segment[1:]}>[^/]+)" if segment.startswith(":") else re.escape(segment) for segment in path.split("/")
    )
    return "/".join(segments)


def normalise_prefix(prefix: str) -> str:
    """With a slash before and none behind; empty stays empty."""
    return "/" + prefix.strip("/") if prefix.strip("/") else ""


def _fixed_paths_first(key: tuple[str, bool]) -> list[tuple[bool, str]]:
    return [(segment.startswith(":"), segment) for segment in key[0].split("/")]
