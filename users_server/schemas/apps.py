"""Apps over HTTP. A secret is in one answer only: the one to the request that made it."""

from __future__ import annotations

from marshmallow import fields, validate

from users_server.core.apps import App, AppLimits
from users_server.core.messages import JSON
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input, Output, StrictBoolean
from users_server.services.app_credentials import NewApp

MAX_TEXT = 4096
MAX_COUNT = 2**53 - 1


def _count(description: str) -> fields.Integer:
    return fields.Integer(
        strict=True,
        load_default=0,
        validate=validate.Range(0, MAX_COUNT),
        metadata={"description": description},
    )


def _texts(description: str, most: int) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.Length(1, MAX_TEXT)),
        load_default=None,
        validate=validate.Length(max=most),
        metadata={"description": description},
    )


class AppLimitsInput(Input):
    """What the app may use on one node; 0 means no limit. Whoever sets limits sets all of them."""

    connections = _count("Connections at a time")
    channels = _count("Channels in use at a time")
    messageBytes = _count("Of an event's data as JSON")
    publishesPerSecond = fields.Float(
        load_default=0.0,
        validate=validate.Range(0, 1_000_000_000),
        metadata={"description": "Publications a second, of clients and servers together"},
    )


class ChangeAppInput(Input):
    """What is left out stays as it is."""

    name = fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_TEXT),
        metadata={"description": "1 to 100 printable characters"},
    )
    webhookEndpoint = fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_TEXT),
        metadata={"description": "An http or https URL; empty for no web hooks"},
    )
    webhookKey = fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_TEXT),
        metadata={"description": "16 to 200 ASCII characters; made up if the app has none", "format": "password"},
    )
    protocols = _texts("Names of the protocols that serve the app; an empty list for all", 20)
    allowedOrigins = _texts("Patterns of origins that may connect; an empty list for those of the configuration", 50)
    debugSignatures = StrictBoolean(
        load_default=None,
        metadata={"description": "Whether a refused signature is logged with the text that should have been signed"},
    )
    limits = fields.Nested(AppLimitsInput, load_default=None, metadata={"description": "For admins"})
    enabled = StrictBoolean(
        load_default=None, metadata={"description": "False turns the app off and closes its connections. For admins"}
    )


class CreateAppInput(ChangeAppInput):
    id = fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_TEXT),
        metadata={"description": "Letters, digits, `.`, `_` and `-`; a number if left out. For admins"},
    )
    name = fields.String(
        required=True,
        validate=validate.Length(max=MAX_TEXT),
        metadata={"description": "1 to 100 printable characters"},
    )
    owner = fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_TEXT),
        metadata={"description": "The username or email of the account that owns it; the caller's if left out"},
    )


class AppLimitsEntry(Output):
    """0 means no limit."""

    connections = fields.Integer(required=True)
    channels = fields.Integer(required=True)
    messageBytes = fields.Integer(required=True)
    publishesPerSecond = fields.Float(required=True)


class AppKeyEntry(Output):
    key = fields.String(required=True, metadata={"description": "Public; it names the app in some protocols"})
    createdOn = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})


class AppEntry(Output):
    """An app without its secrets."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    ownerId = fields.String(required=True, allow_none=True, metadata={"description": "null for the operator's own"})
    createdOn = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    keys = fields.List(fields.Nested(AppKeyEntry), required=True, metadata={"description": "The newest first"})
    webhookEndpoint = fields.String(required=True)
    protocols = fields.List(fields.String(), required=True)
    allowedOrigins = fields.List(fields.String(), required=True)
    debugSignatures = fields.Boolean(required=True)
    limits = fields.Nested(AppLimitsEntry, required=True)
    enabled = fields.Boolean(required=True)


class AppCredentialsEntry(Output):
    """Shown once."""

    key = fields.String(required=True, metadata={"description": "Public; it names the app in some protocols"})
    secret = fields.String(required=True, metadata={"description": "Signs tokens and requests"})
    apiKey = fields.String(required=True, metadata={"description": "For `app-api-key`"})
    webhookKey = fields.String(metadata={"description": "Signs web hooks; not there if it stays the same"})


class AppAnswer(MessageAnswer):
    data = fields.Nested(AppEntry, required=True)


class AppsAnswer(MessageAnswer):
    data = fields.List(fields.Nested(AppEntry), required=True)
    count = fields.Integer(required=True, metadata={"description": "How many there are in all"})


class NewAppAnswer(AppAnswer):
    credentials = fields.Nested(AppCredentialsEntry, required=True)


def app_entry(app: App) -> dict[str, JSON]:
    """The app as its owner and admins see it."""
    return {
        "id": app.id,
        "name": app.name,
        "ownerId": app.owner_id,
        "createdOn": app.created_on,
        "keys": [{"key": each.key, "createdOn": each.created_on} for each in app.credentials],
        "webhookEndpoint": app.webhook_endpoint,
        "protocols": list(app.protocols),
        "allowedOrigins": list(app.allowed_origins),
        "debugSignatures": app.debug_signatures,
        "limits": {
            "connections": app.limits.connections,
            "channels": app.limits.channels,
            "messageBytes": app.limits.message_bytes,
            "publishesPerSecond": app.limits.publishes_per_second,
        },
        "enabled": app.is_enabled,
    }


def new_app_fields(new: NewApp) -> dict[str, JSON]:
    """The answer to whoever made the credentials."""
    credentials = {"key": new.key, "secret": new.secret, "apiKey": new.api_key}
    if new.webhook_key:
        credentials["webhookKey"] = new.webhook_key
    return {"data": app_entry(new.app), "credentials": credentials}


def limits_of(loaded: dict[str, float]) -> AppLimits:
    """What :class:`AppLimitsInput` accepted."""
    return AppLimits(
        connections=int(loaded["connections"]),
        channels=int(loaded["channels"]),
        message_bytes=int(loaded["messageBytes"]),
        publishes_per_second=float(loaded["publishesPerSecond"]),
    )
