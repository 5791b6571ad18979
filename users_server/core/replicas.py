"""The presence replicas of this node, one for each channel in which somebody here hears of it."""

from __future__ import annotations

from collections.abc import Callable

from users_server.core.interfaces import PresenceManager
from users_server.core.local_channel import ChannelKey
from users_server.core.messages import PresenceChange
from users_server.core.presence import PresenceSource, Replica
from users_server.core.tasks import Tasks


class Replicas:
    """
    Makes a replica for the first who needs it, and forgets it after the last.

    Args:
        tell: Called with each change that a replica knows of.
        lease_seconds: As :attr:`users_server.core.presence.PresenceSource.lease_seconds`.
    """

    def __init__(
        self,
        presence: PresenceManager,
        tell: Callable[[PresenceChange], None],
        tasks: Tasks,
        lease_seconds: float,
    ) -> None:
        self._presence = presence
        self._tell = tell
        self._tasks = tasks
        self._lease_seconds = lease_seconds
        self._replicas: dict[ChannelKey, Replica] = {}

    def __len__(self) -> int:
        return len(self._replicas)

    def use(self, key: ChannelKey) -> Replica:
        """The channel's replica; :meth:`release` must follow."""
        replica = self._replicas.get(key)
        if replica is None:
            app, channel = key
            source = PresenceSource(
                app, channel, lambda: self._presence.state(app, channel), self._tell, self._lease_seconds
            )
            replica = self._replicas[key] = Replica(source, self._tasks)
        replica.users += 1
        return replica

    def release(self, key: ChannelKey) -> None:
        """One subscription needs it no more."""
        replica = self._replicas[key]
        replica.users -= 1
        if not replica.users:
            del self._replicas[key]
            replica.close()

    def depart(self, key: ChannelKey, connection_id: str) -> None:
        """A member of this node is leaving: :meth:`users_server.core.presence.Replica.depart`, if there is one."""
        replica = self._replicas.get(key)
        if replica is not None:
            replica.depart(connection_id)

    def handle(self, change: PresenceChange) -> None:
        """From the broker."""
        replica = self._replicas.get((change.app, change.channel))
        if replica is not None:
            replica.handle(change)

    def refresh_all(self) -> None:
        """Changes may have been lost in any channel."""
        for replica in self._replicas.values():
            replica.refresh()
