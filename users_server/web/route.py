"""One row of the route table, what its handler is given, and what the handler returns."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marshmallow import Schema

from users_server.core.messages import JSON, Identity
from users_server.schemas.answers import MessageAnswer
from users_server.web.context import HttpContext


class Who(enum.Enum):
    """
    Who may call a route (users-http-api.md, the column "who").

    Checked before the handler runs. ``OWNER`` asks for somebody who is known; whether he owns what he asks for, only
    the service can say. ``OPERATOR`` is an admin, or a trusted caller such as ``users-server top``.
    """

    ALL = "all"
    LOGGED_IN = "logged in"
    OWNER = "owner"
    ADMIN = "admin"
    TRUSTED = "trusted"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request that has been let in and found valid.

    Attributes:
        path: The path's parameters, percent-decoded once.
        query: What the route's query schema made of the query; empty without one.
        body: What the route's request schema made of the body; a list of that where the client sent one.
        address: The client's address, behind a trusted proxy the one that the proxy names.
    """

    context: HttpContext
    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    address: str
    user_agent: str
    accept: str


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


Handler: TypeAlias = "Callable[[Call], Awaitable[Answer | BareAnswer]]"


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
        is_open_in_webinate: In that compatibility everybody may call it.
        is_operation: For the operator's tools: not below the prefix, never identified, always with the proper code.
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
    is_open_in_webinate: bool = False
    is_operation: bool = False

    @property
    def is_unsafe(self) -> bool:
        """Whether the route changes something that a foreign site must not be able to change."""
        return self.method != "GET" if self.changes_state is None else self.changes_state

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return [segment[1:] for segment in self.path.split("/") if segment.startswith(":")]
