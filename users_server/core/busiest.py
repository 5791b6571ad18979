"""The busiest connections and channels of a node, found when somebody asks; nothing is kept for it meanwhile."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import itemgetter

from users_server.core.connection import Connection
from users_server.core.hub import Hub, LocalChannel


@dataclass(frozen=True, slots=True)
class Busiest:
    """
    What :func:`find_busiest` found, the busiest first.

    Attributes:
        queue_bytes: What waits for all connections together.
        connections: Each with the bytes that wait for it.
    """

    queue_bytes: int
    connections: list[tuple[Connection, int]]
    channels: list[LocalChannel]


def find_busiest(hub: Hub, limit: int) -> Busiest:
    """
    Up to ``limit`` connections and up to ``limit`` channels, in one pass over all.

    A connection is the busier the more bytes wait for it, then the more it has sent; a channel, the more it has
    delivered, then the more subscribers it has.
    """
    loads = [(c.transport.queued_bytes, c.messages_in, c) for c in hub.connections()]
    return Busiest(
        queue_bytes=sum(load[0] for load in loads),
        connections=[(c, queued) for queued, _, c in heapq.nlargest(limit, loads, key=itemgetter(0, 1))],
        channels=heapq.nlargest(limit, hub.channels(), key=lambda c: (c.deliveries, c.subscriber_count())),
    )
