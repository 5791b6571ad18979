"""The HTTP APIs of protocols as paths of OpenAPI, from the tables of their folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from users_server.core.messages import JSON
from users_server.definitions.files import camel_case
from users_server.definitions.shapes import JsonSchema, Shapes
from users_server.protocols.base import ProtocolFolder
from users_server.protocols.http import HTTPRoute, HTTPTable
from users_server.web.body import JSON_TYPE

PROTOCOL = "x-protocol"
"""In an operation: the protocol that answers it, if the configuration turns that on."""

_RETRIED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def http_tables(folders: Iterable[ProtocolFolder]) -> list[HTTPTable]:
    """Those that there are."""
    return [folder.http for folder in folders if folder.http is not None]


def protocol_paths(tables: Iterable[HTTPTable], server: JSON, shapes: Shapes) -> dict[str, JSON]:
    """Every path of ``tables``; ``server`` is where they are."""
    paths: dict[str, dict[str, JSON]] = {}
    for table in tables:
        for route in table.routes:
            item = paths.setdefault(template_of(route.path), {"servers": [server]})
            item[route.method.lower()] = _operation(table, route, shapes)
    return dict(paths)


def template_of(path: str) -> str:
    """The path with its parameters as OpenAPI has them: ``/users/{user}``."""
    segments = path.split("/")
    return "/".join(f"{{{segment[1:]}}}" if segment.startswith(":") else segment for segment in segments)


def _operation(table: HTTPTable, route: HTTPRoute, shapes: Shapes) -> dict[str, JSON]:
    operation: dict[str, JSON] = {
        "operationId": camel_case(getattr(route.handler, "__name__", "")),
        "tags": [table.tag],
        "summary": route.summary,
    }
    if route.description:
        operation["description"] = route.description
    if parameters := _parameters(table, route, shapes):
        operation["parameters"] = parameters
    if route.request is not None:
        content: JSON = {JSON_TYPE: {"schema": shapes.reference(route.request)}}
        operation["requestBody"] = {"required": True, "content": content}
    done: JSON = {JSON_TYPE: {"schema": shapes.reference(route.answer)}}
    responses: dict[str, JSON] = {str(route.status): {"description": route.summary, "content": done}}
    refusal = shapes.reference(table.refusal)
    responses |= {str(status): _refusal(status, text, refusal) for status, text in route.refusals.items()}
    operation["responses"] = dict(sorted(responses.items()))
    operation["security"] = [{table.security: []}]
    operation[PROTOCOL] = table.tag
    return operation


def _parameters(table: HTTPTable, route: HTTPRoute, shapes: Shapes) -> list[dict[str, JSON]]:
    in_path = [_parameter("path", name, table.parameters.get(name, ""), is_required=True) for name in route.parameters]
    in_query = [] if route.query is None else shapes.parameters(route.query)
    return [*in_path, *in_query, *_headers(route.headers)]


def _headers(headers: Mapping[str, str]) -> list[dict[str, JSON]]:
    return [_parameter("header", name, text, is_required=False) for name, text in headers.items()]


def _parameter(place: str, name: str, description: str, *, is_required: bool) -> dict[str, JSON]:
    return {
        "name": name,
        "in": place,
        "description": description,
        "required": is_required,
        "schema": {"type": "string"},
    }


def _refusal(status: int, text: str, schema: JsonSchema) -> dict[str, JSON]:
    response: dict[str, JSON] = {"description": text}
    if status in _RETRIED:
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return {**response, "content": {JSON_TYPE: {"schema": schema}}}
