"""What travels through the node: frozen values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

JSON: TypeAlias = Any
"""A value that JSON can hold: ``None``, ``bool``, numbers, ``str``, ``list``, and ``dict`` with ``str`` keys."""

DEFAULT_APP = "default"
"""The app of everything that was not told another one."""

USERS_CHANNEL = "users"
"""In the default app: what the user service announces (login, logout, activated, removed, files, buckets)."""

ECHO_CHANNEL = "echo"
"""In the default app: broadcast echoes. Every approved connection of the Users Socket API subscribes."""


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A place in a channel's stream. Offsets of one ``epoch`` only grow; positions of two epochs do not compare."""

    offset: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who published: a connection's id and, if he is known, the user's name."""

    connection_id: str
    username: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """One message in a channel. ``event`` is a name such as ``Login``; each codec gives it its protocol's form."""

    app: str
    channel: str
    event: str
    data: Mapping[str, JSON]
    by: ClientInfo | None = None
    position: StreamPosition | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """
    Sockets that lose their identity at once.

    Of the fields that are set, all must match a connection's identity: ``user_id`` alone closes all sockets of a
    user, ``session_id`` alone those of one login.
    """

    user_id: str | None = None
    session_id: str | None = None
    message: str = "The session has ended"


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Who a client is. Anonymous: every field at its default.

    Attributes:
        user_id: The account's id; :obj:`None` for an anonymous client or a service.
        username: The account's username, never an email address; for a service, the ``sub`` of its token.
        privileges: 1 super admin, 2 admin, 3 regular (users-http-api.md, Privileges).
        session_id: The public id of the login that this identity rests on, if it rests on one.
        scopes: What a token allows beside the account's rights, for instance ``events:emit``.
        is_trusted: An internal service: it may emit user events and read and write everybody's meta data.
        expires_at: Seconds since 1970 at which the identity ends by itself (a token's ``exp``), if it does.
    """

    user_id: str | None = None
    username: str | None = None
    privileges: int = 3
    session_id: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    is_trusted: bool = False
    expires_at: float | None = None

    @property
    def is_authenticated(self) -> bool:
        return self.user_id is not None

    @property
    def is_admin(self) -> bool:
        return self.user_id is not None and self.privileges <= 2


ANONYMOUS = Identity()
