"""The table of events: the only place that knows their names, but for the shapes of what clients send."""

from __future__ import annotations

from dataclasses import dataclass

from users_server.protocols.base import SchemaClass
from users_server.protocols.jwp import schemas as s


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the table. ``shape`` is of the whole message without ``event``; ``help`` is one sentence."""

    type: str
    shape: SchemaClass
    help: str


REPLY = Event("phx_reply", s.ReplyOutput, "The answer to a message that had a ref")
CLOSE = Event("phx_close", s.CloseOutput, "The channel is left, or joined anew by the same client")
PRESENCE_STATE = Event("presence_state", s.PresenceStateOutput, "With presence_diffs, after each join: who is there")
PRESENCE_DIFF = Event("presence_diff", s.PresenceDiffOutput, "With presence_diffs: a connection came, or went")
SYSTEM = Event("jwp_system", s.SystemOutput, "This server has something to say about the channel")

JOIN = Event("phx_join", s.JoinInput, "Join a channel of the app")
LEAVE = Event("phx_leave", s.LeaveInput, "Leave a channel")
HEARTBEAT = Event("heartbeat", s.HeartbeatInput, "Stay connected: to be sent every 30 seconds, to the topic phoenix")

SERVER_EVENTS = (REPLY, CLOSE, PRESENCE_STATE, PRESENCE_DIFF, SYSTEM)
CLIENT_EVENTS = (JOIN, LEAVE, HEARTBEAT)

PHOENIX_TOPIC = "phoenix"
"""Of heartbeats."""

OWN_PREFIX = "phx_"
_OWN_EVENTS = frozenset(event.type for event in SERVER_EVENTS)


def is_reserved(event: str) -> bool:
    """Whether only the protocol itself says this: a publication of that name could not be told from it."""
    return event.startswith(OWN_PREFIX) or event in _OWN_EVENTS
