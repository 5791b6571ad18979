"""A node of one process for tests: everything real, nothing but memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.core.clock import Clock, SystemClock
from users_server.core.hub import Hub
from users_server.core.node import Node
from users_server.core.statistics import Statistics


def memory_node(
    schedule_flush: Callable[[Callable[[], None]], object], clock: Clock | None = None, **options: Any
) -> Node:
    """A node that is not started. ``options`` are those of :class:`Node`."""
    clock = clock or SystemClock()
    broker = MemoryBroker(MemoryHistory(clock), clock)
    hub = Hub(schedule_flush, clock.monotonic, Statistics())
    return Node(broker, MemoryPresence(broker), hub, clock, **options)
