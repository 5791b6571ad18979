"""What the driver's errors mean to an operator."""

from __future__ import annotations

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from users_server.errors import StoreUnavailable

_REFUSED_CODES = {13, 18, 8000}
"""Unauthorized, AuthenticationFailed, and Atlas's own."""


def unavailable(error: PyMongoError, hosts: str) -> StoreUnavailable:
    """An error for ``error``. The message is for operators; it names the hosts, but no user and no password."""
    if isinstance(error, OperationFailure) and error.code in _REFUSED_CODES:
        return StoreUnavailable(f"MongoDB at {hosts} refuses the user; check the name and password in database.url")
    if isinstance(error, ConnectionFailure):
        return StoreUnavailable(
            f"MongoDB at {hosts} cannot be reached; check that it runs and that database.url is right"
        )
    code = f", code {error.code}" if isinstance(error, OperationFailure) else ""
    return StoreUnavailable(f"MongoDB at {hosts} could not do what was asked ({type(error).__name__}{code})")
