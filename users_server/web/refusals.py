"""What the refusals of all HTTP APIs of this server have in common."""

from __future__ import annotations

import math

import structlog
from tornado.web import HTTPError

from users_server.errors import BackendError, ClientError, LimitExceeded, UsersServerError

log = structlog.stdlib.get_logger(__name__)

BACKEND_RETRY_SECONDS = 5
INTERNAL_ERROR = "Something went wrong; it has been logged"


class MethodNotAllowed(ClientError):
    reason = "method_not_allowed"
    default_message = "This method is not allowed here"


def retry_headers(error: UsersServerError) -> dict[str, str]:
    """``Retry-After``, where it is known when to come back."""
    if isinstance(error, BackendError):
        return {"Retry-After": str(BACKEND_RETRY_SECONDS)}
    if isinstance(error, LimitExceeded) and error.retry_after_seconds is not None:
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
    return {}


def log_unexpected(method: str | None, route: str, error: BaseException | None) -> None:
    """One record for each unexpected exception. A refusal is no such thing; the metrics count it."""
    if error is not None and not isinstance(error, HTTPError):
        log.error("Unexpected error in a request", method=method, route=route, exc_info=error)
