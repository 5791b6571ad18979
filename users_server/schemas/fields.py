"""marshmallow settings that all our schemas share."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema


class Input(Schema):
    """What a peer may send: unknown fields are ignored and never echoed (users-socket-api.md, Bad input)."""

    class Meta:
        unknown = EXCLUDE


class Output(Schema):
    """What this server sends. Used for the definitions and in tests; nothing is dumped through it on the hot path."""
