"""The channels of one link, what all links share, and what of a link the steps of a join need."""

from __future__ import annotations

from dataclasses import dataclass, field

from users_server.core.connection import Connection
from users_server.protocols.base import Foundation
from users_server.protocols.jwp.codec import Ref
from users_server.protocols.jwp.encoder import JWPEncoder
from users_server.protocols.jwp.idle import IdleWatch
from users_server.protocols.jwp.settings import JWPSettings

COUNTED_AS = "jwp message"
"""What the messages of clients are called in the metrics."""


@dataclass(slots=True)
class Seat:
    """
    One joined channel of a link.

    Attributes:
        announcement: What web hooks are owed for it, if any are.
        was_live: Whether the client was ever told that it has joined.
    """

    topic: str
    channel: str
    join_ref: Ref
    announcement: str | None
    was_live: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all receivers of the protocol share."""

    settings: JWPSettings
    foundation: Foundation
    idle_watch: IdleWatch

    def end(self, seat: Seat) -> None:
        """The channel is left, however: the web hook that was announced is owed now."""
        if seat.announcement is not None:
            self.foundation.webhooks.end(seat.announcement)

    def retract(self, announcement: str | None) -> None:
        """What was announced did not happen."""
        if announcement is not None:
            self.foundation.webhooks.retract(announcement)

    def count(self, result: str) -> None:
        self.foundation.node.statistics.messages[COUNTED_AS, result] += 1


@dataclass(frozen=True, slots=True)
class Place:
    """One link: its connection, its encoder, and its channels by topic."""

    exchange: Exchange
    connection: Connection
    encoder: JWPEncoder
    seats: dict[str, Seat] = field(default_factory=dict)
