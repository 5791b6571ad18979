"""What accounts use of the storage, in SQL. Called inside of a transaction; the promises are StorageStatsStore's."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from users_server.backends.sqlite.paging import bounds
from users_server.core.files import StorageStats


def create(connection: sqlite3.Connection, stats: StorageStats) -> bool:
    added = connection.execute(
        """
        INSERT OR IGNORE INTO storage_stats
            (id, user_id, username, calls_allocated, memory_allocated, calls_used, memory_used)
        VALUES (:id, :user_id, :username, :calls_allocated, :memory_allocated, :calls_used, :memory_used)
        """,
        asdict(stats),
    )
    return added.rowcount == 1


def get(connection: sqlite3.Connection, user_id: str) -> StorageStats | None:
    row = connection.execute("SELECT * FROM storage_stats WHERE user_id = ?", (user_id,)).fetchone()
    return StorageStats(**dict(row)) if row else None


def change(
    connection: sqlite3.Connection,
    user_id: str,
    *,
    calls_used: int | None,
    calls_allocated: int | None,
    memory_used: int | None,
    memory_allocated: int | None,
) -> bool:
    changed = connection.execute(
        """
        UPDATE storage_stats SET
            calls_used = coalesce(:calls_used, calls_used),
            calls_allocated = coalesce(:calls_allocated, calls_allocated),
            memory_used = coalesce(:memory_used, memory_used),
            memory_allocated = coalesce(:memory_allocated, memory_allocated)
        WHERE user_id = :user_id
        """,
        {
            "user_id": user_id,
            "calls_used": calls_used,
            "calls_allocated": calls_allocated,
            "memory_used": memory_used,
            "memory_allocated": memory_allocated,
        },
    )
    return changed.rowcount == 1


def count_call(connection: sqlite3.Connection, user_id: str) -> bool:
    changed = connection.execute(
        "UPDATE storage_stats SET calls_used = calls_used + 1 WHERE user_id = ? AND calls_used < calls_allocated",
        (user_id,),
    )
    return changed.rowcount == 1


def add(connection: sqlite3.Connection, user_id: str, *, calls: int, memory: int) -> None:
    """Count so much, or give it back; never below 0."""
    connection.execute(
        """
        UPDATE storage_stats SET
            calls_used = max(calls_used + :calls, 0), memory_used = max(memory_used + :memory, 0)
        WHERE user_id = :user_id
        """,
        {"user_id": user_id, "calls": calls, "memory": memory},
    )


def delete(connection: sqlite3.Connection, user_id: str) -> None:
    connection.execute("DELETE FROM storage_stats WHERE user_id = ?", (user_id,))


def ownerless(connection: sqlite3.Connection, *, limit: int) -> Sequence[str]:
    rows = connection.execute(
        """
        SELECT user_id FROM storage_stats WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = user_id)
        LIMIT :limit
        """,
        bounds(0, limit),
    ).fetchall()
    return [row["user_id"] for row in rows]
