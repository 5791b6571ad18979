"""marshmallow settings that all our schemas share."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields


class Input(Schema):
    """
    What a peer may send: unknown fields are ignored and never echoed (users-socket-api.md, Bad input).

    ``exactly_one`` names fields of which one must be there and no other, for the definitions.
    """

    exactly_one: ClassVar[tuple[str, ...]] = ()

    class Meta:
        unknown = EXCLUDE


class Output(Schema):
    """What this server sends. Used for the definitions and in tests; nothing is dumped through it on the hot path."""


class StrictBoolean(fields.Boolean):
    """JSON's ``true`` and ``false``, and nothing that merely compares equal to them, such as 1."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value
