"""How late the event loop is: the first sign that a node has too much to do, or that something blocks it."""

from __future__ import annotations

import asyncio

from users_server.core.statistics import Histogram


class LoopLagProbe:
    """Observes in ``histogram``, every ``interval_seconds``, by how much a timer came too late."""

    def __init__(self, histogram: Histogram, *, interval_seconds: float = 0.25) -> None:
        self._histogram = histogram
        self._interval = interval_seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._arm(loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval
        self._timer = loop.call_at(due, self._observe, loop, due)

    def _observe(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._histogram.observe(max(0.0, loop.time() - due))
        self._arm(loop)
