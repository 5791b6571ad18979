"""What every wire protocol is made of: an event table, what a handler returns, and how a link is opened."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from marshmallow import Schema

from users_server.core.connection import Connection
from users_server.core.interfaces import Transport
from users_server.core.messages import JSON, Identity
from users_server.errors import Disconnect


class Direction(enum.Enum):
    """Who may send an event."""

    SERVER = "server to client"
    BOTH = "both"


@dataclass(slots=True)
class Reply:
    """Answer the sender alone, in the form of the protocol's event ``event``. Not frozen: one is made a message."""

    event: str
    data: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish to a channel of the connection's app; subscribers get it, the sender too if he is one."""

    channel: str
    event: str
    data: Mapping[str, JSON]


SchemaClass: TypeAlias = type[Schema]
Result: TypeAlias = "Reply | Publish | None"
Handler: TypeAlias = "Callable[[Any, Event, Connection, dict[str, Any]], Result | Awaitable[Result]]"
"""
``(context, event, connection, message)`` to what shall happen. A handler never writes; it may raise a
:class:`ClientError`, which is answered, or a :class:`Disconnect`. ``message`` is what the input schema gave.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One line of a protocol's event table; everything about the event is found from here.

    ``output`` is the shape that clients receive, ``input`` the shape that they may send (by default the same fields are
    accepted as are sent). ``help`` is one sentence for the catalogue.
    """

    type: int
    name: str
    direction: Direction
    input: SchemaClass
    output: SchemaClass
    handler: Handler
    help: str


class Framing(Protocol):
    """How a payload becomes bytes on the socket; shared by all connections that negotiated the same."""

    def text(self, payload: bytes) -> bytes:
        """One complete text message. ``payload`` is UTF-8."""

    def binary(self, payload: bytes) -> bytes:
        """One complete binary message."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who came in through the handshake."""

    connection_id: str
    identity: Identity
    address: str


class Receiver(Protocol):
    """A protocol's end of one link, driven by the websocket shell."""

    def receive(self, payload: bytes, is_text: bool) -> Awaitable[None] | None:
        """
        One whole message, text or binary.

        Returns an awaitable if the answer needs time: the shell reads nothing more from this client until it is done,
        so that answers keep the order of their questions. Never raises.
        """

    def write_changed(self) -> None:
        """The transport has replaced its ``write`` function."""

    def disconnect(self, reason: Disconnect) -> None:
        """Close the link for ``reason`` with the protocol's own code."""

    def lost(self) -> None:
        """Nothing more will be received or can be sent, by whatever end. Called exactly once."""


class WireProtocol(Protocol):
    """A protocol folder's object."""

    name: str
    checks_origin: bool
    """Whether ``websocket.approvedSocketDomains`` holds for it."""

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> Receiver:
        """Take over a link whose handshake is done. May write at once."""

    def close_code(self, reason: Disconnect) -> int:
        """The close code for ``reason``; total."""
