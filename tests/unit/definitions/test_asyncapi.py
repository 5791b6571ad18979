"""``asyncapi.json`` is valid, and has every event and every way in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from users_server.protocols.users.errors import CLOSE_CODES
from users_server.protocols.users.events import EVENTS


@pytest.fixture
def asyncapi(committed: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return committed("asyncapi.json")


@pytest.mark.node
def test_it_is_valid(asyncapi: dict[str, Any], node_packages: Path) -> None:
    specification = node_packages / "@asyncapi" / "specs" / "schemas" / f"{asyncapi['asyncapi']}.json"
    validator = Draft7Validator(json.loads(specification.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(asyncapi)] == []
    assert not validator.is_valid({**asyncapi, "operations": {"broken": {"action": "shout"}}}), "it checks at all"


def test_every_event_has_its_operations(asyncapi: dict[str, Any]) -> None:
    operations = asyncapi["operations"]
    expected = {f"send{event.name}Event" for event in EVENTS}
    expected |= {f"receive{event.name}Input" for event in EVENTS if event.name != "Error"}
    assert set(operations) == expected
    for name, operation in operations.items():
        action, message = ("send", name[4:]) if name.startswith("send") else ("receive", name[7:])
        assert operation["action"] == action
        assert operation["messages"] == [{"$ref": f"#/channels/users/messages/{message}"}]
        is_emitted = action == "receive" and message not in ("EchoInput", "MetaRequestInput")
        assert ("security" in operation) == is_emitted


def test_every_reference_leads_somewhere(asyncapi: dict[str, Any]) -> None:
    def check(value: Any) -> int:
        if isinstance(value, list):
            return sum(check(inner) for inner in value)
        if not isinstance(value, dict):
            return 0
        if "$ref" in value:
            target: Any = asyncapi
            for step in value["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            assert len(value) == 1, "draft 7, which AsyncAPI's schemas are, sees nothing beside $ref"
            return 1
        return sum(check(inner) for inner in value.values())

    assert check(asyncapi) > 100


def test_the_payloads_are_those_of_the_json_schema(
    asyncapi: dict[str, Any], committed: Callable[[str], dict[str, Any]]
) -> None:
    published = committed("events.schema.json")["$defs"]
    for name, schema in asyncapi["components"]["schemas"].items():
        assert json.dumps(schema).replace("#/components/schemas/", "#/$defs/") == json.dumps(published[name])
    for name, message in asyncapi["components"]["messages"].items():
        assert message["payload"] == {"$ref": f"#/components/schemas/{name}"}


def test_the_ways_to_say_who_one_is(asyncapi: dict[str, Any]) -> None:
    schemes = {
        (scheme["type"], scheme.get("in"), scheme.get("name"))
        for scheme in asyncapi["components"]["securitySchemes"].values()
    }
    assert schemes == {
        ("httpApiKey", "cookie", "SID"),
        ("httpApiKey", "query", "token"),
        ("httpApiKey", "header", "users-api-key"),
        ("http", None, None),
    }


def test_every_close_code_is_told(asyncapi: dict[str, Any]) -> None:
    description = asyncapi["channels"]["users"]["description"]
    for code in CLOSE_CODES.values():
        assert f"| {code} | " in description
