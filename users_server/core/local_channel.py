"""One channel on this node: who is subscribed here, and the frames that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from users_server.core.connection import Connection
from users_server.core.interfaces import Encoder
from users_server.core.messages import Gap, Publication, StreamPosition

ChannelKey: TypeAlias = tuple[str, str]
"""App and channel."""

Encode: TypeAlias = Callable[[Encoder], bytes | None]


class Newcomer(Protocol):
    """A subscription under way: it sees what comes in the channel, but its client gets nothing of it yet."""

    def feed(self, publication: Publication) -> None: ...

    def feed_gap(self, gap: Gap) -> None: ...


@dataclass(frozen=True, slots=True)
class Floor:
    """
    What a subscriber has already although it has not come to this node: everything up to ``position``.

    ``stale_epoch`` is one that was over before; what still comes of it is older than the position.
    """

    position: StreamPosition
    stale_epoch: str | None = None

    def covers(self, position: StreamPosition) -> bool:
        if position.epoch == self.position.epoch:
            return position.offset <= self.position.offset
        return position.epoch == self.stale_epoch


class SubscriberGroup:
    """The subscribers of one channel that share an encoder, and their write functions, ready for the next flush."""

    __slots__ = ("_writers", "members")

    def __init__(self) -> None:
        self.members: dict[Connection, None] = {}
        self._writers: tuple[Callable[[bytes], None], ...] | None = None

    def __len__(self) -> int:
        return len(self.members)

    def add(self, connection: Connection) -> None:
        self.members[connection] = None
        self._writers = None

    def remove(self, connection: Connection) -> None:
        del self.members[connection]
        self._writers = None

    def without(self, others: Container[Connection]) -> SubscriberGroup:
        """A group of those that are not in ``others``, for one flush."""
        group = SubscriberGroup()
        group.members = {connection: None for connection in self.members if connection not in others}
        return group

    def forget_writers(self) -> None:
        """A member's transport writes in another way from now on."""
        self._writers = None

    def writers(self) -> tuple[Callable[[bytes], None], ...]:
        """Kept from flush to flush: with the transport's own function called directly, a delivery costs least."""
        if self._writers is None:
            self._writers = tuple(connection.transport.write for connection in self.members)
        return self._writers


class LocalChannel:
    """
    One channel's subscribers on this node, by encoder, and the frames that wait for them.

    Frames for all wait once for each encoder. A subscriber that gets not quite the same has a list of its own in
    ``personal`` until the next flush, in which everything of the channel is that it gets.

    Attributes:
        listeners: The subscribers that hear who comes and goes, and whether they are listed themselves.
        newcomers: Subscriptions that are not live yet.
        floors: Subscribers that are ahead of this node, and how far.
        position: Of the newest publication that came to this node since it hears of the channel without a break.
    """

    __slots__ = (
        "deliveries",
        "floors",
        "groups",
        "key",
        "listeners",
        "newcomers",
        "pending",
        "pending_bytes",
        "pending_since",
        "personal",
        "position",
        "publications",
    )

    def __init__(self, key: ChannelKey) -> None:
        self.key = key
        self.groups: dict[Encoder, SubscriberGroup] = {}
        self.listeners: dict[Connection, bool] = {}
        self.newcomers: dict[Newcomer, None] = {}
        self.floors: dict[Connection, Floor] = {}
        self.position: StreamPosition | None = None
        self.pending: dict[Encoder, list[bytes]] = {}
        self.personal: dict[Connection, list[bytes]] = {}
        self.pending_bytes = 0
        self.pending_since: list[float] = []
        self.publications = 0
        self.deliveries = 0

    def subscriber_count(self) -> int:
        return sum(map(len, self.groups.values()))

    def has(self, connection: Connection) -> bool:
        """Whether ``connection`` is subscribed."""
        group = self.groups.get(connection.encoder)
        return group is not None and connection in group.members

    def add(self, connection: Connection) -> None:
        """Subscribe: what is pending is not delivered to it, what comes after is."""
        self.groups.setdefault(connection.encoder, SubscriberGroup()).add(connection)
        if connection.encoder in self.pending:
            self.personal[connection] = []

    def remove(self, connection: Connection) -> None:
        """It gets nothing any more, not even what is pending."""
        group = self.groups[connection.encoder]
        group.remove(connection)
        if not len(group):
            del self.groups[connection.encoder]
            self.pending.pop(connection.encoder, None)
        self.listeners.pop(connection, None)
        self.floors.pop(connection, None)
        self.personal.pop(connection, None)

    def pass_floors(self, position: StreamPosition) -> set[Connection]:
        """The subscribers that have what stands at ``position`` already; all others are ahead no more."""
        ahead = {connection for connection, floor in self.floors.items() if floor.covers(position)}
        self.floors = {connection: floor for connection, floor in self.floors.items() if connection in ahead}
        return ahead

    def queue_personal(self, encoder: Encoder, frame: bytes) -> None:
        """A frame for all was queued: also for those of ``encoder`` that have a list of their own."""
        for connection, frames in self.personal.items():
            if connection.encoder is encoder:
                frames.append(frame)
                self.pending_bytes += len(frame)

    def queue_except(self, encode: Encode, excluded: Collection[Connection]) -> None:
        """Queue for all but some."""
        for connection in excluded:
            if self.has(connection):
                self._frames_of(connection)
        for encoder in self.groups:
            frame = encode(encoder)
            if frame is None:
                continue
            self.pending.setdefault(encoder, []).append(frame)
            self.pending_bytes += len(frame)
            for connection, frames in self.personal.items():
                if connection.encoder is encoder and connection not in excluded:
                    frames.append(frame)
                    self.pending_bytes += len(frame)

    def queue_for(self, encode: Encode, targets: Collection[Connection]) -> None:
        """Queue for some, all of which are subscribed."""
        encoded: dict[Encoder, bytes | None] = {}
        for connection in targets:
            encoder = connection.encoder
            if encoder not in encoded:
                encoded[encoder] = encode(encoder)
            frame = encoded[encoder]
            if frame is not None:
                self._frames_of(connection).append(frame)
                self.pending_bytes += len(frame)

    def _frames_of(self, connection: Connection) -> list[bytes]:
        frames = self.personal.get(connection)
        if frames is None:
            frames = self.personal[connection] = list(self.pending.get(connection.encoder, ()))
        return frames

    def take(self) -> Iterator[tuple[SubscriberGroup, int, bytes]]:
        """What is pending, and is pending no more: who gets how many frames, joined. Each subscriber comes once."""
        pending, self.pending = self.pending, {}
        personal, self.personal = self.personal, {}
        self.pending_bytes = 0
        for encoder, frames in pending.items():
            group = self.groups[encoder]
            if personal:
                group = group.without(personal)
            if len(group):
                yield group, len(frames), frames[0] if len(frames) == 1 else b"".join(frames)
        same: dict[tuple[bytes, ...], SubscriberGroup] = {}
        for connection, own in personal.items():
            if own:
                same.setdefault(tuple(own), SubscriberGroup()).add(connection)
        for parts, group in same.items():
            yield group, len(parts), b"".join(parts)
