"""
The hub: this node's connections, by id, user and channel, and the fan-out to them.

Rule 1: a publication is encoded and framed once for each encoder, and every subscriber's write is the same bytes.
Rule 2: frames wait in their channel until the flush, which comes once a loop tick (or once a window); then each
subscriber gets one write. Order is kept within a channel, and for a client between its own publication and the answers
that follow it.
Rule 3: nothing here waits for a client. A transport bounds itself; from a write it calls back nothing but
:meth:`Hub.write_changed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from users_server.core.connection import Connection
from users_server.core.interfaces import Encoder
from users_server.core.messages import Publication, Revocation
from users_server.core.statistics import Statistics

ChannelKey: TypeAlias = tuple[str, str]


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

    def forget_writers(self) -> None:
        """A member's transport writes in another way from now on."""
        self._writers = None

    def writers(self) -> tuple[Callable[[bytes], None], ...]:
        """Kept from flush to flush: with the transport's own function called directly, a delivery costs least."""
        if self._writers is None:
            self._writers = tuple(connection.transport.write for connection in self.members)
        return self._writers


class LocalChannel:
    """One channel's subscribers on this node, by encoder, and the frames that wait for them."""

    __slots__ = ("deliveries", "groups", "key", "pending", "pending_bytes", "pending_since", "publications")

    def __init__(self, key: ChannelKey) -> None:
        self.key = key
        self.groups: dict[Encoder, SubscriberGroup] = {}
        self.pending: dict[Encoder, list[bytes]] = {}
        self.pending_bytes = 0
        self.pending_since: list[float] = []
        self.publications = 0
        self.deliveries = 0

    def subscriber_count(self) -> int:
        return sum(map(len, self.groups.values()))


class Hub:
    """
    The local registry and the fan-out.

    Args:
        schedule_flush: Called with :meth:`flush` when something is pending; must call it soon, once.
        now: Seconds of a monotonic clock.
        statistics: Where to count.
        max_pending_bytes: A channel with more than this waiting is flushed at once, before the tick ends.
    """

    def __init__(
        self,
        schedule_flush: Callable[[Callable[[], None]], object],
        now: Callable[[], float],
        statistics: Statistics,
        *,
        max_pending_bytes: int = 262_144,
    ) -> None:
        self._schedule_flush = schedule_flush
        self._now = now
        self.statistics = statistics
        self._max_pending_bytes = max_pending_bytes
        self._connections: dict[str, Connection] = {}
        self._by_user: dict[str, dict[Connection, None]] = {}
        self._channels: dict[ChannelKey, LocalChannel] = {}
        self._dirty: dict[LocalChannel, None] = {}
        self._is_scheduled = False
        self.flush_id = 0

    def add(self, connection: Connection) -> None:
        """Register. The id must be new."""
        self._connections[connection.id] = connection
        user_id = connection.identity.user_id
        if user_id is not None:
            self._by_user.setdefault(user_id, {})[connection] = None
        self.statistics.connections += 1
        self.statistics.connections_total += 1

    def remove(self, connection: Connection) -> None:
        """Forget the connection and its subscriptions. Idempotent."""
        if self._connections.pop(connection.id, None) is None:
            return
        for channel in connection.subscriptions:
            self._leave(connection, (connection.app, channel))
        connection.subscriptions = ()
        user_id = connection.identity.user_id
        if user_id is not None:
            links = self._by_user[user_id]
            del links[connection]
            if not links:
                del self._by_user[user_id]
        self.statistics.connections -= 1

    def subscribe(self, connection: Connection, channels: tuple[str, ...]) -> None:
        """Add subscriptions. What was published before is not delivered, what comes after is."""
        for name in channels:
            if name in connection.subscriptions:
                continue
            key = (connection.app, name)
            channel = self._channels.get(key)
            if channel is None:
                channel = self._channels[key] = LocalChannel(key)
            elif channel.pending:
                self.flush()
            channel.groups.setdefault(connection.encoder, SubscriberGroup()).add(connection)
        former = connection.subscriptions
        connection.subscriptions = tuple(dict.fromkeys(former + channels)) if former else channels

    def _leave(self, connection: Connection, key: ChannelKey) -> None:
        channel = self._channels[key]
        group = channel.groups[connection.encoder]
        group.remove(connection)
        if not len(group):
            del channel.groups[connection.encoder]
            if not channel.groups:
                del self._channels[key]

    def write_changed(self, connection: Connection) -> None:
        """The connection's transport has put another function in the place of its ``write``."""
        for name in connection.subscriptions:
            self._channels[connection.app, name].groups[connection.encoder].forget_writers()

    @property
    def has_pending(self) -> bool:
        """Whether frames wait for the flush."""
        return bool(self._dirty)

    def connections(self) -> Iterable[Connection]:
        """All of them; a copy, so that the caller may close some."""
        return tuple(self._connections.values())

    def channels(self) -> Iterable[LocalChannel]:
        """Those that have a subscriber here; a copy."""
        return tuple(self._channels.values())

    def matching(self, revocation: Revocation) -> list[Connection]:
        """The connections whose identity the revocation takes."""
        user_id, session_id = revocation.user_id, revocation.session_id
        if user_id is not None:
            candidates: Iterable[Connection] = self._by_user.get(user_id, ())
        elif session_id is not None:
            candidates = self._connections.values()
        else:
            return []
        return [c for c in candidates if session_id is None or c.identity.session_id == session_id]

    def broadcast(self, publication: Publication) -> None:
        """Queue the publication for every local subscriber of its channel."""
        self.statistics.publications += 1
        channel = self._channels.get((publication.app, publication.channel))
        if channel is None:
            return
        channel.publications += 1
        for encoder in channel.groups:
            frame = encoder.encode(publication)
            if frame is not None:
                channel.pending.setdefault(encoder, []).append(frame)
                channel.pending_bytes += len(frame)
        channel.pending_since.append(self._now())
        if publication.by is not None:
            publisher = self._connections.get(publication.by.connection_id)
            if publisher is not None:
                publisher.published_in_flush = self.flush_id
        self._dirty[channel] = None
        if channel.pending_bytes > self._max_pending_bytes:
            self.flush()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._schedule_flush(self._scheduled_flush)

    def _scheduled_flush(self) -> None:
        self._is_scheduled = False
        if self._dirty:
            self.flush()

    def write(self, connection: Connection, frames: bytes) -> None:
        """Write an answer to one client, behind what it has published itself in this tick."""
        if connection.published_in_flush == self.flush_id and self._dirty:
            self.flush()
        connection.transport.write(frames)

    def flush(self) -> None:
        """Write out everything that is pending."""
        dirty, self._dirty = self._dirty, {}
        self.flush_id += 1
        self.statistics.flushes += 1
        if len(dirty) == 1:
            (channel,) = dirty
            for group, data in self._take(channel):
                for write in group.writers():
                    write(data)
                self.statistics.writes += len(group)
        else:
            self._flush_merged(dirty)
        now = self._now()
        for channel in dirty:
            for since in channel.pending_since:
                self.statistics.broadcast_latency.observe(now - since)
            channel.pending_since.clear()

    def _flush_merged(self, channels: Iterable[LocalChannel]) -> None:
        """Several channels at once: still one write a client, and one copy of the bytes for all that get the same."""
        parts: dict[Connection, tuple[bytes, ...]] = {}
        for channel in channels:
            for group, data in self._take(channel):
                for connection in group.members:
                    parts[connection] = (*parts.get(connection, ()), data)
        joined: dict[tuple[bytes, ...], bytes] = {}
        for connection, data_parts in parts.items():
            if data_parts not in joined:
                joined[data_parts] = b"".join(data_parts)
            connection.transport.write(joined[data_parts])
        self.statistics.writes += len(parts)

    def _take(self, channel: LocalChannel) -> Iterable[tuple[SubscriberGroup, bytes]]:
        """The channel's pending bytes for each group, which are pending no more."""
        pending, channel.pending = channel.pending, {}
        channel.pending_bytes = 0
        statistics = self.statistics
        for encoder, frames in pending.items():
            group = channel.groups.get(encoder)
            if group is None:
                continue
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            count = len(frames) * len(group)
            channel.deliveries += count
            statistics.deliveries += count
            statistics.bytes_queued += len(data) * len(group)
            yield group, data
