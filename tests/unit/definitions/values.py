"""Values made from marshmallow schemas, which know nothing of the definitions that are to be checked."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, validate

# What the two sides mean differently by design is left out: 0 and 1 are booleans to marshmallow, and 2.0 is an integer
# to JSON Schema, as it is to JavaScript.
_NUMBERS = st.integers(2) | st.integers(max_value=-1) | st.sampled_from([0.5, -1.25, 1e-9])
_TEXTS = st.text(max_size=10)
ANYTHING = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)


def valid(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    """Values that ``field`` loads."""
    values = _valid(field)
    return values | st.none() if field.allow_none else values


def _valid(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    if isinstance(field, fields.Nested):
        return objects(type(field.schema), is_valid=True)
    if isinstance(field, fields.List):
        return st.lists(valid(field.inner), max_size=2)
    if isinstance(field, fields.Dict):
        return st.dictionaries(_TEXTS, valid(field.value_field) if field.value_field else ANYTHING, max_size=2)
    if "enum" in field.metadata:
        return st.sampled_from(field.metadata["enum"])
    if isinstance(field, fields.Boolean):
        return st.booleans()
    if isinstance(field, fields.Integer):
        ranges = [rule for rule in field.validators if isinstance(rule, validate.Range)]
        return st.integers(*((ranges[0].min, ranges[0].max) if ranges else ()))
    if isinstance(field, fields.Float):
        ranges = [rule for rule in field.validators if isinstance(rule, validate.Range)]
        bounds = (ranges[0].min, ranges[0].max) if ranges else (None, None)
        return st.floats(*bounds, allow_nan=False, allow_infinity=False)
    if isinstance(field, fields.String):
        patterns = [rule.regex for rule in field.validators if isinstance(rule, validate.Regexp)]
        return st.from_regex(patterns[0], fullmatch=True) if patterns else _TEXTS
    assert type(field) is fields.Raw, field
    return ANYTHING.filter(lambda value: value is not None)


def arbitrary(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    """Values that ``field`` loads, and near misses of it, and others."""
    if isinstance(field, fields.Nested):
        return objects(type(field.schema), is_valid=False) | ANYTHING
    if isinstance(field, fields.List):
        return st.lists(arbitrary(field.inner), max_size=2) | ANYTHING
    return valid(field) | ANYTHING


def objects(schema: type[Schema], *, is_valid: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that ``schema`` loads; or objects of its fields and others that it may refuse."""
    known = {field.data_key or name: field for name, field in schema().fields.items()}
    if is_valid:
        for alternative in getattr(schema, "exactly_one", ())[1:]:
            del known[alternative]
        needed = getattr(schema, "exactly_one", ())[:1]
        required = {name: valid(field) for name, field in known.items() if field.required or name in needed}
        return st.fixed_dictionaries(
            required, optional={name: valid(field) for name, field in known.items() if name not in required}
        )
    several = st.fixed_dictionaries({}, optional={name: arbitrary(field) for name, field in known.items()})
    one_wrong = st.builds(
        lambda whole, part: whole | part,
        objects(schema, is_valid=True),
        several.map(lambda part: dict(list(part.items())[:1])) | st.just({"unknown": 5}),
    )
    return several | one_wrong


def loads(schema: type[Schema], value: Any) -> bool:
    """Whether marshmallow accepts ``value``."""
    try:
        schema().load(value)
    except ValidationError:
        return False
    return True
