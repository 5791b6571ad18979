"""What is counted about web hooks. Plain integers; the web layer exports them."""

from __future__ import annotations

from dataclasses import dataclass, field

from users_server.core.statistics import Histogram

CALL_BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class WebhookFigures:
    """
    Counters of one process since its start.

    Attributes:
        announced: Announcements that were written.
        delivered: Deliveries that were made.
        failed: Attempts that failed.
        dead: Deliveries that were given up.
        wills: What dead processes had left and was owed then.
        in_flight: Calls under way now.
        unwritten: Steps that wait for the store now.
        open: Announcements of this process that are not over.
        resting: Apps whose endpoint does not answer, and is tried by one call at a time.
        waiting: Deliveries in the store, of all processes, when it was last looked.
        latency: Seconds that a call took, whatever became of it.
    """

    announced: int = 0
    delivered: int = 0
    failed: int = 0
    dead: int = 0
    wills: int = 0
    in_flight: int = 0
    unwritten: int = 0
    open: int = 0
    resting: int = 0
    waiting: int = 0
    latency: Histogram = field(
        default_factory=lambda: Histogram(CALL_BOUNDS_SECONDS, [0] * (len(CALL_BOUNDS_SECONDS) + 1))
    )
