"""What the node counts. Plain integers, so that counting costs nothing; the web layer exports them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

LATENCY_BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound, as Prometheus has them but not yet cumulated; the last count is beyond all bounds."""

    bounds: tuple[float, ...] = LATENCY_BOUNDS_SECONDS
    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_SECONDS) + 1))
    total: float = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.total += value * times
        for index, bound in enumerate(self.bounds):
            if value <= bound:
                self.counts[index] += times
                return
        self.counts[-1] += times


@dataclass(slots=True)
class Statistics:
    """
    Counters of one node since its start.

    Attributes:
        started_at: When that was, by the server's monotonic clock.
        connections: Open now.
        connections_total: Opened since the start.
        publications: That reached this node's hub.
        deliveries: Frames queued for a subscriber; one publication to ten subscribers counts ten.
        writes: Writes that carried deliveries; ``deliveries - writes`` were coalesced with another.
        flushes: How often pending frames were written out.
        messages: ``(event name, result)`` to how many client messages had it.
        gaps: How often publications of a channel were lost on their way to this node.
        recoveries: ``recovered`` or ``lost`` to how many clients came back and were so.
        interruptions: How often the line to the other nodes was cut and came back.
        closed: Reason slug to how many connections this server closed for it.
        broadcast_latency: Seconds from a publication's arrival at the hub to its last write.
        loop_lag: Seconds that the event loop was late for a timer.
    """

    started_at: float = 0.0
    connections: int = 0
    connections_total: int = 0
    publications: int = 0
    deliveries: int = 0
    writes: int = 0
    flushes: int = 0
    bytes_queued: int = 0
    gaps: int = 0
    interruptions: int = 0
    recoveries: Counter[str] = field(default_factory=Counter)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    broadcast_latency: Histogram = field(default_factory=Histogram)
    loop_lag: Histogram = field(default_factory=Histogram)
