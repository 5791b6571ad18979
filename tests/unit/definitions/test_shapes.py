"""From marshmallow to JSON Schema, where apispec alone would not do."""

from __future__ import annotations

import pytest
from marshmallow import RAISE, fields, validate

from users_server.definitions.shapes import Shapes
from users_server.schemas.fields import Input, Output


class Inner(Input):
    """One thing. With ``code``
    over two lines.

    And a paragraph.
    """

    number = fields.Float(
        validate=validate.Range(0.0, 10.0, min_inclusive=False, max_inclusive=False),
        metadata={"description": "How much"},
    )
    half = fields.Float(validate=validate.Range(0.5, 2.0))
    word = fields.String(required=True, validate=validate.Regexp(r"\A[a-z]+\Z"))


class Outer(Output):
    inner = fields.Nested(Inner, required=True)
    others = fields.List(fields.Nested(Inner))
    maybe = fields.Nested(Inner, allow_none=True)


class Strict(Input):
    class Meta:
        unknown = RAISE


def test_a_shape_refers_to_what_is_nested() -> None:
    shapes = Shapes("#/$defs/", name_of=lambda schema: f"My{schema.__name__}")
    reference = {"$ref": "#/$defs/MyInner"}
    shape = shapes.inline(Outer)
    assert shape["properties"]["inner"] == reference
    assert shape["properties"]["others"] == {"type": "array", "items": reference}
    assert shape["properties"]["maybe"] == {"anyOf": [reference, {"type": "null"}]}
    assert list(shapes.collected) == ["MyInner"]
    assert shapes.reference(Outer) == {"$ref": "#/$defs/MyOuter"}
    assert list(shapes.collected) == ["MyInner", "MyOuter"]


def test_bounds_patterns_and_prose_are_told() -> None:
    assert Shapes("#/").inline(Inner) == {
        "description": "One thing. With `code` over two lines.\n\nAnd a paragraph.",
        "type": "object",
        "properties": {
            "number": {"description": "How much", "type": "number", "exclusiveMinimum": 0.0, "exclusiveMaximum": 10.0},
            "half": {"type": "number", "minimum": 0.5, "maximum": 2},
            "word": {"type": "string", "pattern": "^[a-z]+$"},
        },
        "required": ["word"],
    }


def test_what_the_server_sends_may_grow_and_what_it_takes_is_as_strict_as_it_is() -> None:
    shapes = Shapes("#/")
    assert "additionalProperties" not in shapes.inline(Outer)
    assert "additionalProperties" not in shapes.inline(Inner)
    assert shapes.inline(Strict)["additionalProperties"] is False


def test_two_schemas_of_one_name_are_refused() -> None:
    shapes = Shapes("#/", name_of=lambda _: "Same")
    shapes.reference(Inner)
    with pytest.raises(ValueError, match="Same"):
        shapes.reference(Strict)


class Unpublishable(Input):
    word = fields.String(validate=validate.Regexp(r"^\w+$"))


def test_a_pattern_that_cannot_be_published_is_refused() -> None:
    with pytest.raises(ValueError, match="differs in JavaScript"):
        Shapes("#/").inline(Unpublishable)
