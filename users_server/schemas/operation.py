"""Whether the server is well, for whoever operates it."""

from __future__ import annotations

from marshmallow import fields

from users_server.schemas.answers import MessageAnswer


class ReadyAnswer(MessageAnswer):
    checks = fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, metadata={"description": "Name to ok or failed"}
    )
