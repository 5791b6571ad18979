"""What people send to register, to get a new password or address, and to write to the webmaster."""

from __future__ import annotations

from marshmallow import fields, validate

from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input
from users_server.schemas.users import TextInput, UserEntry

MAX_MESSAGE = 20_000
MAX_NAME = 100
MAX_KEY = 512
MAX_ORIGIN = 512


class RegisterInput(TextInput):
    username = fields.String(required=True, metadata={"description": "Letters and digits; unique without case"})
    password = fields.String(required=True, metadata={"format": "password"})
    email = fields.String(required=True, metadata={"format": "email"})
    captcha = fields.String(
        load_default="",
        allow_none=True,
        metadata={"description": "What the captcha's widget gave, where the server asks for one"},
    )
    challenge = fields.String(
        load_default="", allow_none=True, metadata={"description": "Of old captchas; without effect"}
    )
    meta = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)


class RegisterAnswer(MessageAnswer):
    authenticated = fields.Boolean(
        required=True, metadata={"description": "False, since an activation comes first; true with webinate"}
    )
    user = fields.Nested(UserEntry, required=True)


class LinkQuery(Input):
    """What stands in the links of mails."""

    user = fields.String(load_default="", metadata={"description": "The username or the email address"})
    key = fields.String(
        load_default="", validate=validate.Length(max=MAX_KEY), metadata={"description": "From the mail; works once"}
    )
    origin = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_ORIGIN),
        metadata={"description": "The page to lead back to; passed on only if it is approved"},
    )


class PasswordResetInput(TextInput):
    user = fields.String(required=True, metadata={"description": "The username or the email address"})
    key = fields.String(required=True, metadata={"description": "From the mail; works once"})
    password = fields.String(required=True, metadata={"format": "password", "description": "The new one"})


class PasswordChangeInput(TextInput):
    password = fields.String(required=True, metadata={"format": "password", "description": "The present one"})
    newPassword = fields.String(required=True, metadata={"format": "password"})


class EmailChangeInput(TextInput):
    email = fields.String(required=True, metadata={"format": "email", "description": "The new address"})
    password = fields.String(
        load_default="", metadata={"format": "password", "description": "Of the user himself; admins need none"}
    )


class WebmasterInput(TextInput):
    message = fields.String(required=True, validate=validate.Length(max=MAX_MESSAGE))
    name = fields.String(load_default="", allow_none=True, validate=validate.Length(max=MAX_NAME))
    sender = fields.String(
        data_key="from",
        load_default=None,
        allow_none=True,
        metadata={"format": "email", "description": "Where an answer may go"},
    )
