"""Token buckets."""

from __future__ import annotations

from users_server.errors import LimitExceeded, ProtocolViolation


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

    def take(self, now: float, count: int = 1) -> bool:
        """Use ``count`` tokens, all or none. False if there are not so many; ``refused`` counts refusals in a row."""
        tokens = min(self.burst, self.tokens + (now - self.updated) * self.rate)
        self.updated = now
        if tokens < count:
            self.tokens = tokens
            self.refused += 1
            return False
        self.tokens = tokens - count
        self.refused = 0
        return True


def spend(bucket: TokenBucket | None, rate: float, now: float) -> TokenBucket | None:
    """
    Take a token for one message of a client, and return its bucket.

    A client has none until its first message, and never one where ``rate``, messages a second, is 0: no limit.

    Raises:
        LimitExceeded: If there is none.
        ProtocolViolation: If there is none, and the client has been told so again and again.
    """
    if not rate:
        return None
    if bucket is None:
        bucket = TokenBucket(rate, max(1.0, rate), now)
    if not bucket.take(now):
        if bucket.refused > max(10.0, bucket.rate):
            raise ProtocolViolation("The client kept on sending over its rate limit")
        raise LimitExceeded("Too many messages", retry_after_seconds=1.0 / bucket.rate)
    return bucket
