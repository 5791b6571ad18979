"""What of the messages that one node has heard another one has handled."""

from __future__ import annotations

from collections.abc import Sequence


def handled_of(heard: Sequence[bytes], handled: Sequence[bytes]) -> int:
    """
    How many of the first of ``heard`` are handled.

    Both are digests in the same order. ``handled`` goes on from before ``heard`` began, and may know messages that
    were not heard. Equal messages are told apart by those before them; where that is not enough, one is rather
    handled twice than not at all.
    """
    for end in range(len(handled), 0, -1):
        best, longest = 0, 0
        last = handled[end - 1]
        for stop in range(1, len(heard) + 1):
            if heard[stop - 1] != last:
                continue
            length = _common(heard, stop, handled, end)
            if length > longest:
                best, longest = stop, length
        if best:
            return best
    return 0


def _common(heard: Sequence[bytes], stop: int, handled: Sequence[bytes], end: int) -> int:
    """How many digests before ``stop`` and ``end`` are the same."""
    most = min(stop, end)
    for length in range(1, most):
        if heard[stop - 1 - length] != handled[end - 1 - length]:
            return length
    return most
