"""Meta data of users over HTTP. The answers to the GET routes are the bare values."""

from __future__ import annotations

from marshmallow import fields

from users_server.schemas.fields import Input


class MetaInput(Input):
    value = fields.Dict(
        keys=fields.String(),
        load_default=None,
        allow_none=True,
        metadata={"description": "The whole new object; none clears it"},
    )


class MetaPropertyInput(Input):
    value = fields.Raw(required=True, allow_none=True, metadata={"description": "Any JSON value"})
