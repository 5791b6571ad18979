"""``events.schema.json`` says of every message what marshmallow does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.definitions.conftest import Checker
from tests.unit.definitions.values import ANYTHING, loads, objects
from users_server.definitions.messages import Message, Sender, client_messages, server_messages
from users_server.errors import (
    BrokerUnavailable,
    InvalidPayload,
    LimitExceeded,
    MalformedFrame,
    NotAnObject,
    PayloadTooLarge,
    PermissionDenied,
    UnknownEvent,
    UsersServerError,
)
from users_server.protocols.users.codec import encode_event, error_data
from users_server.protocols.users.errors import ERROR_CODES
from users_server.protocols.users.events import BY_NAME, EVENTS

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
SENT = {message.name: message for message in client_messages()}
ALL = SENT | {message.name: message for message in server_messages()}


def test_it_is_a_json_schema(committed: Callable[[str], dict[str, Any]]) -> None:
    schema = committed("events.schema.json")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_every_event_of_the_table_occurs(committed: Callable[[str], dict[str, Any]]) -> None:
    definitions = committed("events.schema.json")["$defs"]
    members = {
        union: [reference["$ref"].removeprefix("#/$defs/") for reference in definitions[union]["oneOf"]]
        for union in ("ServerEvent", "ClientEvent", "TrustedClientEvent")
    }
    assert members["ServerEvent"] == [f"{event.name}Event" for event in EVENTS]
    assert members["ClientEvent"] == ["MetaRequestInput", "EchoInput"]
    assert set(members["TrustedClientEvent"]) == {f"{event.name}Input" for event in EVENTS if event.name != "Error"}
    for name in {name for names in members.values() for name in names}:
        event = BY_NAME[name.removesuffix("Event").removesuffix("Input")]
        assert definitions[name]["properties"]["eventType"]["const"] == event.type
        assert definitions[name]["description"].startswith(event.help)


def test_every_reference_leads_somewhere(committed: Callable[[str], dict[str, Any]]) -> None:
    schema = committed("events.schema.json")
    for name in schema["$defs"]:
        Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"}).is_valid({"eventType": 1})


@pytest.mark.parametrize("name", SENT)
def test_both_agree_on_whatever_a_client_sends(events: Checker, name: str) -> None:
    message = SENT[name]
    validator = events.validator(name)

    @QUICK
    @given(objects(message.schema, is_valid=False) | objects(message.schema, is_valid=True))
    def both_agree(data: dict[str, Any]) -> None:
        assert validator.is_valid(whole(message, data)) == loads(message.schema, data)

    both_agree()


@pytest.mark.parametrize("name", ALL)
def test_both_accept_what_is_valid(events: Checker, name: str) -> None:
    message = ALL[name]
    validator, union = events.validator(name), events.validator(union_of(message))

    @QUICK
    @given(objects(message.schema, is_valid=True))
    def both_accept(data: dict[str, Any]) -> None:
        assert loads(message.schema, data)
        assert validator.is_valid(whole(message, data))
        assert union.is_valid(whole(message, data))

    both_accept()


@QUICK
@given(value=ANYTHING, event_type=st.none() | st.integers(-2, 20) | st.sampled_from(["1", 10.5, True]))
def test_the_event_type_must_be_a_known_number(events: Checker, value: Any, event_type: Any) -> None:
    union = events.validator("ServerEvent")
    assert not union.is_valid(value)
    is_login = event_type == 1 and event_type is not True
    assert union.is_valid({"eventType": event_type, "username": "ada"}) == (is_login or event_type in (2, 3, 4, 9))


def test_an_ordinary_client_does_not_emit(events: Checker) -> None:
    login = {"eventType": 1, "username": "ada"}
    assert events.validator("TrustedClientEvent").is_valid(login)
    assert not events.validator("ClientEvent").is_valid(login)


@pytest.mark.parametrize(
    "error",
    [
        UsersServerError(),
        MalformedFrame(),
        NotAnObject(),
        UnknownEvent(),
        InvalidPayload({"files": {0: {"size": ["Not a valid integer."]}}}),
        PermissionDenied(),
        PayloadTooLarge(),
        LimitExceeded(retry_after_seconds=1),
        BrokerUnavailable(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_has_the_published_form(events: Checker, error: UsersServerError) -> None:
    for received in (None, 5, "text", 1.5, True, {"an": "object"}):
        frame = encode_event("Error", error_data(error, received))
        events.validator("ErrorEvent", is_closed=True).validate(json.loads(frame))


def test_every_code_of_a_refusal_is_published(events: Checker) -> None:
    codes = events.document["$defs"]["ErrorEvent"]["properties"]["code"]["enum"]
    assert codes == sorted(set(ERROR_CODES.values()))


def whole(message: Message, data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "eventType": message.event.type}


def union_of(message: Message) -> str:
    return {
        Sender.SERVER: "ServerEvent",
        Sender.CLIENT: "ClientEvent",
        Sender.TRUSTED: "TrustedClientEvent",
    }[message.sender]
