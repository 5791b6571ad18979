"""
The edge of HTTP: from a request to a :class:`Call`, from an :class:`Answer` or an error to a response.

Rules of this file:

* Every error becomes an answer here and nowhere else; :data:`STATUS` is a total map from ``reason`` to status.
* Nothing of a request is trusted before it has passed, in this order: route and method, origin, identity, who may
  call, content type, JSON, schema.
* Metrics see the proper status and the route's template, never the raw path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import Any

from tornado.web import stream_request_body

from users_server.core.apps import App
from users_server.core.messages import ANONYMOUS, JSON, Identity
from users_server.errors import (
    InvalidPayload,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    UsersServerError,
)
from users_server.schemas.json_text import encode
from users_server.services.app_key import app_key_of
from users_server.services.audit import Action
from users_server.services.credentials import SESSION_COOKIE, Credentials
from users_server.web.body import DISCARD_FACTOR, Body, check_content_type, decode, validate, with_text_keys
from users_server.web.context import HttpContext
from users_server.web.cors import cors_headers, is_foreign, preflight_headers
from users_server.web.metrics import UNMATCHED
from users_server.web.refusals import INTERNAL_ERROR, MethodNotAllowed, log_unexpected, retry_headers
from users_server.web.route import Answer, BareAnswer, Call, Redirect, Route, SessionCookie, Who
from users_server.web.streaming import BodyStream, FileAnswer, StreamingHandler

STATUS: Mapping[str, int] = {
    "internal": 500,
    "bad_request": 400,
    "invalid_json": 400,
    "not_an_object": 400,
    "unknown_event_type": 422,
    "validation_failed": 422,
    "invalid_value": 422,
    "unauthenticated": 401,
    "not_permitted": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "disconnect": 400,
    "origin_refused": 403,
    "identity_refused": 401,
    "session_expired": 401,
    "shutdown": 503,
    "slow_consumer": 408,
    "stale": 408,
    "server_full": 503,
    "app_gone": 404,
    "disconnected_by_app": 403,
    "policy": 429,
    "unavailable": 503,
    "call_failed": 503,
    "store_unavailable": 503,
    "broker_unavailable": 503,
    "overloaded": 503,
    "config": 500,
    "invalid_pattern": 500,
    "startup": 500,
}
"""From the ``reason`` of every error there is to the status of its answer."""


@stream_request_body
class ResourceHandler(StreamingHandler):
    """
    Everything at one path: finds the row for the method, lets the request in or not, and writes what comes out.

    Initialised with the rows of the path by method; the second of each pair are parameters that the path itself fixes.
    """

    def initialize(self, context: HttpContext, routes: Mapping[str, tuple[Route, Mapping[str, str]]]) -> None:
        self._context = context
        self._routes = routes
        self._route: Route | None = None
        self._body = Body(context.http.max_body_bytes)
        self._proper_status = 200

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Nothing here may be stored, so nothing is compared either."""

    def prepare(self) -> None:
        row = self._routes.get(self.request.method or "")
        if row is not None and row[0].takes_stream:
            self._prepare_stream(*row)
            return
        self.request.connection.set_max_body_size(self._body.limit * DISCARD_FACTOR)  # type: ignore[union-attr]
        if self._body.is_hopeless(self.request.headers.get("Content-Length")):
            self._refuse(self._body.refusal())

    def _prepare_stream(self, route: Route, fixed: Mapping[str, str]) -> None:
        self._route = route
        settings = self._context.content.settings
        self._body = Body(settings.max_request_bytes)
        if self._body.is_hopeless(self.request.headers.get("Content-Length")):
            self._refuse(self._body.refusal())
            return
        stream = BodyStream(settings.max_request_bytes, settings.upload_idle_seconds)
        path = {**self.path_kwargs, **fixed}
        self._begin_stream(stream, lambda: self._answer(route, path), timeout_seconds=settings.upload_timeout_seconds)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._stream is not None:
            return self._stream.put(chunk)
        self._body.add(chunk)
        return None

    async def _respond(self, **path: str) -> None:
        try:
            self._route, fixed = self._find_route()
            answer = await (self._streamed() if self._stream else self._answer(self._route, {**path, **fixed}))
            if isinstance(answer, FileAnswer):
                self._set_cors_headers()
                self._proper_status = answer.status
                await self._send_file(answer, idle_seconds=self._context.http.idle_timeout_seconds)
                return
        except UsersServerError as error:
            if STATUS[error.reason] >= 500 and not error.is_temporary:
                raise
            self._refuse(error)
        else:
            self._send(self._route, answer)

    get = post = put = patch = delete = head = _respond

    async def options(self, **_path: str) -> None:
        """A preflight of an approved page, or the question which methods there are."""
        try:
            allowed = self._allowed_methods()
        except NotFound as error:
            self._refuse(error)
            return
        self._set_headers(cors_headers(self.request.headers.get("Origin"), self._context.origins))
        if self._headers.get("Access-Control-Allow-Origin"):
            self._set_headers(preflight_headers(allowed))
        self.set_header("Allow", ", ".join(allowed))
        self._set_proper_status(204)
        await self.finish()

    async def _answer(self, route: Route, path: Mapping[str, str]) -> Answer | BareAnswer | Redirect | FileAnswer:
        identity, app = (
            (ANONYMOUS, None) if route.is_operation or route.is_anonymous else await self._let_in(route, path)
        )
        address, user_agent = self.request.remote_ip or "", self.request.headers.get("User-Agent", "")
        call = Call(
            context=self._context,
            identity=replace(identity, address=address, user_agent=user_agent),
            path=path,
            query=validate(route.query, self._query()),
            body=self._read_body(route),
            address=address,
            user_agent=user_agent,
            accept=self.request.headers.get("Accept", ""),
            origin=self.request.headers.get("Origin", ""),
            app=app,
            method=self.request.method or "",
            version=self.request.version,
            headers=self.request.headers,
            body_stream=self._stream,
        )
        answer = await route.handler(call)
        if route.action is not None:
            self._record(route.action, call)
        return answer

    def _record(self, action: Action, call: Call) -> None:
        """Whom it is about stands in the path, else in the body, else it is about the caller."""
        body = call.body if isinstance(call.body, dict) else {}
        name = call.path.get("user") or body.get("user") or call.identity.username or ""
        details = {key: value for key, value in call.path.items() if key != "user"}
        self._context.safety.audit.record(action, name=name, by=call.identity, details=details)

    def _find_route(self) -> tuple[Route, Mapping[str, str]]:
        allowed = self._allowed_methods()
        method = self.request.method or ""
        if method not in allowed:
            raise MethodNotAllowed
        return self._routes["GET" if method == "HEAD" else method]

    def _allowed_methods(self) -> list[str]:
        if not self._routes:
            raise NotFound("There is nothing at this address")
        methods = {*self._routes, "OPTIONS"}
        if "GET" in methods and not self._routes["GET"][0].is_unsafe:
            methods.add("HEAD")
        return sorted(methods)

    async def _let_in(self, route: Route, path: Mapping[str, str]) -> tuple[Identity, App | None]:
        """Who the caller is and, of a route for ``Who.APP``, the app that he may use."""
        context = self._context
        credentials = Credentials.of_headers(self.request.headers)
        # a GET of a foreign page does harm with the user's cookie only; other methods are refused outright
        is_dangerous = route.is_unsafe and not route.is_link
        may_be_forged = is_dangerous and (route.method != "GET" or credentials.cookie is not None)
        if may_be_forged and is_foreign(self.request.headers, context.origins):
            raise PermissionDenied("Requests from this origin are not allowed")
        app_key = app_key_of(self.request.headers, path["app"]) if route.who is Who.APP else None
        if app_key is not None:
            return ANONYMOUS, await context.apps.admit(path["app"], by=ANONYMOUS, api_key=app_key)
        identity = await context.identities.identify(
            cookie=credentials.cookie, token=credentials.token, api_key=credentials.api_key
        )
        check_caller(Who.ALL if route.is_open_in_webinate and context.is_webinate else route.who, identity)
        await self._keep_cookie_alive(identity, credentials)
        if route.who is not Who.APP:
            return identity, None
        is_operator = context.identities.is_api_key(credentials.api_key)
        return identity, await context.apps.admit(path["app"], by=identity, api_key=None, is_operator=is_operator)

    async def _keep_cookie_alive(self, identity: Identity, credentials: Credentials) -> None:
        """The session's expiry slides with its use, so the end of a persistent cookie in the browser must slide too."""
        if not (identity.session_id and credentials.cookie and self._context.session.persistent):
            return
        if credentials.token is not None:
            return
        session = await self._context.sessions.get(identity.session_id)
        if session is not None and session.is_persistent:
            self._set_session_cookie(SessionCookie(credentials.cookie, is_persistent=True))

    def _query(self) -> dict[str, str]:
        return {name: self.get_query_arguments(name, strip=False)[-1] for name in self.request.query_arguments}

    def _read_body(self, route: Route) -> Any:
        if route.takes_stream:
            return {}
        text = self._body.bytes()
        if text and route.method != "GET":
            check_content_type(self.request.headers.get("Content-Type"), is_lenient=self._context.is_webinate)
        if route.request is None:
            return {}
        return validate(route.request, decode(text, may_be_list=route.max_items > 0), max_items=route.max_items)

    def _send(self, route: Route, answer: Answer | BareAnswer | Redirect) -> None:
        if isinstance(answer, Redirect):
            self._set_proper_status(302)
            self.set_header("Location", answer.location)
            self.set_header("Referrer-Policy", "no-referrer")
            self.finish()
            return
        if isinstance(answer, BareAnswer):
            self._set_headers(answer.headers)
            self._write(200, answer.body, answer.content_type)
            return
        if answer.cookie is not None:
            self._set_session_cookie(answer.cookie)
        message = route.message.format(**answer.words) if answer.message is None else answer.message
        self._write_object(answer.status, {"message": message, "error": answer.status >= 400, **answer.fields})

    def _refuse(self, error: UsersServerError) -> None:
        fields: dict[str, JSON] = {"message": error.message, "error": True}
        if isinstance(error, InvalidPayload):
            fields["errors"] = with_text_keys(error.messages)
        if isinstance(error, Unauthenticated):
            self.set_header("WWW-Authenticate", "Bearer")
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", ", ".join(self._allowed_methods()))
        self._set_headers(retry_headers(error))
        self._write_object(STATUS[error.reason], fields | dict(self._route.failure if self._route else {}))

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        """Tornado's own refusals, and what nobody expected."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED and self._routes:
            self._refuse(MethodNotAllowed())
            return
        message = INTERNAL_ERROR if status_code >= 500 else HTTPStatus(status_code).phrase
        failure = self._route.failure if self._route else {}
        self._write_object(status_code, {"message": message, "error": True, **failure})

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        log_unexpected(self.request.method, self._template, value)

    def on_finish(self) -> None:
        self._context.metrics.observe_request(
            self.request.method or "", self._template, self._proper_status, self.request.request_time()
        )

    @property
    def _template(self) -> str:
        if self._route is not None:
            return self._route.path
        return next((route.path for route, _ in self._routes.values()), UNMATCHED)

    def _write_object(self, status: int, value: dict[str, JSON]) -> None:
        self._write(status, encode(value), "application/json")

    def _write(self, status: int, body: bytes, content_type: str) -> None:
        self._set_proper_status(status)
        if self._context.is_webinate and not (self._route and (self._route.is_operation or self._route.keeps_status)):
            self.set_status(200)
        if not (self._route and self._route.is_operation):
            self._set_cors_headers()
        self.set_header("Content-Type", content_type)
        self.finish(body)

    def _set_cors_headers(self) -> None:
        self._set_headers(cors_headers(self.request.headers.get("Origin"), self._context.origins))

    def _set_proper_status(self, status: int) -> None:
        self._proper_status = status
        self.set_status(status)

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    def _set_session_cookie(self, cookie: SessionCookie) -> None:
        settings = self._context.session
        is_persistent = cookie.is_persistent and settings.persistent
        self.set_cookie(
            SESSION_COOKIE,
            cookie.value,
            domain=settings.domain or None,
            path=settings.path,
            expires=None if cookie.value else 1,
            max_age=settings.lifetime_seconds if is_persistent else None,
            httponly=True,
            secure=self._context.is_tls or self.request.protocol == "https",
            samesite="Lax",
        )


class NotFoundHandler(ResourceHandler):
    """For every path that no route has."""

    def initialize(self, context: HttpContext) -> None:  # type: ignore[override]
        super().initialize(context, {})


def check_caller(who: Who, identity: Identity) -> None:
    """
    Let ``identity`` pass if the route is for him.

    Raises:
        Unauthenticated: If nobody is logged in and somebody must be.
        PermissionDenied: If he is somebody, but not one of those.
    """
    if who is Who.ALL:
        return
    if not (identity.is_authenticated or identity.is_trusted):
        raise Unauthenticated
    is_allowed = {
        Who.LOGGED_IN: identity.is_authenticated,
        Who.OWNER: True,
        Who.ADMIN: identity.is_admin,
        Who.TRUSTED: identity.is_trusted,
        Who.OPERATOR: identity.is_trusted or identity.is_admin,
        Who.APP: True,
    }
    if not is_allowed[who]:
        raise PermissionDenied
