"""Reasons of our errors to what this protocol says; total maps. And the refusals that only the relay knows."""

from __future__ import annotations

from users_server.errors import BackendError, ClientError

CLOSE_CODES = {
    "disconnect": 1000,
    "origin_refused": 1008,
    "identity_refused": 4401,
    "session_expired": 4401,
    "shutdown": 1001,
    "slow_consumer": 1013,
    "stale": 4408,
    "server_full": 1013,
    "app_gone": 4404,
    "disconnected_by_app": 1008,
    "policy": 1008,
}
"""Reason slug of a :class:`users_server.errors.Disconnect` to the WebSocket close code."""

ERROR_CODES = {
    "invalid_json": "invalid_json",
    "not_an_object": "not_an_object",
    "unknown_event_type": "validation_failed",
    "validation_failed": "validation_failed",
    "invalid_value": "validation_failed",
    "not_permitted": "not_permitted",
    "unauthenticated": "not_permitted",
    "not_found": "validation_failed",
    "conflict": "validation_failed",
    "bad_request": "validation_failed",
    "too_large": "too_large",
    "rate_limited": "rate_limited",
    "refused": "refused",
    "callback_failed": "callback_failed",
    "unavailable": "unavailable",
    "overloaded": "unavailable",
    "store_unavailable": "unavailable",
    "broker_unavailable": "unavailable",
    "config": "internal",
    "internal": "internal",
}
"""Reason slug of any other error to ``error.code`` of ``sended``."""


class RefusedByApplication(ClientError):
    """The application's callback said no."""

    reason = "refused"
    default_message = "The message was refused"


class CallbackFailed(BackendError):
    """The application's callback did not answer, and the policy is to refuse."""

    reason = "callback_failed"
    default_message = "The application did not answer; please try again later"
