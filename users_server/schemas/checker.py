"""
A quick yes for the messages that are valid, which nearly all are.

marshmallow stays the one definition of every message. From a schema, :func:`compile_checker` derives a function that
accepts the plain cases by itself and leaves every other one, valid or not, to marshmallow. That both agree on what the
checker accepts is proved by a property test (``tests/unit/schemas/test_checker.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing
from marshmallow.decorators import POST_LOAD, PRE_LOAD, VALIDATES, VALIDATES_SCHEMA

from users_server.errors import InvalidPayload
from users_server.schemas.fields import StrictBoolean

Loader: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
_HOOKS = (PRE_LOAD, POST_LOAD, VALIDATES, VALIDATES_SCHEMA)
_ABSENT = object()


def compile_loader(schema_class: type[Schema]) -> Loader:
    """
    A function that validates one message and gives its known fields, as ``schema_class().load`` does.

    The returned function raises :class:`InvalidPayload` with marshmallow's messages. It may return the values of its
    argument themselves, not copies.
    """
    schema = schema_class()
    check = compile_checker(schema)

    def load(message: dict[str, Any]) -> dict[str, Any]:
        accepted = check(message)
        if accepted is not None:
            return accepted
        try:
            loaded: dict[str, Any] = schema.load(message)
        except ValidationError as error:
            raise InvalidPayload(cast("dict[str, Any]", error.messages)) from None
        return loaded

    return load


def compile_checker(schema: Schema) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """
    A function that returns what ``schema.load`` would for a plainly valid message, and :obj:`None`: "ask marshmallow".

    Strings, strict booleans and raw values without validators are decided here. A schema with hooks, another policy
    for unknown fields than ``EXCLUDE`` or with defaults is left to marshmallow altogether, and so is every message that
    has a field of another kind.
    """
    if schema.unknown != EXCLUDE or any(schema._hooks.get(hook) for hook in _HOOKS):
        return _ask_marshmallow
    strings: list[tuple[str, bool]] = []
    booleans: list[tuple[str, bool]] = []
    raws: list[tuple[str, bool]] = []
    others: list[str] = []
    for name, field in schema.load_fields.items():
        kind = _plain_kind(name, field)
        if field.load_default is not missing or (kind is None and field.required):
            return _ask_marshmallow
        if kind is None:
            others.append(field.data_key or name)
        else:
            {"string": strings, "boolean": booleans, "raw": raws}[kind].append((name, field.required))
    return _checker(tuple(strings), tuple(booleans), tuple(raws), tuple(others))


def _ask_marshmallow(_message: dict[str, Any]) -> dict[str, Any] | None:
    return None


def _plain_kind(name: str, field: fields.Field[Any]) -> str | None:
    is_renamed = field.data_key not in (None, name) or field.attribute not in (None, name)
    if is_renamed or field.validators or field.pre_load or field.post_load:
        return None
    if type(field) is fields.String and not field.allow_none:
        return "string"
    if type(field) is StrictBoolean and not field.allow_none:
        return "boolean"
    if type(field) is fields.Raw and field.allow_none:
        return "raw"
    return None


def _checker(
    strings: tuple[tuple[str, bool], ...],
    booleans: tuple[tuple[str, bool], ...],
    raws: tuple[tuple[str, bool], ...],
    others: tuple[str, ...],
) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    def check(message: dict[str, Any]) -> dict[str, Any] | None:
        accepted: dict[str, Any] = {}
        for name, is_required in strings:
            value = message.get(name, _ABSENT)
            if type(value) is str:
                accepted[name] = value
            elif value is not _ABSENT or is_required:
                return None
        for name, is_required in booleans:
            value = message.get(name, _ABSENT)
            if value is True or value is False:
                accepted[name] = value
            elif value is not _ABSENT or is_required:
                return None
        for name, is_required in raws:
            value = message.get(name, _ABSENT)
            if value is not _ABSENT:
                accepted[name] = value
            elif is_required:
                return None
        for name in others:
            if name in message:
                return None
        return accepted

    return check
