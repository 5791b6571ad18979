"""What an operator may want to know of the line to Redis: plain numbers, read whenever somebody asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RedisStatistics:
    """
    Attributes:
        is_connected: Whether Redis can be used; of a Cluster, whether all of its masters can.
        reconnects: Times that a line was back after it had been cut.
        waiting: Commands that wait for a line.
        subscriptions: Pub/Sub channels of this node.
        catch_ups: Times that a channel's history was read to find what had been missed.
        recovered: Publications that came that way.
        gaps: Times that what had been missed was not there any more.
        duplicates: Publications that came a second time and were dropped.
        repeated: Commands that were sent again because their answer was lost.
        late: Publications and questions that were given up.
        reaped: Members that left because their node was dead.
        lapses: Times that this node's lease had ended, so that it claimed its members again.
    """

    is_connected: bool = False
    reconnects: int = 0
    waiting: int = 0
    subscriptions: int = 0
    catch_ups: int = 0
    recovered: int = 0
    gaps: int = 0
    duplicates: int = 0
    repeated: int = 0
    late: int = 0
    reaped: int = 0
    lapses: int = 0
