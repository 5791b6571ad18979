"""The answers with which a route refuses, from what can go wrong on the way to its handler and in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from users_server.core.messages import JSON
from users_server.definitions.shapes import JsonSchema, Shapes
from users_server.errors import (
    BackendError,
    Conflict,
    InvalidPayload,
    LimitExceeded,
    MalformedFrame,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    Unauthenticated,
    UsersServerError,
)
from users_server.schemas.answers import RefusalAnswer
from users_server.web.body import JSON_TYPE, UnsupportedMediaType
from users_server.web.http import STATUS
from users_server.web.rest import (
    apps,
    authentication,
    buckets,
    channels,
    emails,
    files,
    meta,
    passwords,
    registration,
    tokens,
    users,
)
from users_server.web.route import Handler, Route, Who

ErrorClass = type[UsersServerError]

_DESCRIPTIONS: Mapping[ErrorClass, str] = {
    MalformedFrame: "The body is not JSON of the right kind, or no form where one must be",
    Unauthenticated: "Nobody is logged in, or the token or the password is wrong",
    PermissionDenied: "The caller may not do this, or a page of a foreign origin asked for it",
    NotFound: "There is no such thing",
    Conflict: "It exists already, or has been changed already",
    PayloadTooLarge: "The body, or what is to be stored, is too large",
    UnsupportedMediaType: "The body does not say that it is JSON, or a form",
    InvalidPayload: "A value is wrong; `errors` has the messages for each field, where the form is at fault",
    LimitExceeded: "Too many attempts, where `Retry-After` says when to come back; or no API call is left",
    BackendError: "A backend is away, or the server is busy; `Retry-After` says when to come back",
    UsersServerError: "Something went wrong in the server; it has been logged",
}

_HANDLERS: Mapping[Handler, tuple[ErrorClass, ...]] = {
    authentication.login: (PermissionDenied, LimitExceeded),
    tokens.create_token: (PermissionDenied, NotFound),
    users.create_user: (Conflict,),
    users.approve_activation: (Conflict,),
    registration.register: (Conflict, PayloadTooLarge, LimitExceeded),
    registration.resend_activation: (InvalidPayload, NotFound, Conflict, LimitExceeded),
    registration.activate_account: (NotFound, Conflict),
    passwords.request_password_reset: (InvalidPayload, NotFound, LimitExceeded),
    passwords.reset_password: (NotFound,),
    passwords.change_password: (PermissionDenied, Conflict, LimitExceeded),
    emails.change_email: (PermissionDenied, NotFound, Conflict, LimitExceeded),
    emails.confirm_email: (NotFound, Conflict),
    emails.message_webmaster: (LimitExceeded,),
    meta.set_meta: (Conflict,),
    meta.set_meta_property: (Conflict,),
    apps.create_app: (NotFound, Conflict, LimitExceeded),
    apps.change_app: (Conflict,),
    apps.rotate_app_keys: (Conflict,),
    apps.retire_app_keys: (Conflict,),
    channels.publish_events: (LimitExceeded,),
    buckets.create_bucket: (Conflict, LimitExceeded),
    files.upload: (MalformedFrame, PayloadTooLarge, UnsupportedMediaType, LimitExceeded),
    files.download: (PermissionDenied, LimitExceeded),
    files.rename_file: (LimitExceeded,),
    files.make_public: (LimitExceeded,),
    files.make_private: (LimitExceeded,),
}
"""What a handler refuses for a reason of its own, which no other column of the route table tells."""


def refusals(route: Route) -> dict[str, JSON]:
    """Status to answer, for a route; answers that all routes have in common are referred to."""
    errors = {*_on_the_way(route), *_HANDLERS.get(route.handler, ())}
    return {str(STATUS[error.reason]): _refusal(error, route) for error in errors}


def common_responses(shapes: Shapes) -> dict[str, JSON]:
    """What :func:`refusals` refers to as a response."""
    schema = shapes.reference(RefusalAnswer)
    return {error.__name__: _response(error, schema) for error in sorted(_DESCRIPTIONS, key=lambda e: e.__name__)}


def special_schemas(routes: Iterable[Route], shapes: Shapes) -> dict[str, JsonSchema]:
    """What :func:`refusals` refers to as a schema: those of routes whose refusals have more fields than others."""
    schemas = {}
    for route in routes:
        if route.failure:
            more = {
                "type": "object",
                "properties": {name: {"const": value} for name, value in route.failure.items()},
                "required": list(route.failure),
            }
            schemas[_special_name(route)] = {"allOf": [shapes.reference(RefusalAnswer), more]}
    return schemas


def _on_the_way(route: Route) -> Iterator[ErrorClass]:
    yield UsersServerError
    if route.is_operation:
        return
    yield BackendError
    if not route.is_anonymous:
        yield Unauthenticated
    if route.is_unsafe or route.who not in (Who.ALL, Who.LOGGED_IN):
        yield PermissionDenied
    if route.parameters:
        yield from (NotFound, InvalidPayload)
    if route.query is not None:
        yield InvalidPayload
    if route.method != "GET":
        yield from (PayloadTooLarge, UnsupportedMediaType)  # a body that no one asked for is looked at, too
    if route.request is not None:
        yield from (MalformedFrame, InvalidPayload)


def _refusal(error: ErrorClass, route: Route) -> dict[str, JSON]:
    if not route.failure:
        return {"$ref": f"#/components/responses/{error.__name__}"}
    return _response(error, {"$ref": f"#/components/schemas/{_special_name(route)}"})


def _special_name(route: Route) -> str:
    """``AuthenticationRefusal`` where a success is an ``AuthenticationAnswer``."""
    answer = RefusalAnswer if route.answer is None else route.answer
    return answer.__name__.removesuffix("Answer") + "Refusal"


def _response(error: ErrorClass, schema: JSON) -> dict[str, JSON]:
    response: dict[str, JSON] = {"description": _DESCRIPTIONS[error]}
    if issubclass(error, LimitExceeded | BackendError):
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}
    if issubclass(error, Unauthenticated):
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return {**response, "content": {JSON_TYPE: {"schema": schema}}}
