"""Records of the user service, as the stores keep them. Times are milliseconds since 1970."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from users_server.core.messages import JSON

T = TypeVar("T")


class Privilege(enum.IntEnum):
    """users-http-api.md, Privileges. The lower the number, the more is allowed."""

    SUPER_ADMIN = 1
    ADMIN = 2
    REGULAR = 3


@dataclass(frozen=True, slots=True)
class User:
    """
    An account.

    ``username`` and ``email`` are kept as they were written; they are unique without case. ``register_key`` is empty
    for an active account. ``session_id`` is the public id of the latest login, empty after its logout. ``register_key``
    and ``password_tag`` hold hashes, as long as a key that was sent by mail is waited for.
    """

    id: str
    username: str
    email: str
    password_hash: str
    privileges: int
    created_on: int
    last_logged_in: int = 0
    register_key: str = ""
    password_tag: str = ""
    session_id: str = ""
    meta: dict[str, JSON] = field(default_factory=dict)
    meta_version: int = 0

    @property
    def is_active(self) -> bool:
        return not self.register_key


@dataclass(frozen=True, slots=True)
class Session:
    """
    One login.

    ``id`` is public. ``token_hash`` is the lower-case hex SHA-256 of the cookie's value, which is kept nowhere.
    ``is_persistent`` says whether the cookie outlives the browser.
    """

    id: str
    token_hash: str
    user_id: str
    username: str
    created_on: int
    expires_at: int
    lifetime_ms: int
    is_persistent: bool = True
    address: str = ""
    user_agent: str = ""

    @property
    def last_used(self) -> int:
        """When its expiry slid last: not every use is written down, so it may lag behind by a tenth of the lifetime."""
        return max(self.created_on, self.expires_at - self.lifetime_ms)


class KeyKind(enum.Enum):
    """What a one-time key is good for."""

    ACTIVATION = "activation"
    RESET = "reset"
    EMAIL_CHANGE = "email_change"


@dataclass(frozen=True, slots=True)
class OneTimeKey:
    """
    A key that was sent by mail.

    ``key_hash`` is the lower-case hex SHA-256 of the key, which is kept nowhere. ``email`` is the new address of a key
    that confirms one.
    """

    kind: KeyKind
    user_id: str
    key_hash: str
    created_on: int
    expires_at: int
    email: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and how many there are in all."""

    items: list[T]
    count: int
