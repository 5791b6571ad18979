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

SYSTEM_CHANNELS = frozenset({USERS_CHANNEL, ECHO_CHANNEL})
"""Of the default app. Only the Users Socket API and the user service subscribe and publish there."""


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """
    A place in a channel's history.

    Offsets of one ``epoch`` begin at 1 and grow by one; positions of two epochs do not compare.
    """

    offset: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """
    Who published: a connection's id and, if he is known, the user.

    ``user_id`` is an id within the app (:attr:`users_server.core.connection.Connection.user_id`).
    """

    connection_id: str
    username: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """
    One message in a channel. ``event`` is a name such as ``Login``; each codec gives it its protocol's form.

    Attributes:
        by: The client that published; :obj:`None` for the server and for services.
        position: Where it stands in the channel's history; :obj:`None` in a channel without history.
        to_user: If set, only the connections of this user of the app get it.
        except_connection: If set, the connection that does not get it.
    """

    app: str
    channel: str
    event: str
    data: JSON
    by: ClientInfo | None = None
    position: StreamPosition | None = None
    to_user: str | None = None
    except_connection: str | None = None

    @property
    def is_for_all(self) -> bool:
        return self.to_user is None and self.except_connection is None


@dataclass(frozen=True, slots=True)
class HistoryRule:
    """How much of a channel is kept: the newest ``size`` publications, none older than ``seconds``."""

    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """
    Publications in the order of their offsets, without a gap between them.

    Attributes:
        top: The position of the channel's newest publication at the moment of reading; offset 0 if there was none yet.
        is_complete: Whether ``publications`` begins right after the position that was asked for. If false, what lies
            between is lost, and ``publications`` is empty.
    """

    publications: tuple[Publication, ...]
    top: StreamPosition
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Member:
    """
    One connection that is listed in a channel's presence.

    Attributes:
        connection_id: Unique in the whole cluster.
        user_id: Within the app. A user with several connections is several members and one user.
        info: What the others are told about him.
        ref: Names this time of being listed; unique in the cluster. Empty where nobody wants to know.
    """

    connection_id: str
    user_id: str
    info: JSON = None
    ref: str = ""


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """
    One member came or went.

    Attributes:
        is_join: Else it is a leave.
        is_of_user: Whether the user himself came or went: the first of his connections, or the last.
        version: Counts the changes of this channel's presence up by one; versions of two epochs do not compare.
    """

    app: str
    channel: str
    member: Member
    is_join: bool
    is_of_user: bool
    version: int
    epoch: str


@dataclass(frozen=True, slots=True)
class PresenceState:
    """All members of a channel, in the order in which they came, as of ``version``."""

    members: tuple[Member, ...]
    version: int
    epoch: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications of a channel with history were lost on their way to this node and cannot be recovered."""

    app: str
    channel: str
    top: StreamPosition


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A message from node to node that is no publication.

    ``kind`` is a name such as ``app_changed``. Whoever sends one may get it too.
    """

    kind: str
    data: Mapping[str, JSON]


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
        address: Where a request comes from, for the audit log.
        user_agent: As its client calls itself.
    """

    user_id: str | None = None
    username: str | None = None
    privileges: int = 3
    session_id: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    is_trusted: bool = False
    expires_at: float | None = None
    address: str = field(default="", compare=False)
    user_agent: str = field(default="", compare=False)

    @property
    def is_authenticated(self) -> bool:
        return self.user_id is not None

    @property
    def is_admin(self) -> bool:
        return self.user_id is not None and self.privileges <= 2


ANONYMOUS = Identity()
