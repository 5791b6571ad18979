"""``config.schema.json`` accepts what the server accepts, and knows the mistakes that an editor can know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import json5
import pytest
from jsonschema import Draft202012Validator
from marshmallow import validate

from users_server.config import example_config
from users_server.config.names import fields_of
from users_server.config.names import settings as all_settings
from users_server.config.schemas import ConfigSchema
from users_server.schemas.settings import Choice, Flag, Group, ListOf, Number, Setting, Text, Whole

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = dict(all_settings())
KEY = {"kid": "2025-01", "algorithm": "HS256", "secret": "s" * 32}


@pytest.fixture(scope="module")
def schema(committed: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return committed("config.schema.json")


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def test_it_is_a_json_schema(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_the_example_is_valid(validator: Draft202012Validator) -> None:
    example = json5.loads((ROOT / "config.example.json").read_text(encoding="utf-8"))
    validator.validate(example)
    assert json5.loads(example_config()) == example
    validator.validate({})
    validator.validate({"$schema": "definitions/config.schema.json"})


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_is_described_with_its_default(schema: dict[str, Any], path: str) -> None:
    found, field = look_up(schema, path), SETTINGS[path]
    assert found["description"] == field.description
    assert path == "$schema" or found["default"] == field.default
    assert path == "$schema" or Draft202012Validator({**found, "$defs": schema["$defs"]}).is_valid(field.default)
    if isinstance(field, Choice):
        assert found["enum"] == field.choices
    for example in found.get("examples", []):
        assert Draft202012Validator({**found, "$defs": schema["$defs"]}).is_valid(example)


@pytest.mark.parametrize("path", SETTINGS)
def test_what_the_schema_refuses_the_server_refuses(validator: Draft202012Validator, path: str) -> None:
    refused = 0
    for value in candidates(SETTINGS[path]):
        config = nested(path, value)
        if not validator.is_valid(config):
            refused += 1
            assert ConfigSchema().validate(config), f"{path}: the server takes {value!r}"
    assert refused, "the schema refuses nothing here"


@pytest.mark.parametrize("path", SETTINGS)
def test_wrong_types_and_ranges_are_refused_by_both(validator: Draft202012Validator, path: str) -> None:
    for value in mistakes(SETTINGS[path]):
        assert not validator.is_valid(nested(path, value)), f"{path}: {value!r}"
        assert ConfigSchema().validate(nested(path, value)), f"{path}: {value!r}"


@pytest.mark.parametrize("place", ["", *(key for key, field in fields_of(None).items() if isinstance(field, Group))])
def test_an_unknown_key_is_refused(validator: Draft202012Validator, place: str) -> None:
    config = {place: {"prot": 80}} if place else {"prot": 80}
    assert not validator.is_valid(config)


def test_a_token_key_is_checked(validator: Draft202012Validator) -> None:
    assert validator.is_valid({"tokens": {"keys": [KEY]}})
    for wrong in ({}, {"kid": "a b"}, {"algorithm": "none"}, {"secert": ""}):
        key = {**KEY, **wrong} if wrong else {"kid": "only"}
        assert not validator.is_valid({"tokens": {"keys": [key]}}), key


def look_up(schema: dict[str, Any], path: str) -> dict[str, Any]:
    place = schema
    for key in path.split("."):
        place = place["properties"][key]
        if "$ref" in place:
            place = schema["$defs"][place["$ref"].removeprefix("#/$defs/")]
    return place


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def candidates(field: Setting) -> Iterator[Any]:
    """Values of every type, and those at the bounds."""
    yield from (
        None,
        True,
        0,
        1,
        -1,
        0.5,
        2**40,
        "",
        "a",
        "/a",
        "/a/",
        "a b",
        "é",
        "none",
        "all",
        [],
        ["a"],
        [1],
        [KEY],
        {},
    )
    for low, high in bounds(field):
        yield from (low, low - 1, high, high + 1, low + 0.001)


def mistakes(field: Setting) -> Iterator[Any]:
    """Values that are certainly wrong."""
    yield None
    yield {"an": "object"}
    if isinstance(field, Whole | Number):
        yield from ("1", True, [1])
        for low, high in bounds(field):
            yield from (low - 1, high + 1)
    elif isinstance(field, Flag):
        yield from (0, 1, "true")
    elif isinstance(field, Choice):
        yield from ("", "something else", 1)
    elif isinstance(field, ListOf):
        yield from ("a", [1], [None], [[]])
    elif isinstance(field, Text):
        yield from (1, True, ["a"])
    if isinstance(field, Whole):
        yield 1.5


def bounds(field: Setting) -> Iterator[tuple[Any, Any]]:
    for rule in field.validators:
        if isinstance(rule, validate.Range):
            yield rule.min, rule.max
