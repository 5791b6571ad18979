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
    plain: list[tuple[str, type, bool]] = []
    others: list[tuple[str, bool, bool]] = []
    for name, field in schema.load_fields.items():
        kind = _plain_type(name, field)
        is_raw = kind is None and _is_raw(name, field)
        if field.load_default is not missing or (kind is None and not is_raw and field.required):
            return _ask_marshmallow
        if kind is not None:
            plain.append((name, kind, field.required))
        else:
            others.append((name if is_raw else field.data_key or name, is_raw, field.required))
    return _checker(tuple(plain), tuple(others)) if others else _plain_checker(tuple(plain))


def _ask_marshmallow(_message: dict[str, Any]) -> dict[str, Any] | None:
    return None


def _is_as_it_stands(name: str, field: fields.Field[Any]) -> bool:
    is_renamed = field.data_key not in (None, name) or field.attribute not in (None, name)
    return not (is_renamed or field.validators or field.pre_load or field.post_load)


def _plain_type(name: str, field: fields.Field[Any]) -> type | None:
    """The one type whose values the field lets pass as they are, if there is one."""
    if field.allow_none or not _is_as_it_stands(name, field):
        return None
    return {fields.String: str, StrictBoolean: bool}.get(type(field))


def _is_raw(name: str, field: fields.Field[Any]) -> bool:
    return type(field) is fields.Raw and bool(field.allow_none) and _is_as_it_stands(name, field)


def _plain_checker(plain: tuple[tuple[str, type, bool], ...]) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    def check(message: dict[str, Any]) -> dict[str, Any] | None:
        accepted: dict[str, Any] = {}
        for name, kind, is_required in plain:
            value = message.get(name, _ABSENT)
            if type(value) is kind:
                accepted[name] = value
            elif is_required or value is not _ABSENT:
                return None
        return accepted

    return check


def _checker(
    plain: tuple[tuple[str, type, bool], ...], others: tuple[tuple[str, bool, bool], ...]
) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """``others`` has ``(key, is_raw, is_required)``: a raw value passes, and one of another kind is marshmallow's."""
    check_plain = _plain_checker(plain)

    def check(message: dict[str, Any]) -> dict[str, Any] | None:
        accepted = check_plain(message)
        if accepted is None:
            return None
        for key, is_raw, is_required in others:
            if key in message:
                if not is_raw:
                    return None
                accepted[key] = message[key]
            elif is_required:
                return None
        return accepted

    return check
