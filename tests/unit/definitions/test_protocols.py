"""The definitions of the protocols beside the Users Socket API: each has its files, which say what its table says."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator, Draft202012Validator

from tests.unit.definitions.conftest import ROOT, Checker, read
from tests.unit.definitions.values import loads, objects
from users_server.config.protocols import PROTOCOLS
from users_server.definitions.protocol_asyncapi import draft_7
from users_server.definitions.protocol_messages import definitions
from users_server.protocols.base import ProtocolFolder
from users_server.protocols.messages import Message, message_name

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
SENT = [(folder, message) for folder in PROTOCOLS for message in folder.messages.client]


@pytest.fixture(params=PROTOCOLS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> ProtocolFolder:
    found: ProtocolFolder = request.param
    return found


@pytest.fixture
def schema(folder: ProtocolFolder) -> dict[str, Any]:
    return read(f"{folder.name}.schema.json")


@pytest.fixture
def asyncapi(folder: ProtocolFolder) -> dict[str, Any]:
    return read(f"{folder.name}.asyncapi.json")


def messages(folder: ProtocolFolder) -> list[Message]:
    return [*folder.messages.server, *folder.messages.client]


def names(union: dict[str, Any]) -> list[str]:
    return [reference["$ref"].removeprefix("#/$defs/") for reference in union["oneOf"]]


def references(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def find(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


def test_every_message_is_in_the_schema_and_in_its_union(folder: ProtocolFolder, schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    defined, table = schema["$defs"], folder.messages
    told_apart = [message.name for message in table.server if message.type is not None]
    assert names(defined["ServerMessage"]) == told_apart
    whole = defined.get("AnyServerMessage", defined["ServerMessage"])
    assert names(whole) == [message.name for message in table.server]
    assert names(defined.get("ClientMessage", {"oneOf": []})) == [message.name for message in table.client]
    for message in messages(folder):
        assert defined[message.name]["description"].startswith(message.help)
        if message.type is not None:
            assert defined[message.name]["properties"][table.type_field]["const"] == message.type


def test_no_message_is_taken_for_another(folder: ProtocolFolder, schema: dict[str, Any]) -> None:
    table, defined = folder.messages, schema["$defs"]
    for message in table.server:
        kind = defined[message.name]["properties"][table.type_field]
        accepting = [
            line.type or ""
            for line in table.server
            if Draft202012Validator(kind).is_valid("another word" if line.type is None else line.type)
        ]
        assert accepting == [message.type or ""]


def test_the_document_is_valid(asyncapi: dict[str, Any], node_packages: Path) -> None:
    specification = node_packages / "@asyncapi" / "specs" / "schemas" / f"{asyncapi['asyncapi']}.json"
    validator = Draft7Validator(json.loads(specification.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(asyncapi)] == []


def test_every_reference_leads_somewhere(schema: dict[str, Any], asyncapi: dict[str, Any]) -> None:
    for document in (schema, asyncapi):
        found = list(references(document))
        assert found
        for reference in found:
            assert find(document, reference["$ref"])
    assert all(len(reference) == 1 for reference in references(asyncapi)), "draft 7 sees nothing beside $ref"


def test_the_payloads_are_those_of_the_schema(schema: dict[str, Any], asyncapi: dict[str, Any]) -> None:
    for name, shape in asyncapi["components"]["schemas"].items():
        written = json.dumps(shape).replace("#/components/schemas/", "#/$defs/")
        assert json.loads(written) == draft_7(schema["$defs"][name])
    for name, message in asyncapi["components"]["messages"].items():
        assert message["payload"] == {"$ref": f"#/components/schemas/{name}"}


def test_every_path_has_every_message(folder: ProtocolFolder, asyncapi: dict[str, Any]) -> None:
    points = folder.mount_points(folder.section.settings())
    addresses = {re.sub(r":(\w+)", r"{\1}", point.path): point for point in points}
    assert {channel["address"] for channel in asyncapi["channels"].values()} == set(addresses)
    for name, channel in asyncapi["channels"].items():
        assert set(channel["messages"]) == {message.name for message in messages(folder)}
        assert set(channel.get("parameters", ())) == set(re.findall(r"{(\w+)}", channel["address"]))
        operations = [
            (operation["action"], operation["messages"][0]["$ref"].rpartition("/")[2], "reply" in operation)
            for operation in asyncapi["operations"].values()
            if operation["channel"] == {"$ref": f"#/channels/{name}"}
        ]
        assert operations == [("send", message.name, False) for message in folder.messages.server] + [
            ("receive", message.name, bool(message.answer)) for message in folder.messages.client
        ]


def test_the_ways_in(folder: ProtocolFolder, asyncapi: dict[str, Any]) -> None:
    schemes = asyncapi["components"]["securitySchemes"]
    assert list(schemes) == [credential.name for credential in folder.messages.credentials]
    for server in asyncapi["servers"].values():
        assert server["security"] == [{"$ref": f"#/components/securitySchemes/{name}"} for name in schemes]
    for channel in asyncapi["channels"].values():
        binding = channel["bindings"]["ws"]
        assert set(binding["query"]["properties"]) == set(folder.messages.query().fields)
        told = {
            "query": set(binding["query"]["properties"]),
            "header": set(binding.get("headers", {"properties": {}})["properties"]),
        }
        for scheme in schemes.values():
            place, name = scheme.get("in", "header"), scheme.get("name", "Authorization")
            assert ("Cookie" if place == "cookie" else name) in told["header" if place == "cookie" else place]


def test_every_close_code_is_told(folder: ProtocolFolder, asyncapi: dict[str, Any]) -> None:
    for channel in asyncapi["channels"].values():
        for code in folder.messages.close_codes.values():
            assert f"| {code} | " in channel["description"]


def test_every_message_has_a_type_of_the_protocols_own(folder: ProtocolFolder) -> None:
    text = (ROOT / "definitions" / f"{folder.name}.d.ts").read_text(encoding="utf-8")
    prefix = folder.name.capitalize()
    exported = re.findall(r"^export (interface|type) (\w+)", text, re.MULTILINE)
    assert len(exported) == text.count("export ")
    assert all(name.startswith(prefix) for _, name in exported)
    declared = {name for _, name in exported}
    for message in messages(folder):
        assert prefix + message.name in declared
        if message.type is not None:
            assert f"\n  {message.type}: {prefix}{message.name};\n" in text


def test_what_a_message_is_answered_with_is_in_the_table(folder: ProtocolFolder) -> None:
    received = {message.name for message in folder.messages.server}
    assert {message.answer for message in messages(folder) if message.answer} <= received


@pytest.mark.parametrize(("folder", "message"), SENT, ids=lambda value: value.name)
def test_both_agree_on_whatever_a_client_sends(folder: ProtocolFolder, message: Message) -> None:
    validator = Checker({"$defs": read(f"{folder.name}.schema.json")["$defs"]}, "$defs").validator(message.name)

    @QUICK
    @given(objects(message.schema, is_valid=False) | objects(message.schema, is_valid=True))
    def both_agree(data: dict[str, Any]) -> None:
        assert validator.is_valid(data) == loads(message.schema, data)

    both_agree()


def test_two_messages_of_one_name_are_refused(folder: ProtocolFolder) -> None:
    first = folder.messages.server[0]
    for name in (folder.messages.server[1].name, "ServerMessage"):
        table = dataclasses.replace(
            folder.messages, server=[dataclasses.replace(first, name=name), *folder.messages.server[1:]]
        )
        with pytest.raises(ValueError, match=name):
            definitions(dataclasses.replace(folder, messages=table))


def test_the_name_of_a_message() -> None:
    assert message_name("connectOther") == "ConnectOther"
