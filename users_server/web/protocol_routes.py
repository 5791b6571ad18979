"""
The HTTP APIs of protocols: from a request to the handler of a row of theirs, from its answer or an error to a response.

Rules of this file:

* Nobody is a logged in person here: no cookie is read, and no page of another origin gets an answer that it may read.
* Query and body are not looked at before the table's ``admit`` has let the caller in.
* Every error becomes an answer of the table's ``refuse``; metrics see the route's template, never the raw path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any

from tornado.routing import URLSpec
from tornado.web import RequestHandler, stream_request_body

from users_server.errors import ClientError, NotFound, PermissionDenied, UsersServerError
from users_server.protocols.http import HTTPAnswer, HTTPCall, HTTPRoute, HTTPService
from users_server.services.origins import OriginPolicy
from users_server.web.body import DISCARD_FACTOR, Body, decode, validate
from users_server.web.cors import is_foreign
from users_server.web.http import STATUS
from users_server.web.metrics import UNMATCHED, Metrics
from users_server.web.paths import fixed_paths_first, pattern_of
from users_server.web.refusals import INTERNAL_ERROR, MethodNotAllowed, log_unexpected, retry_headers

JSON_TYPE = "application/json"
NO_ORIGINS = OriginPolicy(())


@dataclass(frozen=True, slots=True)
class ProtocolEdge:
    """What every request of a protocol's API has to do with."""

    max_body_bytes: int
    metrics: Metrics


def protocol_routes(services: Iterable[HTTPService], edge: ProtocolEdge) -> list[URLSpec]:
    """The routes of all ``services``, for an application that has others, too."""
    return [spec for service in services for spec in _specs(service, edge)]


def own_routes(service: HTTPService, edge: ProtocolEdge) -> list[URLSpec]:
    """The routes of one protocol, for a port that has no others: every other path is answered in its form, too."""
    return [*_specs(service, edge), URLSpec(".*", ProtocolHandler, {"service": service, "edge": edge, "rows": {}})]


def _specs(service: HTTPService, edge: ProtocolEdge) -> list[URLSpec]:
    rows: dict[str, dict[str, HTTPRoute]] = {}
    for route in service.table.routes:
        rows.setdefault(route.path, {})[route.method] = route
    return [
        URLSpec(pattern_of(path) + "$", ProtocolHandler, {"service": service, "edge": edge, "rows": rows[path]})
        for path in sorted(rows, key=fixed_paths_first)
    ]


@stream_request_body
class ProtocolHandler(RequestHandler):
    """Everything at one path of a protocol's API, initialised with the rows of the path by method."""

    def initialize(self, service: HTTPService, edge: ProtocolEdge, rows: Mapping[str, HTTPRoute]) -> None:
        self._table = service.table
        self._service_context = service.context
        self._edge = edge
        self._rows = rows
        self._body = Body(edge.max_body_bytes)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Nothing here may be stored, so nothing is compared either."""

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(self._body.limit * DISCARD_FACTOR)  # type: ignore[union-attr]
        if self._body.is_hopeless(self.request.headers.get("Content-Length")):
            self._refuse(self._body.refusal())

    def data_received(self, chunk: bytes) -> None:
        self._body.add(chunk)

    async def _respond(self, **path: str) -> None:
        try:
            answer = await self._answer(path)
        except UsersServerError as error:
            if STATUS[error.reason] >= 500 and not error.is_temporary:
                raise
            self._refuse(error)
        else:
            self._send(answer)

    get = post = put = patch = delete = head = options = _respond

    async def _answer(self, path: Mapping[str, str]) -> HTTPAnswer:
        route = self._find_route()
        if route.method != "GET" and is_foreign(self.request.headers, NO_ORIGINS):
            raise PermissionDenied("Requests from this origin are not allowed")
        app = await self._table.admit(self._service_context, self.request.headers)
        content = self._body.bytes()
        call = HTTPCall(
            app=app,
            path=path,
            query=validate(route.query, self._query()),
            body={} if route.request is None else validate(route.request, decode(content)),
            content=content,
            headers=self.request.headers,
        )
        return await route.handler(self._service_context, call)

    def _find_route(self) -> HTTPRoute:
        if not self._rows:
            raise NotFound("There is nothing at this address")
        method = self.request.method or ""
        route = self._rows.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodNotAllowed
        return route

    def _allowed_methods(self) -> list[str]:
        return sorted({*self._rows, *(["HEAD"] if "GET" in self._rows else [])})

    def _query(self) -> dict[str, str]:
        return {name: self.get_query_arguments(name, strip=False)[-1] for name in self.request.query_arguments}

    def _refuse(self, error: UsersServerError) -> None:
        for name, value in retry_headers(error).items():
            self.set_header(name, value)
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", ", ".join(self._allowed_methods()))
        self._send(self._table.refuse(STATUS[error.reason], error))

    def _send(self, answer: HTTPAnswer) -> None:
        self.set_status(answer.status)
        self.set_header("Content-Type", JSON_TYPE)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.content)

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        """Tornado's own refusals, and what nobody expected."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self._refuse(MethodNotAllowed())
        elif status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._refuse(UsersServerError(INTERNAL_ERROR))
        else:
            self._refuse(ClientError(HTTPStatus(status_code).phrase))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        log_unexpected(self.request.method, self._template, value)

    def on_finish(self) -> None:
        self._edge.metrics.observe_request(
            self.request.method or "", self._template, self.get_status(), self.request.request_time()
        )

    @property
    def _template(self) -> str:
        return next((route.path for route in self._rows.values()), UNMATCHED)
