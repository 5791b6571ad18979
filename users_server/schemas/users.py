"""Accounts: what a client may send, and the user entry with its masking (users-http-api.md, User entry)."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, pre_load

from users_server.core.accounts import User
from users_server.core.messages import JSON
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input, Output
from users_server.services.passwords import PasswordService

MASKED_ID = "0" * 24
MASKED_PASSWORD = "*" * 59
MASKED_SESSION_ID = "*" * 10


class TextInput(Input):
    """
    An input whose texts may be left out, which is the same as empty.

    The service has a fixed message for each empty text and a fixed order in which it looks at them; marshmallow's own
    "missing" would come before all of them.
    """

    @pre_load
    def fill_in_missing_texts(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict):
            return data
        missing = {
            name: "" for name, field in self.fields.items() if isinstance(field, fields.String) and field.required
        }
        return missing | data


class LoginInput(TextInput):
    username = fields.String(required=True, metadata={"description": "The username or the email address"})
    password = fields.String(required=True, metadata={"format": "password"})
    rememberMe = fields.Boolean(
        truthy={True},
        falsy={False},
        load_default=True,
        metadata={"description": "False: a cookie that ends with the browser"},
    )


class CreateUserInput(TextInput):
    username = fields.String(required=True, metadata={"description": "Letters and digits; unique without case"})
    email = fields.String(required=True, metadata={"format": "email"})
    password = fields.String(required=True, metadata={"format": "password"})
    privileges = fields.Integer(
        strict=True,
        load_default=3,
        error_messages={"invalid": "Privilege type is unrecognised"},
        metadata={"description": "2 admin, 3 regular"},
    )
    meta = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)


class UserEntry(Output):
    """A user, masked or not. Times are milliseconds since 1970, 0 for never."""

    id = fields.String(required=True, data_key="_id", metadata={"description": "24 zeros where it is masked"})
    username = fields.String(required=True)
    email = fields.String(required=True, metadata={"description": "Empty where the caller may not see it"})
    password = fields.String(
        required=True, metadata={"description": "59 asterisks, or the name of the hash scheme; never the hash"}
    )
    registerKey = fields.String(required=True, metadata={"description": "Empty for an active account"})
    sessionId = fields.String(
        required=True, metadata={"description": "10 asterisks, or the public id of the latest login's session"}
    )
    passwordTag = fields.String(required=True)
    createdOn = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    lastLoggedIn = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    privileges = fields.Integer(required=True, metadata={"description": "1 super admin, 2 admin, 3 regular"})
    meta = fields.Dict(keys=fields.String(), required=True)


class UserAnswer(MessageAnswer):
    data = fields.Nested(UserEntry, required=True)


class UsersAnswer(MessageAnswer):
    data = fields.List(fields.Nested(UserEntry), required=True)
    count = fields.Integer(required=True, metadata={"description": "How many there are in all"})


class AuthenticationAnswer(MessageAnswer):
    authenticated = fields.Boolean(required=True)
    user = fields.Nested(UserEntry, allow_none=True, metadata={"description": "null where nobody is logged in"})


def user_entry(user: User, *, is_verbose: bool = False, shows_email: bool = True) -> dict[str, JSON]:
    """
    The user as clients see him. Not even ``is_verbose`` shows the password's hash or the cookie's value.

    Whether the caller may see it verbose is the caller's decision.
    """
    return {
        "_id": user.id if is_verbose else MASKED_ID,
        "username": user.username,
        "email": user.email if shows_email else "",
        "password": PasswordService.scheme(user.password_hash) if is_verbose else MASKED_PASSWORD,
        "registerKey": user.register_key if is_verbose else _mask(user.register_key),
        "sessionId": user.session_id if is_verbose else MASKED_SESSION_ID,
        "passwordTag": user.password_tag if is_verbose else _mask(user.password_tag),
        "createdOn": user.created_on,
        "lastLoggedIn": user.last_logged_in,
        "privileges": user.privileges,
        "meta": user.meta,
    }


def _mask(text: str) -> str:
    return "*" * (len(text) - 1)
