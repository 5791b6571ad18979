"""What a process knows of an app while it delivers for it: how much it may do at once, and whether it should rest."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_ALLOWANCE = 4
"""How many queues of an app are worked on at once before its endpoint has answered; each answer allows one more."""

SLOW_SECONDS = 1.0
"""An endpoint that takes longer than this does not count as one that works well."""

REST_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Between two calls of an endpoint that is unreachable; the last one is for all that follow."""


@dataclass(slots=True, eq=False)
class AppWork:
    """
    One app.

    Attributes:
        has_more: Whether it may have a queue that is due.
        lane: Where it waits for its turn: with those that are proven, with the others, or nowhere.
        wakes: How often something was written for it, to be compared.
        in_flight: Queues that are worked on, or that are about to be claimed.
        allowance: How many that may be.
        is_proven: Whether its endpoint answered lately, and not slowly. Others share a part of all calls.
        url: The endpoint that all this was learnt of; it may hold a secret.
        failures: How often in a row it was unreachable; above 0 it rests, and is tried by one call at a time.
    """

    id: str
    max_in_flight: int
    has_more: bool = False
    lane: bool | None = None
    is_claiming: bool = False
    wakes: int = 0
    in_flight: int = 0
    allowance: int = FIRST_ALLOWANCE
    is_proven: bool = False
    failures: int = 0
    changed_at: float = 0.0
    rest_until: float = 0.0
    url: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self.allowance = min(FIRST_ALLOWANCE, self.max_in_flight)

    def can_claim(self, now: float) -> bool:
        """Whether a further claim makes sense. ``now`` is of the monotonic clock, as everywhere here."""
        return (
            self.has_more
            and self.lane is None
            and not self.is_claiming
            and self.in_flight < self.allowance
            and now >= self.rest_until
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost if it is forgotten but what was learnt of its endpoint."""
        return not self.in_flight and self.lane is None and not self.is_claiming

    def note_answer(self, started: float, now: float) -> bool:
        """A call was taken. True if the endpoint had been unreachable."""
        if started < self.changed_at:
            return False
        has_rested = self.failures > 0
        self.is_proven = now - started <= SLOW_SECONDS
        if has_rested:
            self.changed_at = now
            self.forget_failures()
        elif self.allowance < self.max_in_flight:
            self.allowance += 1
        return has_rested

    def forget_failures(self) -> None:
        """Begin as with an app that nothing is known of."""
        self.failures, self.rest_until = 0, 0.0
        self.allowance = min(FIRST_ALLOWANCE, self.max_in_flight)

    def note_unreachable(self, started: float, now: float) -> bool:
        """There was no answer. True if that is news; of calls that were made side by side, the first one counts."""
        if started < self.changed_at:
            return False
        self.failures += 1
        rest = REST_SECONDS[min(self.failures, len(REST_SECONDS)) - 1]
        self.rest_until = now + rest * random.uniform(0.8, 1.2)  # noqa: S311 - against processes in step
        self.allowance, self.is_proven, self.changed_at = 1, False, now
        return self.failures == 1
