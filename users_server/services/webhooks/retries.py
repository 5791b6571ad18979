"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from users_server.core.outbox import Delivery

DELAYS_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
"""After the first, second, … attempt; the last one is for all that follow."""

JITTER = 0.2
"""How much longer a delay may be, as a part of it: queues that failed together are not tried together."""

MAX_ERROR_LENGTH = 300


class RetrySchedule:
    """
    Growing delays, until a delivery is too old.

    Args:
        give_up_seconds: How old it may be.
        spread: Between 0 and 1, differently each time.
    """

    def __init__(self, give_up_seconds: float, spread: Callable[[], float] = random.random) -> None:
        self._give_up_ms = round(give_up_seconds * 1000)
        self._spread = spread

    def is_too_old(self, delivery: Delivery, now_ms: int) -> bool:
        """Whether it is given up if it fails now."""
        return now_ms >= delivery.created_on + self._give_up_ms

    def next_attempt_at(self, failed: Delivery, now_ms: int) -> int:
        """When one that has failed ``failed.attempts`` times is tried again: at its end the last time."""
        delay = DELAYS_SECONDS[min(failed.attempts, len(DELAYS_SECONDS)) - 1]
        due = now_ms + round(delay * (1 + JITTER * self._spread()) * 1000)
        return min(due, max(now_ms, failed.created_on + self._give_up_ms))


def after_failure(delivery: Delivery, error: str) -> Delivery:
    """``delivery`` with one more attempt."""
    return replace(delivery, attempts=delivery.attempts + 1, last_error=error[:MAX_ERROR_LENGTH])


def given_up(delivery: Delivery, now_ms: int, error: str = "") -> Delivery:
    """``delivery``, dead; ``error`` is told in the place of its last one."""
    return replace(delivery, died_on=now_ms, last_error=(error or delivery.last_error)[:MAX_ERROR_LENGTH])
