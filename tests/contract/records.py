"""Records for the tests, with a value of its own in every field that must be unique."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from users_server.core.accounts import Session, User

_numbers = itertools.count(1)

NOW = 1_700_000_000_000
LATER = NOW + 1_800_000


def make_user(username: str | None = None, **fields: Any) -> User:
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": f"{number:024x}",
        "username": username or f"user{number}",
        "email": f"user{number}@example.com",
        "password_hash": f"hash of {number}",
        "privileges": 3,
        "created_on": NOW + number,
    }
    return User(**{**values, **fields})


def make_session(user_id: str = "f" * 24, **fields: Any) -> Session:
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": f"{number:024x}",
        "token_hash": f"{number:064x}",
        "user_id": user_id,
        "username": "somebody",
        "created_on": NOW + number,
        "expires_at": LATER,
        "lifetime_ms": 1_800_000,
    }
    return Session(**{**values, **fields})


def field_types(record: User | Session) -> dict[str, type]:
    """Exactly: a driver's own kind of integer is another type."""
    return {field.name: type(getattr(record, field.name)) for field in dataclasses.fields(record)}
