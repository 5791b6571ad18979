"""``openapi.json`` is valid, and has every route as the table has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.unit.definitions.conftest import Checker
from tests.unit.definitions.values import loads, objects
from users_server.config.protocols import PROTOCOLS
from users_server.definitions.protocol_openapi import http_tables, template_of
from users_server.protocols.http import HTTPRoute, HTTPTable
from users_server.web.http import STATUS
from users_server.web.route import ANY_TYPE, Route, Who
from users_server.web.routes import ROUTES

OF_PROTOCOLS = [(table, route) for table in http_tables(PROTOCOLS) for route in table.routes]


@pytest.fixture
def document(committed: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return committed("openapi.json")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                yield method.upper(), path, operation


def operation_of(document: dict[str, Any], route: Route) -> dict[str, Any]:
    path = re.sub(r":([A-Za-z]+)", r"{\1}", route.path)
    operation = document["paths"][path][route.method.lower()]
    assert isinstance(operation, dict)
    return operation


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_route_occurs_and_nothing_else(document: dict[str, Any]) -> None:
    assert len(list(operations(document))) == len(ROUTES) + len(OF_PROTOCOLS)
    for route in ROUTES:
        operation = operation_of(document, route)
        assert operation["summary"] == route.summary
        assert operation["tags"] == [route.tag]
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_is_told_as_the_table_has_it(document: dict[str, Any], route: Route) -> None:
    operation = operation_of(document, route)
    parameters = {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])}
    assert {name for place, name in parameters if place == "path"} == set(route.parameters)
    queried = set(route.query().fields) if route.query else set()
    assert {name for place, name in parameters if place == "query"} == queried
    assert ("requestBody" in operation) == (route.request is not None or route.takes_stream)
    answer = operation["responses"]["200"]["content"][route.content_type]["schema"]
    if route.answer is not None:
        assert answer == {"$ref": f"#/components/schemas/{route.answer.__name__}"}
    statuses = {int(status) for status in operation["responses"]}
    assert statuses <= {
        200,
        *([302] if route.is_link else []),
        *([206, 304, 416] if route.content_type == ANY_TYPE else []),
        *STATUS.values(),
    }
    assert route.is_operation or {503, *([] if route.is_anonymous else [401])} <= statuses
    assert (
        operation["security"]
        == {
            Who.ALL: [] if route.is_operation or route.is_anonymous else [{}, {"cookie": []}, {"bearer": []}],
            Who.LOGGED_IN: [{"cookie": []}, {"bearer": []}],
            Who.OWNER: [{"cookie": []}, {"bearer": []}, {"apiKey": []}],
            Who.ADMIN: [{"cookie": []}, {"bearer": []}],
            Who.TRUSTED: [{"apiKey": []}, {"bearer": ["events:emit"]}],
            Who.OPERATOR: [{"cookie": []}, {"bearer": []}, {"apiKey": []}],
            Who.APP: [{"appApiKey": []}, {"appBasic": []}, {"cookie": []}, {"bearer": []}, {"apiKey": []}],
        }[route.who]
    )


@pytest.mark.parametrize(("table", "route"), OF_PROTOCOLS, ids=lambda row: getattr(row, "path", ""))
def test_a_route_of_a_protocol_is_told_as_its_table_has_it(
    document: dict[str, Any], table: HTTPTable, route: HTTPRoute
) -> None:
    item = document["paths"][template_of(route.path)]
    operation = item[route.method.lower()]
    assert [server["url"] for server in item["servers"]] == ["http://{host}"]
    assert (operation["summary"], operation["tags"], operation["x-protocol"]) == (route.summary, [table.tag], table.tag)
    parameters = {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])}
    assert {name for place, name in parameters if place == "path"} == set(route.parameters)
    assert {name for place, name in parameters if place == "query"} == set(route.query().fields if route.query else ())
    assert ("requestBody" in operation) == (route.request is not None)
    assert {int(status) for status in operation["responses"]} == {route.status, *route.refusals}
    assert {400, 401, 500, 503} <= set(route.refusals)
    answer = operation["responses"][str(route.status)]["content"]["application/json"]["schema"]
    assert answer == {"$ref": f"#/components/schemas/{route.answer.__name__}"}
    for status in route.refusals:
        refusal = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        assert refusal == {"$ref": f"#/components/schemas/{table.refusal.__name__}"}
    assert operation["security"] == [{table.security: []}]
    assert table.security in document["components"]["securitySchemes"]


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, parameter["name"])


def test_a_get_that_changes_something_is_discouraged(document: dict[str, Any]) -> None:
    discouraged = [(method, path) for method, path, operation in operations(document) if operation.get("deprecated")]
    assert discouraged == [
        ("GET", "/logout"),
        ("GET", "/users/{user}/resend-activation"),
        ("GET", "/users/{user}/request-password-reset"),
    ]


def test_refusals_of_a_route_have_the_fields_that_its_clients_look_at(openapi: Checker) -> None:
    refusal = openapi.validator("AuthenticationRefusal")
    assert refusal.is_valid({"message": "No", "error": True, "authenticated": False})
    assert not refusal.is_valid({"message": "No", "error": True, "authenticated": True})
    assert not refusal.is_valid({"message": "No", "error": True})


def test_what_the_checks_of_services_ask_for_is_said(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["EmailChangeInput"]["required"] == ["email"], "admins need no password"
    assert schemas["PublishInput"]["oneOf"] == [{"required": ["channel"]}, {"required": ["channels"]}]
    for method, path, operation in operations(document):
        needed = {"413"} if "x-protocol" in operation else {"413", "415"}
        assert method == "GET" or needed <= set(operation["responses"]), path


def test_several_events_may_be_sent_at_once(document: dict[str, Any]) -> None:
    body = document["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert [alternative.get("maxItems") for alternative in body["oneOf"]] == [None, 100]


REQUESTS = {
    route.request.__name__: route.request
    for route in (*ROUTES, *(route for _, route in OF_PROTOCOLS))
    if route.request is not None
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_body_that_is_valid_by_the_document_is_taken(openapi: Checker, name: str) -> None:
    validator = openapi.validator(name)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(objects(REQUESTS[name], is_valid=True) | objects(REQUESTS[name], is_valid=False))
    def is_taken(body: dict[str, Any]) -> None:
        if validator.is_valid(body):
            assert loads(REQUESTS[name], body)

    is_taken()
