"""Requests of HTTP that a protocol answers beside its links: the rows of its table, and what goes in and out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marshmallow import Schema

from users_server.core.apps import App
from users_server.errors import UsersServerError
from users_server.services.credentials import ReadsHeaders


@dataclass(frozen=True, slots=True)
class HTTPCall:
    """
    One request that has been let in and found valid.

    Attributes:
        app: Which the caller may use, as :attr:`HTTPTable.admit` found.
        path: The path's parameters, percent-decoded once.
        query: What the route's query schema made of the query; empty without one.
        body: What the route's request schema made of the body; empty without one.
        content: The body as it came.
    """

    app: App
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    content: bytes
    headers: ReadsHeaders


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """What is answered. ``content`` is JSON text."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


HTTPHandler: TypeAlias = "Callable[[Any, HTTPCall], Awaitable[HTTPAnswer]]"
"""``(context, call)`` to the answer. It may raise any of our errors; :attr:`HTTPTable.refuse` makes an answer of it."""


@dataclass(frozen=True, slots=True)
class HTTPRoute:
    """
    One row: everything about the route is found from here, by the server and by the definitions.

    Attributes:
        method: Of HTTP, upper case. A row for GET answers HEAD, too.
        path: From the top of the server, with ``:name`` for a parameter, which is one segment.
        summary: One line for the catalogue.
        description: More than that, where there is more to say.
        status: Of success.
        answer: The shape of success.
        query: The query's schema.
        request: The body's schema. Without one a body is ignored.
        headers: What the caller may send beside that: name to description.
        refusals: The other statuses of its answers: status to when that is.
    """

    method: str
    path: str
    handler: HTTPHandler
    summary: str
    answer: type[Schema]
    refusals: Mapping[int, str]
    status: int = 200
    description: str = ""
    query: type[Schema] | None = None
    request: type[Schema] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return [segment[1:] for segment in self.path.split("/") if segment.startswith(":")]


@dataclass(frozen=True, slots=True)
class HTTPTable:
    """
    The HTTP API of a protocol, which is known before anything is built.

    Its routes are outside ``http.apiPrefix``, and know neither cookies nor the ``compatibility`` of the configuration.
    Pages of other origins can use none of them. Bodies are JSON, whatever their type is said to be, of
    ``http.maxBodyBytes`` at most.

    Attributes:
        tag: The group of the catalogue.
        routes: No two have the same method and the same path.
        admit: ``(context, headers)`` to the app that the caller may use. It comes before query and body are looked at.
            Awaiting raises :class:`Unauthenticated` and :class:`BackendError`.
        security: What ``admit`` asks for: the name of a security scheme of the description.
        refuse: ``(status, error)`` to the answer in the protocol's own form; total. ``status`` is the one that the
            error has in the HTTP API. ``Retry-After`` and ``Allow`` are the server's business.
        refusal: The shape of such an answer.
        parameters: Descriptions of the parameters of paths, by name.
    """

    tag: str
    routes: Sequence[HTTPRoute]
    admit: Callable[[Any, ReadsHeaders], Awaitable[App]]
    security: str
    refuse: Callable[[int, UsersServerError], HTTPAnswer]
    refusal: type[Schema]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HTTPService:
    """
    A table at work.

    Attributes:
        context: What its handlers are given.
        port: One of the protocol's own, at which the routes are beside those of ``http.port``; 0 for none. A
            :class:`~users_server.protocols.base.Mount` has that port, too.
    """

    table: HTTPTable
    context: Any
    port: int = 0
