"""One connection in one channel, from the wish to the end."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from users_server.core.connection import Connection
from users_server.core.local_channel import LocalChannel
from users_server.core.messages import Gap, Member, Publication, StreamPosition
from users_server.errors import Conflict, LimitExceeded

if TYPE_CHECKING:
    from users_server.core.presence import Replica
    from users_server.core.recovery import CatchUp


@dataclass(frozen=True, slots=True)
class Subscribed:
    """
    What a client has at the moment at which its subscription becomes live.

    Attributes:
        position: The channel's top: all that comes after is delivered. :obj:`None` in a channel without history.
        is_recovered: Whether the client has everything since the position that it gave; :obj:`None` if it gave none.
        recovered: What it missed, oldest first and without a gap but for what is not for it.
        members: Who is there, itself included, in the order of coming; empty for a client that does not hear of it.
    """

    channel: str
    position: StreamPosition | None = None
    is_recovered: bool | None = None
    recovered: tuple[Publication, ...] = ()
    members: tuple[Member, ...] = ()


Greet: TypeAlias = Callable[[Subscribed], bytes | None]
"""Called once, when the subscription becomes live; gives the frames that tell the client so. It must not publish."""


class State(enum.Enum):
    """Where a subscription stands."""

    JOINING = enum.auto()
    LIVE = enum.auto()
    ENDED = enum.auto()


class Subscription:
    """
    One connection in one channel. Until it is live, a :class:`users_server.core.local_channel.Newcomer`.

    Attributes:
        since: The position from which the client wants to go on.
        catch_up: Its way to the top; only while it joins, and only in a channel with history.
        hears_presence: Whether it is told who comes and goes.
        replica: What it uses to know who is there; only if it hears of it.
        is_listed: Whether the presence manager may know it, so that it must be told of its end.
        listed: Set while it waits for nothing but its own join; done when it is live or over.
        failure: Why it ended, if that is to be told.
    """

    __slots__ = (
        "_give_up",
        "catch_up",
        "channel",
        "connection",
        "failure",
        "greet",
        "hears_presence",
        "is_listed",
        "listed",
        "member",
        "replica",
        "since",
        "state",
        "was_live",
    )

    def __init__(
        self,
        connection: Connection,
        channel: LocalChannel,
        greet: Greet,
        since: StreamPosition | None,
        member: Member | None,
        give_up: Callable[[Subscription], None],
        *,
        hears_presence: bool,
    ) -> None:
        self.connection = connection
        self.channel = channel
        self.greet: Greet | None = greet
        self.since = since
        self.member = member
        self.hears_presence = hears_presence
        self.catch_up: CatchUp | None = None
        self.replica: Replica | None = None
        self.state = State.JOINING
        self.was_live = False
        self.is_listed = False
        self.listed: asyncio.Future[None] | None = None
        self.failure: Exception | None = None
        self._give_up: Callable[[Subscription], None] | None = give_up

    @property
    def is_joining(self) -> bool:
        return self.state is State.JOINING

    @property
    def is_live(self) -> bool:
        return self.state is State.LIVE

    @property
    def is_caught_up(self) -> bool:
        """Whether no history need be read."""
        return self.catch_up is None or self.catch_up.has_page

    def check(self) -> None:
        """Raise why it ended before it was live, if it did."""
        if self.failure is not None:
            raise self.failure
        if self.state is State.ENDED and not self.was_live:
            raise Conflict("The subscription was given up")

    def feed(self, publication: Publication) -> None:
        """Something with a position came in the channel, and the client does not get it yet."""
        if self.catch_up is not None and not self.catch_up.feed(publication) and self._give_up is not None:
            self.failure = LimitExceeded("Too much was published while the subscription was made")
            self._give_up(self)

    def feed_gap(self, gap: Gap) -> None:
        """Something was lost, and the client knows of nothing yet."""
        if self.catch_up is not None:
            self.catch_up.feed_gap(gap)

    def settle(self) -> None:
        """It joins no more: let go of what only that needs."""
        self.catch_up = self.greet = self._give_up = None
        if self.listed is not None and not self.listed.done():
            self.listed.set_result(None)

    def is_for(self, publication: Publication) -> bool:
        """Whether the client may get it."""
        connection = self.connection
        return publication.except_connection != connection.id and publication.to_user in (None, connection.user_id)
