"""
How failed logins are counted: what happens to one counter, as plain functions that every store calls.

Rule: an attempt is counted when it begins, so that guesses in parallel cannot slip under a limit, on one node or on
many. A window opens with its first failure; when it has ended, the counter begins anew, also for the attempts of a node
that died in the middle of them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

BUSY_MS = 1000
"""When to come back if only attempts that are still being verified fill the limit."""


class AttemptOutcome(enum.Enum):
    """How an attempt ended. ``RELEASED``: undecided, or right but not to be forgiven; failures stay as they are."""

    FAILED = "failed"
    SUCCEEDED = "succeeded"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Attempts:
    """One counter. ``pending`` are the attempts under way; ``ends_at`` is when the window ends, in milliseconds."""

    failures: int
    pending: int
    ends_at: int

    @property
    def is_empty(self) -> bool:
        return not self.failures and not self.pending


def begin(current: Attempts | None, *, limit: int, window_ms: int, now: int) -> Attempts | int:
    """The counter with one more attempt under way; a number: the limit is reached, wait so many milliseconds."""
    live = current if current is not None and current.ends_at > now else Attempts(0, 0, now + window_ms)
    if live.failures >= limit:
        return live.ends_at - now
    if live.failures + live.pending >= limit:
        return min(BUSY_MS, live.ends_at - now)
    return replace(live, pending=live.pending + 1)


def end(current: Attempts | None, outcome: AttemptOutcome, *, window_ms: int, now: int) -> Attempts | None:
    """The counter after an attempt; :obj:`None` if nothing is left to be remembered."""
    live = current if current is not None and current.ends_at > now else Attempts(0, 0, now + window_ms)
    ended = replace(live, pending=max(live.pending - 1, 0))
    if outcome is AttemptOutcome.SUCCEEDED:
        ended = replace(ended, failures=0)
    elif outcome is AttemptOutcome.FAILED:
        ends_at = ended.ends_at if ended.failures else now + window_ms
        ended = replace(ended, failures=ended.failures + 1, ends_at=ends_at)
    return None if ended.is_empty else ended
