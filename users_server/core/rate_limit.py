"""Token buckets."""

from __future__ import annotations


class TokenBucket:
    """
    Allows ``rate`` actions a second in the long run and ``burst`` at once.

    The caller brings the time, in seconds of one monotonic clock, so that a bucket costs no timer.
    """

    __slots__ = ("burst", "rate", "refused", "tokens", "updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.updated = now
        self.refused = 0

    def take(self, now: float) -> bool:
        """Use one token. False if there is none; ``refused`` counts how many in a row were refused."""
        tokens = min(self.burst, self.tokens + (now - self.updated) * self.rate)
        self.updated = now
        if tokens < 1.0:
            self.tokens = tokens
            self.refused += 1
            return False
        self.tokens = tokens - 1.0
        self.refused = 0
        return True
