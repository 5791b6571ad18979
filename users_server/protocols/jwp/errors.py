"""Reasons of our errors to what this protocol says; total maps. And the refusals that only this protocol knows."""

from __future__ import annotations

from users_server.errors import ClientError, LimitExceeded, UsersServerError

CLOSE_CODES = {
    "disconnect": 1011,
    "origin_refused": 1008,
    "identity_refused": 4401,
    "session_expired": 4401,
    "shutdown": 1012,
    "slow_consumer": 1013,
    "stale": 4408,
    "server_full": 1013,
    "app_gone": 4404,
    "policy": 1008,
    "disconnected_by_app": 1001,
}
"""
Reason slug of a :class:`users_server.errors.Disconnect` to the WebSocket close code.

Never 1000: phoenix.js takes it for a wish that it stays away, and does not come back.
"""

REFUSED_HANDSHAKE = 403
"""What Phoenix answers to whoever may not connect."""

UNAUTHORIZED, UNMATCHED_TOPIC, TOO_MANY_CHANNELS = "unauthorized", "unmatched topic", "too many channels joined"

REFUSALS = {
    "unauthenticated": UNAUTHORIZED,
    "not_permitted": UNAUTHORIZED,
    "not_found": UNAUTHORIZED,
    "validation_failed": UNAUTHORIZED,
    "bad_request": UNAUTHORIZED,
    "invalid_json": UNAUTHORIZED,
    "not_an_object": UNAUTHORIZED,
    "unknown_event_type": UNAUTHORIZED,
    "too_many_channels": TOO_MANY_CHANNELS,
    "invalid_value": "invalid channel name",
    "invalid_last_message_id": "invalid last_message_id",
    "unrecoverable": "unrecoverable",
    "rate_limited": "limit exceeded",
    "too_large": "limit exceeded",
    "conflict": "join crashed",
    "unavailable": "unavailable",
    "overloaded": "unavailable",
    "store_unavailable": "unavailable",
    "broker_unavailable": "unavailable",
    "config": "join crashed",
    "startup": "join crashed",
    "internal": "join crashed",
}
"""Reason slug of any other error to ``reason`` in the response of a reply whose status is ``error``."""

PLAIN = frozenset({UNAUTHORIZED, UNMATCHED_TOPIC, TOO_MANY_CHANNELS})
"""Reasons that Phoenix has too, and tells without a message."""


class TooManyChannels(LimitExceeded):
    """The connection has as many channels as it may."""

    reason = "too_many_channels"
    default_message = "Too many channels are joined"


class InvalidLastMessageId(ClientError):
    """It is no position at all."""

    reason = "invalid_last_message_id"
    default_message = "last_message_id must be the text EPOCH:OFFSET that came with a message"


class Unrecoverable(ClientError):
    """What came after the position is not known whole."""

    reason = "unrecoverable"
    default_message = (
        "The messages after last_message_id are not kept any more. Load the state anew, and join without it"
    )


def refusal(error: UsersServerError) -> dict[str, str]:
    """The response of a reply: ``{"reason":"unauthorized"}``."""
    reason = REFUSALS.get(error.reason, REFUSALS["internal"])
    return {"reason": reason} if reason in PLAIN else {"reason": reason, "message": error.message}
