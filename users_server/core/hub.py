"""
The hub: this node's connections, by id, user and channel, and the fan-out to them.

Rule 1: a publication is encoded and framed once for each encoder, and every subscriber's write is the same bytes.
Rule 2: frames wait in their channel until the flush, which comes once a loop tick (or once a window); then each
subscriber gets one write. Order is kept within a channel, and for a client between its own publication and the answers
that follow it.
Rule 3: nothing here waits for a client. A transport bounds itself; from a write it calls back nothing but
:meth:`Hub.write_changed`.
Rule 4: what a publication costs depends on its channel's subscribers alone, not on other channels, apps or users.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias, TypeVar

from users_server.core.connection import Connection
from users_server.core.local_channel import ChannelKey, Floor, LocalChannel, SubscriberGroup
from users_server.core.messages import Gap, PresenceChange, Publication, Revocation
from users_server.core.statistics import Statistics

__all__ = ["ChannelKey", "Hub", "LocalChannel", "SubscriberGroup"]

log = logging.getLogger(__name__)

K = TypeVar("K")

OccupancyObserver: TypeAlias = Callable[[str, str, bool], None]
"""``(app, channel, is_occupied)``: the first subscriber on this node has come, or the last has gone."""


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
        self._by_account: dict[str, dict[Connection, None]] = {}
        self._by_user: dict[tuple[str, str], dict[Connection, None]] = {}
        self._channels: dict[ChannelKey, LocalChannel] = {}
        self._observers: list[OccupancyObserver] = []
        self._dirty: dict[LocalChannel, None] = {}
        self._is_scheduled = False
        self.flush_id = 0

    def add(self, connection: Connection) -> None:
        """Register. The id must be new."""
        self._connections[connection.id] = connection
        account_id, user_id = connection.identity.user_id, connection.user_id
        if account_id is not None:
            self._by_account.setdefault(account_id, {})[connection] = None
        if user_id is not None:
            self._by_user.setdefault((connection.app, user_id), {})[connection] = None
        self.statistics.connections += 1
        self.statistics.connections_total += 1

    def remove(self, connection: Connection) -> None:
        """Forget the connection and its pinned channels; other subscriptions must have been left. Idempotent."""
        if self._connections.pop(connection.id, None) is None:
            return
        for name in connection.pinned:
            self.leave(connection, self._channels[connection.app, name])
        connection.pinned = ()
        account_id, user_id = connection.identity.user_id, connection.user_id
        if account_id is not None:
            _drop(self._by_account, account_id, connection)
        if user_id is not None:
            _drop(self._by_user, (connection.app, user_id), connection)
        self.statistics.connections -= 1

    def has(self, connection: Connection) -> bool:
        """Whether it is registered."""
        return self._connections.get(connection.id) is connection

    def pin(self, connection: Connection, channels: tuple[str, ...]) -> None:
        """Subscribe a connection that has none yet to channels that it keeps for its life."""
        for name in channels:
            self.enter(connection, self.open((connection.app, name)))
        connection.pinned = channels

    def open(self, key: ChannelKey) -> LocalChannel:
        """The channel on this node, which is made if need be. :meth:`close_unused` must follow if nobody enters."""
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = LocalChannel(key)
        return channel

    def forget_position(self, key: ChannelKey) -> None:
        """What was heard in the channel until now may not go on without a break."""
        channel = self._channels.get(key)
        if channel is not None:
            channel.position = None

    def close_unused(self, channel: LocalChannel) -> None:
        """Forget the channel if there is neither a subscriber nor a newcomer."""
        if not channel.groups and not channel.newcomers and self._channels.get(channel.key) is channel:
            del self._channels[channel.key]

    def enter(
        self,
        connection: Connection,
        channel: LocalChannel,
        *,
        floor: Floor | None = None,
        hears_presence: bool = False,
        is_listed: bool = False,
    ) -> None:
        """
        Subscribe. What was published before is not delivered, what comes after is.

        With ``floor``, publications up to there are left out as well. Who hears of presence and is listed does not hear
        of itself.
        """
        is_first = not channel.groups
        channel.add(connection)
        if floor is not None:
            channel.floors[connection] = floor
        if hears_presence:
            channel.listeners[connection] = is_listed
        if is_first:
            self._observe(channel.key, True)

    def leave(self, connection: Connection, channel: LocalChannel) -> None:
        """End a subscription: nothing of the channel is delivered any more, not even what is pending."""
        channel.remove(connection)
        if not channel.groups:
            self._observe(channel.key, False)
            self.close_unused(channel)

    def observe_occupancy(self, observer: OccupancyObserver) -> None:
        """Call ``observer`` when a channel gets its first subscriber here and when it has lost its last."""
        self._observers.append(observer)

    def _observe(self, key: ChannelKey, is_occupied: bool) -> None:
        for observer in self._observers:
            try:
                observer(*key, is_occupied)
            except Exception:
                log.exception("an observer of channels failed")

    def write_changed(self, connection: Connection) -> None:
        """The connection's transport has put another function in the place of its ``write``."""
        for name in connection.subscriptions:
            self._channels[connection.app, name].groups[connection.encoder].forget_writers()

    @property
    def has_pending(self) -> bool:
        """Whether frames wait for the flush."""
        return bool(self._dirty)

    def connections(self) -> Collection[Connection]:
        """All of them; a copy, so that the caller may close some."""
        return tuple(self._connections.values())

    def channels(self) -> Iterable[LocalChannel]:
        """Those that have a subscriber here, or will have; a copy."""
        return tuple(self._channels.values())

    def subscriber_count(self, key: ChannelKey) -> int:
        channel = self._channels.get(key)
        return 0 if channel is None else channel.subscriber_count()

    def matching(self, revocation: Revocation) -> list[Connection]:
        """The connections whose identity the revocation takes."""
        user_id, session_id = revocation.user_id, revocation.session_id
        if user_id is not None:
            candidates: Iterable[Connection] = self._by_account.get(user_id, ())
        elif session_id is not None:
            candidates = self._connections.values()
        else:
            return []
        return [c for c in candidates if session_id is None or c.identity.session_id == session_id]

    def of_user(self, app: str, user_id: str) -> Collection[Connection]:
        """The connections of a user of an app; a copy."""
        return tuple(self._by_user.get((app, user_id), ()))

    def broadcast(self, publication: Publication, via: str | None = None) -> None:
        """Queue the publication for every local subscriber of its channel, or of the channel ``via``."""
        self.statistics.publications += 1
        channel = self._channels.get((publication.app, publication.channel if via is None else via))
        if channel is None:
            return
        channel.publications += 1
        excluded = self._advance(channel, publication) if publication.position is not None and via is None else ()
        if excluded or publication.to_user is not None or publication.except_connection is not None:
            self._queue_narrowed(channel, publication, excluded)
        else:
            for encoder in channel.groups:
                frame = encoder.encode(publication)
                if frame is not None:
                    channel.pending.setdefault(encoder, []).append(frame)
                    channel.pending_bytes += len(frame)
                    if channel.personal:
                        channel.queue_personal(encoder, frame)
        channel.pending_since.append(self._now())
        if publication.by is not None:
            publisher = self._connections.get(publication.by.connection_id)
            if publisher is not None:
                publisher.published_in_flush = self.flush_id
        self._mark_dirty(channel)

    def tell_presence(self, change: PresenceChange) -> None:
        """Queue a presence change for the local subscribers that hear of it, but not for one that is the member."""
        channel = self._channels.get((change.app, change.channel))
        if channel is None or not channel.listeners:
            return
        member = self._connections.get(change.member.connection_id)
        excluded = (member,) if member is not None and channel.listeners.get(member) else ()
        if len(channel.listeners) == channel.subscriber_count():
            channel.queue_except(lambda encoder: encoder.encode_presence(change), excluded)
        else:
            targets = [connection for connection in channel.listeners if connection not in excluded]
            channel.queue_for(lambda encoder: encoder.encode_presence(change), targets)
        self._mark_dirty(channel)

    def tell_gap(self, gap: Gap) -> None:
        """Queue the news of a loss for every local subscriber that it concerns."""
        self.statistics.gaps += 1
        channel = self._channels.get((gap.app, gap.channel))
        if channel is None:
            return
        channel.position = gap.top
        for newcomer in tuple(channel.newcomers):
            newcomer.feed_gap(gap)
        excluded = channel.pass_floors(gap.top) if channel.floors else ()
        channel.queue_except(lambda encoder: encoder.encode_gap(gap), excluded)
        self._mark_dirty(channel)

    def _advance(self, channel: LocalChannel, publication: Publication) -> Collection[Connection]:
        """A publication with a position has come: who has it already?"""
        position = publication.position
        channel.position = position
        if channel.newcomers:
            for newcomer in tuple(channel.newcomers):
                newcomer.feed(publication)
        if channel.floors and position is not None:
            return channel.pass_floors(position)
        return ()

    def _queue_narrowed(
        self, channel: LocalChannel, publication: Publication, excluded: Collection[Connection]
    ) -> None:
        if publication.except_connection is not None:
            exception = self._connections.get(publication.except_connection)
            if exception is not None:
                excluded = {*excluded, exception}
        if publication.to_user is None:
            channel.queue_except(lambda encoder: encoder.encode(publication), excluded)
            return
        links = self._by_user.get((publication.app, publication.to_user), ())
        targets = [connection for connection in links if connection not in excluded and channel.has(connection)]
        channel.queue_for(lambda encoder: encoder.encode(publication), targets)

    def _mark_dirty(self, channel: LocalChannel) -> None:
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
            for group, count, data in channel.take():
                self._count(channel, len(group), count, data)
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
            for group, count, data in channel.take():
                self._count(channel, len(group), count, data)
                for connection in group.members:
                    parts[connection] = (*parts.get(connection, ()), data)
        joined: dict[tuple[bytes, ...], bytes] = {}
        for connection, data_parts in parts.items():
            if data_parts not in joined:
                joined[data_parts] = b"".join(data_parts)
            connection.transport.write(joined[data_parts])
        self.statistics.writes += len(parts)

    def _count(self, channel: LocalChannel, subscribers: int, frames: int, data: bytes) -> None:
        channel.deliveries += frames * subscribers
        self.statistics.deliveries += frames * subscribers
        self.statistics.bytes_queued += len(data) * subscribers


def _drop(index: dict[K, dict[Connection, None]], key: K, connection: Connection) -> None:
    links = index[key]
    del links[connection]
    if not links:
        del index[key]
