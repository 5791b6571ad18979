"""One call of an endpoint: what it carries, and what may become of it."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Protocol

from users_server.core.outbox import Delivery
from users_server.errors import BackendError

UNAVAILABLE_STATUSES = frozenset({429, 502, 503, 504})
"""Answers that speak of the endpoint as a whole, not of this one call."""


class CallFailed(BackendError):
    """There was no answer. ``message`` says why, for the owner of the app; it holds no part of the URL."""

    reason = "call_failed"
    default_message = "The endpoint did not answer"


class CallsEndpoints(Protocol):
    """An HTTP client for addresses that strangers choose."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float) -> int:
        """
        POST ``body``; the status of the answer, whatever it is. Redirects are not followed.

        A call on a kept connection that turns out to be closed is made once more, so that a receiver may get it twice.

        Raises:
            CallFailed: There was no answer in time, or the endpoint may not be called.
        """


def make_headers(delivery: Delivery, key: str, *, now_ms: int) -> dict[str, str]:
    """
    The headers of one attempt, as the Standard Webhooks specification has them, and ``authorization``.

    Without a key there is neither ``authorization`` nor a signature.
    """
    timestamp = str(now_ms // 1000)
    headers = {"content-type": "application/json", "webhook-id": delivery.id, "webhook-timestamp": timestamp}
    if key:
        headers["authorization"] = key
        headers["webhook-signature"] = sign(key, delivery.id, timestamp, delivery.body)
    return headers


def sign(key: str, delivery_id: str, timestamp: str, body: str) -> str:
    """``v1,`` and the HMAC-SHA256 of id, timestamp and body, joined by full stops, in Base64."""
    signed = f"{delivery_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.digest(key.encode(), signed, "sha256")).decode()
