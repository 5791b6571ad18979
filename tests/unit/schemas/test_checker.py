"""The checker and marshmallow always agree: what the checker accepts is what ``Schema().load`` gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, post_load, validate

from users_server.errors import InvalidPayload
from users_server.protocols.users.events import EVENTS
from users_server.schemas.checker import compile_checker, compile_loader
from users_server.schemas.fields import Input, StrictBoolean

SCHEMAS = sorted({event.input for event in EVENTS}, key=lambda schema: schema.__name__)
NAMES = sorted({name for schema in SCHEMAS for name in schema().load_fields} | {"eventType", "other"})
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from([0, 1])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5
)
messages = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)


def marshmallow_says(schema: Schema, message: dict[str, Any]) -> Any:
    try:
        return schema.load(message)
    except ValidationError as error:
        return error.messages


@pytest.mark.parametrize("schema_class", SCHEMAS, ids=lambda schema: schema.__name__)
@settings(max_examples=200)
@given(message=messages)
def test_the_loader_gives_what_marshmallow_gives(schema_class: type[Schema], message: dict[str, Any]) -> None:
    expected = marshmallow_says(schema_class(), message)
    try:
        found = compile_loader(schema_class)(message)
    except InvalidPayload as error:
        found = error.messages
    assert found == expected


@given(message=st.fixed_dictionaries({"message": st.text()}, optional={"broadcast": st.booleans(), "x": values}))
def test_a_plain_echo_does_not_need_marshmallow(message: dict[str, Any]) -> None:
    echo = next(event for event in EVENTS if event.name == "Echo")
    accepted = compile_checker(echo.input())(message)
    assert accepted == echo.input().load(message)


def test_one_is_not_true() -> None:
    class Flag(Input):
        flag = StrictBoolean()

    for value in (1, 0, 1.0, "true", "yes"):
        with pytest.raises(InvalidPayload):
            compile_loader(Flag)({"flag": value})


class Strict(Schema):
    class Meta:
        unknown = RAISE

    name = fields.String()


class Hooked(Schema):
    class Meta:
        unknown = EXCLUDE

    name = fields.String()

    @post_load
    def shout(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"name": data.get("name", "").upper()}


class WithDefault(Input):
    name = fields.String(load_default="x")


class Renamed(Input):
    name = fields.String(data_key="n")


class Validated(Input):
    name = fields.String(validate=validate.Length(max=2))


@pytest.mark.parametrize("schema_class", [Strict, Hooked, WithDefault, Renamed, Validated])
@pytest.mark.parametrize("message", [{"name": "abc"}, {"n": "abc"}, {"name": "ab", "more": 1}, {"name": None}, {}])
def test_what_the_checker_does_not_know_is_left_to_marshmallow(
    schema_class: type[Schema], message: dict[str, Any]
) -> None:
    expected = marshmallow_says(schema_class(), message)
    try:
        found = compile_loader(schema_class)(message)
    except InvalidPayload as error:
        found = error.messages
    assert found == expected
