"""Which part of a list."""

from __future__ import annotations

_GREATEST_SKIP = 2**63 - 1
_GREATEST_LIMIT = 2**31 - 1


def bounds(index: int, limit: int) -> tuple[int, int]:
    """
    How many to pass over and how many to take, in the bounds of the protocol.

    Who is to take none must not ask: a limit of 0 means all to the server.
    """
    return min(max(index, 0), _GREATEST_SKIP), min(max(limit, 0), _GREATEST_LIMIT)
