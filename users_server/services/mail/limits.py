"""How much mail strangers can cause."""

from __future__ import annotations

from collections import OrderedDict

from users_server.core.clock import Clock


class MailCounter:
    """
    Counts for each key, in a fixed window that opens with the first; the key used longest ago goes first.

    Args:
        limit: 0 for none.
    """

    def __init__(self, limit: int, window_seconds: float, max_entries: int, clock: Clock) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def wait(self, key: str) -> float:
        """Seconds until one more is allowed; 0 if it is now."""
        ends_at, count = self._entries.get(key, (0.0, 0))
        if not self._limit or not key or count < self._limit:
            return 0.0
        return max(ends_at - self._clock.monotonic(), 0.0)

    def count(self, key: str) -> None:
        """One more; an empty key is not counted."""
        if not self._limit or not key:
            return
        now = self._clock.monotonic()
        ends_at, count = self._entries.pop(key, (0.0, 0))
        if ends_at <= now:
            ends_at, count = now + self._window_seconds, 0
        self._entries[key] = (ends_at, count + 1)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
