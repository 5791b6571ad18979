"""The table of messages. All go from the server to the client; the only place that knows their types."""

from __future__ import annotations

from dataclasses import dataclass

from users_server.protocols.base import SchemaClass
from users_server.protocols.watch import schemas as s


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the table. ``help`` is one sentence for the catalogue."""

    type: str
    output: SchemaClass
    help: str


SUBSCRIBED = Message("subscribed", s.SubscribedOutput, "First of all: what comes later is everything from here on")
PUBLICATION = Message("publication", s.PublicationOutput, "Something was published")
PRESENCE = Message("presence", s.PresenceOutput, "A member came to a channel with presence, or went")
GAP = Message("gap", s.GapOutput, "Publications were lost and cannot be recovered")

MESSAGES = (SUBSCRIBED, PUBLICATION, PRESENCE, GAP)
