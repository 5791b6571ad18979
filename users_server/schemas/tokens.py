"""Tokens that a logged in user makes for himself."""

from __future__ import annotations

from marshmallow import fields, validate

from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input

# Scopes travel in one claim, separated by spaces: a space within one would be a second scope that nobody checked.
SCOPE_PATTERN = r"\A[A-Za-z0-9._:/-]{1,64}\Z"


class TokenInput(Input):
    lifetimeSeconds = fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "At most tokens.lifetimeSeconds of the configuration, which is also the default"},
    )
    scopes = fields.List(
        fields.String(validate=validate.Regexp(SCOPE_PATTERN)),
        load_default=list,
        validate=validate.Length(max=16),
        metadata={"description": "events:emit is for admins"},
    )


class TokenAnswer(MessageAnswer):
    token = fields.String(required=True, metadata={"description": "A JWT"})
    expires = fields.Integer(required=True, metadata={"description": "Seconds since 1970"})
