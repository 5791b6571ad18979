"""The node: what protocols and services call. It knows the local hub and the broker that joins it to other nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.interfaces import Broker
from users_server.core.messages import JSON, ClientInfo, Publication, Revocation, StreamPosition
from users_server.errors import Disconnect, SessionExpired


class Node:
    """
    This process in a cluster.

    :meth:`publish` is the only way in and :meth:`handle_publication` the only way out, on one node too, so that every
    node sees one order in a channel.
    """

    def __init__(self, broker: Broker, hub: Hub) -> None:
        self._broker = broker
        self.hub = hub
        self.statistics = hub.statistics
        self.reply = hub.write
        """Write to one client, behind what that client has published: :meth:`users_server.core.hub.Hub.write`."""

    async def start(self) -> None:
        """Begin to receive publications. Raises :class:`BrokerUnavailable`."""
        await self._broker.start(self)

    async def stop(self) -> None:
        """Receive no more. Idempotent."""
        await self._broker.stop()

    async def check(self) -> None:
        """Return if the broker works, else raise :class:`BrokerUnavailable`."""
        await self._broker.check()

    def connect(self, connection: Connection, channels: tuple[str, ...] = ()) -> None:
        """Register a connection with its first subscriptions."""
        self.hub.add(connection)
        self.hub.subscribe(connection, channels)

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection: from now on it gets nothing. Idempotent."""
        self.hub.remove(connection)

    def publish(
        self, app: str, channel: str, event: str, data: Mapping[str, JSON], *, by: ClientInfo | None = None
    ) -> Awaitable[StreamPosition]:
        """
        Publish to every subscriber of ``channel``, on all nodes.

        The hand-over to the broker is complete when this returns; await the result to know that it was accepted, which
        may be before any subscriber has it. Delivery is at most once, in one order on every node. Awaiting raises
        :class:`BrokerUnavailable` if nothing was published.
        """
        return self._broker.publish(Publication(app, channel, event, data, by))

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        """Close the sockets that ``revocation`` matches, on all nodes. Awaiting raises :class:`BrokerUnavailable`."""
        return self._broker.revoke(revocation)

    def handle_publication(self, publication: Publication) -> None:
        """From the broker: deliver to local subscribers."""
        self.hub.broadcast(publication)

    def handle_revocation(self, revocation: Revocation) -> None:
        """From the broker: close local sockets."""
        for connection in self.hub.matching(revocation):
            self.close(connection, SessionExpired(revocation.message))

    def close(self, connection: Connection, reason: Disconnect) -> None:
        """Close one connection for ``reason``; it gets nothing from now on but the close itself."""
        if connection.is_closing:
            return
        if self.hub.has_pending:
            self.hub.flush()
        self.statistics.closed[reason.reason] += 1
        self.hub.remove(connection)
        connection.close(reason)

    def close_all(self, reason: Disconnect) -> None:
        """Close every connection of this node."""
        for connection in self.hub.connections():
            self.close(connection, reason)
