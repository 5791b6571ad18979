"""
The exceptions of users-server, as one tree.

::

    UsersServerError                  reason slug · message · is_temporary
    ├── ClientError                   answer, and keep the connection
    │   ├── MalformedFrame            not JSON, or not an object
    │   ├── UnknownEvent
    │   ├── InvalidPayload            carries marshmallow's field-to-messages dictionary
    │   ├── InvalidValue              the shape is right, a rule of the service is broken
    │   ├── Unauthenticated
    │   ├── PermissionDenied
    │   ├── NotFound
    │   ├── Conflict
    │   ├── PayloadTooLarge
    │   └── LimitExceeded             may carry ``retry_after_seconds``
    ├── Disconnect                    close the connection
    │   ├── OriginRefused
    │   ├── IdentityRefused
    │   ├── SessionExpired
    │   ├── Shutdown
    │   ├── SlowConsumer
    │   ├── StaleConnection
    │   ├── ServerFull
    │   ├── AppGone
    │   ├── DisconnectedByApp
    │   └── ProtocolViolation
    ├── BackendError                  temporary; the cause is chained and never shown to a peer
    │   ├── StoreUnavailable
    │   ├── BrokerUnavailable
    │   └── Overloaded                a bounded queue of this server is full
    ├── ConfigError                   path in the file, what was expected, what was found
    └── StartupError                  the configuration is well formed, the world is not: port taken, database away

No exception knows a wire code. ``web/http.py`` and each protocol's ``errors.py`` own a total map from ``reason``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class UsersServerError(Exception):
    """Base of all errors that this package raises. ``reason`` is a stable slug, ``message`` is for people."""

    reason: ClassVar[str] = "internal"
    default_message: ClassVar[str] = "Something went wrong"
    is_temporary: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        self.message = self.default_message if message is None else message
        super().__init__(self.message)


class ClientError(UsersServerError):
    """The peer asked for something it cannot have. It is told so; its connection stays."""

    reason = "bad_request"
    default_message = "The request could not be understood"


class MalformedFrame(ClientError):
    """``reason`` is ``invalid_json`` or, by :class:`NotAnObject`, ``not_an_object``."""

    reason = "invalid_json"
    default_message = "The message is not valid JSON"


class NotAnObject(MalformedFrame):
    reason = "not_an_object"
    default_message = "The message must be a JSON object"


class UnknownEvent(ClientError):
    reason = "unknown_event_type"
    default_message = "The event type is not known"


class InvalidPayload(ClientError):
    """``messages`` is marshmallow's field-to-messages dictionary."""

    reason = "validation_failed"
    default_message = "The message has invalid fields"

    def __init__(self, messages: Mapping[str, Any], message: str | None = None) -> None:
        super().__init__(message)
        self.messages = dict(messages)


class InvalidValue(ClientError):
    """A value that the schema lets through breaks a rule of the service; ``message`` says which, for people."""

    reason = "invalid_value"
    default_message = "The value is not valid"


class Unauthenticated(ClientError):
    reason = "unauthenticated"
    default_message = "You must be logged in to make this request"


class PermissionDenied(ClientError):
    reason = "not_permitted"
    default_message = "You don't have permission to make this request"


class NotFound(ClientError):
    reason = "not_found"
    default_message = "Not found"


class Conflict(ClientError):
    reason = "conflict"
    default_message = "It exists already"


class PayloadTooLarge(ClientError):
    reason = "too_large"
    default_message = "The message is too large"


class LimitExceeded(ClientError):
    """Too much, too fast. ``retry_after_seconds`` says when to come back, where that is known."""

    reason = "rate_limited"
    default_message = "Too many requests"

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Disconnect(UsersServerError):
    """The connection must be closed; ``message`` is the reason that the peer sees."""

    reason = "disconnect"
    default_message = "The connection is closed"


class OriginRefused(Disconnect):
    reason = "origin_refused"
    default_message = "The origin of this connection is not approved"


class IdentityRefused(Disconnect):
    reason = "identity_refused"
    default_message = "The token is not valid"


class SessionExpired(Disconnect):
    reason = "session_expired"
    default_message = "The session has ended"


class Shutdown(Disconnect):
    reason = "shutdown"
    default_message = "The server is shutting down"


class SlowConsumer(Disconnect):
    reason = "slow_consumer"
    default_message = "The client reads too slowly"


class StaleConnection(Disconnect):
    reason = "stale"
    default_message = "The client did not answer a ping in time"


class ServerFull(Disconnect):
    reason = "server_full"
    default_message = "The server has no room for another connection"


class AppGone(Disconnect):
    """The app of this connection was removed or turned off, or serves this protocol no more."""

    reason = "app_gone"
    default_message = "The app does not exist"


class DisconnectedByApp(Disconnect):
    """The app asked for the end of all connections of this user."""

    reason = "disconnected_by_app"
    default_message = "The application has ended the connection"


class ProtocolViolation(Disconnect):
    """The peer broke the rules for good, for instance its rate limit again and again."""

    reason = "policy"
    default_message = "The client broke the rules of this server"


class BackendError(UsersServerError):
    """A store or a broker did not do its work; trying again later may help."""

    reason = "unavailable"
    default_message = "A backend is away; please try again later"
    is_temporary = True


class StoreUnavailable(BackendError):
    reason = "store_unavailable"
    default_message = "The database is away; please try again later"


class BrokerUnavailable(BackendError):
    reason = "broker_unavailable"
    default_message = "The message broker is away; please try again later"


class Overloaded(BackendError):
    """A queue of this server has reached its bound; nothing was done."""

    reason = "overloaded"
    default_message = "The server is busy; please try again later"


class ConfigError(UsersServerError):
    """
    One mistake in the configuration.

    Args:
        path: Where, as ``websocket.port`` or ``tokens.keys[0].secret``; empty for the whole file.
        expected: What is allowed there.
        found: What stands there; a secret must be given masked.
        hint: What to do about it, for instance a near name.
    """

    reason = "config"

    def __init__(self, path: str, expected: str, found: str | None = None, *, hint: str | None = None) -> None:
        self.path = path
        self.expected = expected
        self.found = found
        self.hint = hint
        text = f"{path}: {expected}" if path else expected
        if found is not None:
            text += f", found {found}"
        if hint:
            text += f". {hint}"
        super().__init__(text)


class StartupError(UsersServerError):
    """The server cannot start; ``message`` is one line that says what to do."""

    reason = "startup"
