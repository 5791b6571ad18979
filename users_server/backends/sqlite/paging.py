"""Which part of a list."""

from __future__ import annotations

_MOST = 2**63 - 1
"""The greatest integer that SQLite takes."""


def bounds(index: int, limit: int) -> dict[str, int]:
    """SQL parameters ``index`` and ``limit``. A negative limit would mean all rows to SQLite; here it means none."""
    return {"index": min(max(index, 0), _MOST), "limit": min(max(limit, 0), _MOST)}
