"""What every HTTP answer has (users-http-api.md), and what a refusal has beside it."""

from __future__ import annotations

from marshmallow import fields

from users_server.schemas.fields import Output


class MessageAnswer(Output):
    """An answer that says how it went and nothing else."""

    message = fields.String(required=True, metadata={"description": "For people"})
    error = fields.Boolean(required=True, metadata={"description": "Whether the request was refused"})


class RefusalAnswer(MessageAnswer):
    """Any answer with ``error`` true. Some routes add a field that their clients look at, such as ``authenticated``."""

    errors = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        metadata={"description": "Field to messages, where the fields of the request are at fault"},
    )
