"""The table of the relay's messages (relay.md). The only place that knows their types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from users_server.core.messages import JSON
from users_server.protocols.base import Direction, SchemaClass
from users_server.protocols.relay import handlers
from users_server.protocols.relay import schemas as s

SERVER, BOTH = Direction.SERVER, Direction.BOTH

Handler: TypeAlias = Callable[[Any, handlers.Place, dict[str, JSON]], handlers.Result]
"""``(event, place, data)`` to what shall happen; see :data:`users_server.protocols.base.Handler`."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One line of the table. ``help`` is one sentence for the catalogue.

    Attributes:
        type: Stands in the messages of the server; what a client sends has none, since there is one kind of it.
        input: What a client may send, and ``handler`` what is done with it.
    """

    type: str
    direction: Direction
    output: SchemaClass
    help: str
    input: SchemaClass = s.NothingInput
    handler: Handler = handlers.refuse


MESSAGE = Event(
    "message", BOTH, s.MessageOutput, "Somebody has sent something in the channel", s.SendInput, handlers.send
)
SENDED = Event("sended", SERVER, s.SendedOutput, "The answer to what a client has sent, for that client alone")
CONNECTED = Event("connected", SERVER, s.ConnectedOutput, "For a newcomer: who is there")
CONNECT_OTHER = Event("connectOther", SERVER, s.PresenceOutput, "Another user has come, with his first connection")
DISCONNECT_OTHER = Event("disconnectOther", SERVER, s.PresenceOutput, "Another user's last connection has gone")
SUBSCRIBED = Event("subscribed", SERVER, s.SubscribedOutput, "With recover=1, first of all: from where on it goes")
GAP = Event("gap", SERVER, s.GapOutput, "With recover=1: messages were lost; those after the position follow")

EVENTS = (MESSAGE, SENDED, CONNECTED, CONNECT_OTHER, DISCONNECT_OTHER, SUBSCRIBED, GAP)
BY_TYPE = {event.type: event for event in EVENTS}

OWN_TYPES = frozenset(BY_TYPE) - {MESSAGE.type}
"""What only the relay itself says: a publication of that name, from another protocol, cannot be told from it."""
