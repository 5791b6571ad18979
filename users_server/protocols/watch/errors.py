"""Reasons of our errors to the close codes of this protocol; a total map."""

from __future__ import annotations

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

TRY_AGAIN_LATER = 1013
