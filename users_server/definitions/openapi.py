"""``openapi.json``: the HTTP API as OpenAPI 3.1, from the route table and the tables of protocols."""

from __future__ import annotations

from users_server import __version__
from users_server.config import Config
from users_server.config.protocols import PROTOCOLS
from users_server.core.messages import JSON
from users_server.definitions import security
from users_server.definitions.files import NOTICE, camel_case, to_json
from users_server.definitions.protocol_openapi import http_tables, protocol_paths, template_of
from users_server.definitions.refusals import common_responses, refusals, special_schemas
from users_server.definitions.shapes import SchemaClass, Shapes
from users_server.schemas.operation import ReadyAnswer
from users_server.web.body import JSON_TYPE
from users_server.web.route import ANY_TYPE, Route, Who
from users_server.web.routes import ROUTES

_ABOUT = f"""\
Accounts, sessions, meta data and events over HTTP. Bodies and answers are JSON.

With `compatibility: "webinate"` in the configuration the status of every JSON answer is 200, and the field `error` \
tells a refusal; the statuses here are those of the default.

{NOTICE}"""

_CALLERS = {
    Who.ALL: "For everybody.",
    Who.LOGGED_IN: "For who is logged in.",
    Who.OWNER: "For the user himself and for admins.",
    Who.ADMIN: "For admins.",
    Who.TRUSTED: "For internal services.",
    Who.OPERATOR: "For admins and internal services.",
    Who.APP: "For who has the app's API key, for its owner, for admins and for internal services with their API key.",
}
_OPEN_IN_WEBINATE = 'With `compatibility: "webinate"` for everybody.'

_PARAMETERS = {
    "user": "A username or an email address, without case",
    "id": "A public id, as the list has it",
    "name": "The name of one value",
    "app": "An app's id",
    "channel": "A channel's name",
    "bucket": "A bucket's name, or its identifier",
    "bucketId": "A bucket's `_id`",
    "names": "Names of buckets, separated by commas",
    "ids": "Identifiers of files, separated by commas",
    "parentFile": "A file's identifier",
    "value": "A whole number",
}

FORM_TYPE = "multipart/form-data"
_FORM: dict[str, JSON] = {
    "type": "object",
    "description": "Any number of files, in fields of any name",
    "properties": {"meta": {"description": "JSON: the meta of every file of the request"}},
    "additionalProperties": {},
}

_FAILED_ANSWERS: dict[SchemaClass, int] = {ReadyAnswer: 503}
"""Answers that also tell that something is not well, and the status then."""


def openapi() -> bytes:
    """The file."""
    shapes = Shapes("#/components/schemas/")
    tables = http_tables(PROTOCOLS)
    paths = _paths(shapes) | protocol_paths(tables, _server(has_prefix=False), shapes)
    tags = dict.fromkeys([*(route.tag for route in ROUTES), *(table.tag for table in tables)])
    responses = common_responses(shapes)
    return to_json(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Users HTTP API",
                "version": __version__,
                "description": _ABOUT,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [_server(has_prefix=True)],
            "tags": [{"name": tag} for tag in tags],
            "paths": paths,
            "components": {
                "schemas": dict(sorted({**shapes.collected, **special_schemas(ROUTES, shapes)}.items())),
                "responses": responses,
                "securitySchemes": security.openapi_schemes(),
            },
        }
    )


def _server(*, has_prefix: bool) -> dict[str, JSON]:
    config = Config()
    host = {"host": {"default": f"{config.host}:{config.http.port}", "description": "Host and `http.port`"}}
    if not has_prefix:
        return {"url": "http://{host}", "variables": host}
    prefix = {"default": config.http.api_prefix, "description": "`http.apiPrefix` of the configuration"}
    return {"url": "http://{host}{apiPrefix}", "variables": {**host, "apiPrefix": prefix}}


def _paths(shapes: Shapes) -> dict[str, JSON]:
    paths: dict[str, dict[str, JSON]] = {}
    for route in ROUTES:
        item = paths.setdefault(template(route), {})
        if route.is_operation:
            item["servers"] = [_server(has_prefix=False)]
        item[route.method.lower()] = _operation(route, shapes)
    return paths


def template(route: Route) -> str:
    """The path with its parameters as OpenAPI has them: ``/users/{user}``."""
    return template_of(route.path)


def operation_id(route: Route) -> str:
    """The handler's name or, where a handler has several routes, method and path."""
    if [other.handler for other in ROUTES].count(route.handler) == 1:
        return camel_case(getattr(route.handler, "__name__", ""))
    path = route.path.replace("/:", "/by_").replace("-", "_").replace("/", "_")
    return camel_case(route.method.lower() + path)


def _operation(route: Route, shapes: Shapes) -> dict[str, JSON]:
    operation: dict[str, JSON] = {
        "operationId": operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "description": _CALLERS[route.who] + (f" {_OPEN_IN_WEBINATE}" if route.is_open_in_webinate else ""),
    }
    if route.method == "GET" and route.is_unsafe and not route.is_link:
        operation["deprecated"] = True
    parameters = [_path_parameter(parameter) for parameter in route.parameters]
    if route.query is not None:
        parameters += shapes.parameters(route.query)
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        operation["requestBody"] = _request_body(route, route.request, shapes)
    if route.takes_stream:
        operation["requestBody"] = {"required": True, "content": {FORM_TYPE: {"schema": _FORM}}}
    operation["responses"] = dict(sorted({**_success(route, shapes), **refusals(route)}.items()))
    operation["security"] = [] if route.is_operation or route.is_anonymous else security.openapi_requirements(route.who)
    return operation


def _path_parameter(name: str) -> dict[str, JSON]:
    description = {"description": _PARAMETERS[name]} if name in _PARAMETERS else {}
    return {"name": name, "in": "path", **description, "required": True, "schema": {"type": "string"}}


def _request_body(route: Route, request: SchemaClass, shapes: Shapes) -> dict[str, JSON]:
    schema = shapes.reference(request)
    if route.max_items:
        several = {"type": "array", "items": schema, "minItems": 1, "maxItems": route.max_items}
        schema = {"oneOf": [schema, several]}
    is_required = any(field.required for field in request().fields.values())
    return {"required": is_required, "content": {JSON_TYPE: {"schema": schema}}}


def _success(route: Route, shapes: Shapes) -> dict[str, JSON]:
    if route.content_type == ANY_TYPE:
        anything: dict[str, JSON] = {ANY_TYPE: {"schema": {}}}
        return {
            "200": {"description": "The whole file, in its own type", "content": anything},
            "206": {"description": "The part that `Range` asked for", "content": anything},
            "304": {"description": "The file is the one that the caller has"},
            "416": {"description": "The file has no such part"},
        }
    schema = {} if route.answer is None else shapes.reference(route.answer)
    if route.content_type != JSON_TYPE:
        schema = {"type": "string"}
    content = {route.content_type: {"schema": schema}}
    answers: dict[str, JSON] = {"200": {"description": route.message or route.summary, "content": content}}
    if route.is_link:
        answers["302"] = {"description": "Leads to `accountRedirectURL`, whether it succeeded or not, if there is one"}
    if route.answer in _FAILED_ANSWERS:
        failed = {"description": "It is not well; `error` is true", "content": content}
        answers[str(_FAILED_ANSWERS[route.answer])] = failed
    return answers
