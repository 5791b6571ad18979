"""One row of the route table, what its handler is given, and what the handler returns."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marshmallow import Schema

from users_server.core.apps import App
from users_server.core.messages import JSON, Identity
from users_server.schemas.answers import MessageAnswer
from users_server.services.audit import Action
from users_server.web.context import HttpContext
from users_server.web.streaming import BodyStream, FileAnswer

ANY_TYPE = "*/*"
"""The content type of a route that answers with a file."""


class Who(enum.Enum):
    """
    Who may call a route (users-http-api.md, the column "who").

    Checked before the handler runs. ``OWNER`` asks for somebody who is known; whether he owns what he asks for, only
    the service can say. ``OPERATOR`` is an admin, or a trusted caller such as ``users-server top``. ``APP`` is a caller
    with the API key of the app in the path, or the app's owner, or an admin, or an internal
    service with the API key of the server.
    """

    ALL = "all"
    LOGGED_IN = "logged in"
    OWNER = "owner"
    ADMIN = "admin"
    TRUSTED = "trusted"
    OPERATOR = "operator"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request that has been let in and found valid.

    Attributes:
        path: The path's parameters, percent-decoded once.
        query: What the route's query schema made of the query; empty without one.
        body: What the route's request schema made of the body; a list of that where the client sent one.
        address: The client's address, behind a trusted proxy the one that the proxy names.
        origin: Of the page that sent the request, if a page did.
        app: Of a route for ``Who.APP``: the app in the path, which the caller may use.
        version: Of HTTP, for instance ``HTTP/1.1``.
        body_stream: Of a route that ``takes_stream``.
    """

    context: HttpContext
    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    address: str
    user_agent: str
    accept: str
    origin: str = ""
    app: App | None = None
    method: str = "GET"
    version: str = "HTTP/1.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    body_stream: BodyStream | None = None

    @property
    def stream(self) -> BodyStream:
        """:attr:`body_stream` of a route that ``takes_stream``."""
        if self.body_stream is None:
            raise LookupError("The route does not take its body as a stream")
        return self.body_stream

    @property
    def admitted_app(self) -> App:
        """:attr:`app` of a route for ``Who.APP``."""
        if self.app is None:
            raise LookupError("The route is not for Who.APP")
        return self.app


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The cookie to set; an empty ``value`` clears it. ``is_persistent``: it outlives the browser."""

    value: str = ""
    is_persistent: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a handler wants to be answered.

    Attributes:
        fields: Beside ``message`` and ``error``.
        words: What stands in the braces of the route's success message.
        message: Instead of the route's own.
        cookie: To set or clear, if any.
        status: Of the proper code; ``error`` is true from 400 on.
    """

    fields: Mapping[str, JSON] = field(default_factory=dict)
    words: Mapping[str, object] = field(default_factory=dict)
    message: str | None = None
    cookie: SessionCookie | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class BareAnswer:
    """An answer that is not the usual object: a bare JSON value, or the text of ``content_type``."""

    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that leads a person elsewhere: status 302, in every compatibility."""

    location: str


Handler: TypeAlias = "Callable[[Call], Awaitable[Answer | BareAnswer | Redirect | FileAnswer]]"


@dataclass(frozen=True, slots=True)
class Route:
    """
    One row: everything about the route is found from here, by the application and by the definitions.

    Attributes:
        method: Of HTTP, upper case.
        path: Below ``http.apiPrefix``, with ``:name`` for each parameter.
        summary: One line for the catalogue.
        message: On success, with names in braces that the handler fills in.
        tag: The group of the catalogue.
        request: The body's schema; without one a body is ignored.
        query: The query's schema.
        answer: The schema of a successful answer; :obj:`None` where it is a bare value of ``content_type``.
        failure: Fields of every refusal by this route, beside ``message`` and ``error``.
        max_items: If not 0, the body may also be a list of up to so many objects of ``request``.
        changes_state: Whether a foreign origin is refused; by default by the method.
        is_link: People come here by a link in a mail, from whatever page shows it; what they may do is in the link.
        is_open_in_webinate: In that compatibility everybody may call it.
        is_operation: For the operator's tools: not below the prefix, never identified, always with the proper code.
        is_anonymous: Nobody is identified, so that others may keep the answer.
        takes_stream: The handler is called before the body has come, and reads it from ``Call.stream``.
        keeps_status: Its refusals have the proper code in every compatibility.
        action: What the audit log says when it has succeeded, where the service does not know the caller's address.
    """

    method: str
    path: str
    handler: Handler
    who: Who
    summary: str
    message: str
    tag: str
    request: type[Schema] | None = None
    query: type[Schema] | None = None
    answer: type[Schema] | None = MessageAnswer
    content_type: str = "application/json"
    failure: Mapping[str, JSON] = field(default_factory=dict)
    max_items: int = 0
    changes_state: bool | None = None
    is_link: bool = False
    is_open_in_webinate: bool = False
    is_operation: bool = False
    is_anonymous: bool = False
    takes_stream: bool = False
    keeps_status: bool = False
    action: Action | None = None

    @property
    def is_unsafe(self) -> bool:
        """Whether the route changes something that a foreign site must not be able to change."""
        return self.method != "GET" if self.changes_state is None else self.changes_state

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return [segment[1:] for segment in self.path.split("/") if segment.startswith(":")]
