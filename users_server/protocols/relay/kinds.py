"""What may be sent in a channel, by its kind: the part of its name before ``:``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from users_server.core.messages import JSON
from users_server.errors import InvalidPayload, PermissionDenied
from users_server.protocols.relay.schemas import (
    DETAILS,
    LARGEST_ID,
    ChatData,
    ProgressData,
    TweetData,
    is_user_id,
)
from users_server.schemas.checker import compile_loader

Check: TypeAlias = Callable[[dict[str, JSON]], dict[str, JSON]]
"""Gives the data that recipients get; raises :class:`InvalidPayload`."""

MAX_TOLD = 200
"""Characters of a JSON Schema's complaint that are told: it may repeat what the client sent."""

_DECIMAL = re.compile(r"-?[1-9][0-9]{0,15}\Z", re.ASCII)


class UnusableSchema(Exception):
    """``why``: what is wrong with a schema of the configuration."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


_load_progress = compile_loader(ProgressData)
_load_details = {name: compile_loader(schema) for name, schema in DETAILS.items()}


def _check_progress(data: dict[str, JSON]) -> dict[str, JSON]:
    """The shape of ``detail`` depends on ``type``."""
    loaded = _load_progress(data)
    info = loaded["info"]
    load = _load_details.get(info["type"])
    if load is not None:
        try:
            info["detail"] = load(info["detail"])
        except InvalidPayload as error:
            raise InvalidPayload({"info": {"detail": error.messages}}) from None
    return loaded


def _check_nothing(data: dict[str, JSON]) -> dict[str, JSON]:
    return data


SCHEMAS: Mapping[str, Check] = {
    "chat": compile_loader(ChatData),
    "tweet": compile_loader(TweetData),
    "progress": _check_progress,
    "any": _check_nothing,
}
"""The schemas that a kind may name."""


def make_check(schema: JSON) -> Check:
    """
    What checks ``data`` against one of :data:`SCHEMAS`, or against a JSON Schema object (2020-12).

    References are resolved within the object only: nothing is fetched.

    Raises:
        UnusableSchema: If it is neither.
    """
    if isinstance(schema, str) and schema in SCHEMAS:
        return SCHEMAS[schema]
    if not isinstance(schema, dict):
        raise UnusableSchema("It names no schema, and is none")
    return _json_schema_check(schema)


def _json_schema_check(schema: dict[str, JSON]) -> Check:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise UnusableSchema(f"It is no JSON Schema: {error.message[:MAX_TOLD]}") from None
    validator: Any = Draft202012Validator(schema, registry=Registry())
    try:
        validator.is_valid({})
    except Unresolvable as error:
        raise UnusableSchema(f"It refers to what it does not hold: {error}"[:MAX_TOLD]) from None

    def check(data: dict[str, JSON]) -> dict[str, JSON]:
        found = best_match(validator.iter_errors(data))
        if found is not None:
            field = str(found.absolute_path[0]) if found.absolute_path else "data"
            raise InvalidPayload({field: [found.message[:MAX_TOLD]]})
        return data

    return check


@dataclass(frozen=True, slots=True)
class Passed:
    """``data`` as recipients get it, and the one user who is meant, if it is one."""

    data: dict[str, JSON]
    to_user: str | None


@dataclass(frozen=True, slots=True)
class KindRule:
    """
    What holds for all channels of one kind.

    Attributes:
        recipient_field: The field of ``data`` that narrows the recipients to one user; empty for none.
    """

    check: Check = _check_nothing
    clients_may_send: bool = True
    recipient_field: str = ""
    announces_presence: bool = False

    def require_sender(self) -> None:
        """Raises :class:`PermissionDenied` if clients may not send here."""
        if not self.clients_may_send:
            raise PermissionDenied("Clients do not send in this channel")

    def apply(self, data: dict[str, JSON]) -> Passed:
        """Check ``data``, and take the recipient out of it. Raises :class:`InvalidPayload`."""
        checked = self.check(data)
        if not self.recipient_field or self.recipient_field not in checked:
            return Passed(checked, None)
        rest = dict(checked)
        return Passed(rest, self._recipient(rest.pop(self.recipient_field)))

    def _recipient(self, value: JSON) -> str:
        if is_user_id(value):
            return str(value)
        raise InvalidPayload({self.recipient_field: ["Not a valid user id."]})


UNKNOWN_KIND = KindRule()
"""A kind that nobody has configured: data passes as it is."""


class Kinds:
    """The rules by kind."""

    def __init__(self, rules: Mapping[str, KindRule]) -> None:
        self._rules = dict(rules)

    def of(self, channel: str) -> KindRule:
        """The rule of ``channel``: of what stands before its first ``:``, or of the whole name without one."""
        return self._rules.get(channel.partition(":")[0], UNKNOWN_KIND)


def public_id(user_id: str | None) -> JSON:
    """
    An id within the app as the relay tells it: whole numbers as numbers, as its own users' are.

    What is no such number, from another protocol, stays text; nobody can be taken for the system, whose id is 0.
    """
    if user_id is not None and _DECIMAL.match(user_id) and abs(int(user_id)) <= LARGEST_ID:
        return int(user_id)
    return user_id
