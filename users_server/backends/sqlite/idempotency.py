"""
Idempotency keys in SQL. Each function is called inside of a transaction; the promises are
:class:`~users_server.core.idempotency.IdempotencyStore`'s.
"""

from __future__ import annotations

import sqlite3

from users_server.backends.sqlite.paging import bounds
from users_server.core.idempotency import KeptAnswer


def claim(
    connection: sqlite3.Connection,
    scope: str,
    key: str,
    *,
    fingerprint: str,
    now: int,
    abandoned_at: int,
    expires_at: int,
) -> KeptAnswer | None:
    row = connection.execute(
        """
        SELECT fingerprint, answer FROM idempotency_keys
        WHERE scope = ? AND key = ? AND expires_at > ? AND (answer <> '' OR abandoned_at > ?)
        """,
        (scope, key, now, now),
    ).fetchone()
    if row is not None:
        return KeptAnswer(row["fingerprint"], row["answer"])
    connection.execute(
        """
        INSERT OR REPLACE INTO idempotency_keys (scope, key, fingerprint, answer, abandoned_at, expires_at)
        VALUES (?, ?, ?, '', ?, ?)
        """,
        (scope, key, fingerprint, abandoned_at, expires_at),
    )
    return None


def keep(connection: sqlite3.Connection, scope: str, key: str, *, answer: str) -> None:
    connection.execute("UPDATE idempotency_keys SET answer = ? WHERE scope = ? AND key = ?", (answer, scope, key))


def release(connection: sqlite3.Connection, scope: str, key: str) -> None:
    connection.execute("DELETE FROM idempotency_keys WHERE scope = ? AND key = ? AND answer = ''", (scope, key))


def trim(connection: sqlite3.Connection, *, now: int, most: int, limit: int) -> int:
    """Forget up to ``limit`` keys of each scope; how many."""
    scopes = connection.execute(
        """
        WITH RECURSIVE scopes (scope) AS (
            SELECT min(scope) FROM idempotency_keys
            UNION ALL
            SELECT (SELECT min(scope) FROM idempotency_keys WHERE scope > scopes.scope)
            FROM scopes WHERE scope IS NOT NULL
        )
        SELECT scope FROM scopes WHERE scope IS NOT NULL
        """
    ).fetchall()
    return sum(_trim_scope(connection, row["scope"], now=now, most=most, limit=limit) for row in scopes)


def _trim_scope(connection: sqlite3.Connection, scope: str, *, now: int, most: int, limit: int) -> int:
    expired = connection.execute(
        """
        DELETE FROM idempotency_keys WHERE scope = :scope AND key IN (
            SELECT key FROM idempotency_keys WHERE scope = :scope AND expires_at <= :now LIMIT :limit
        )
        """,
        {"scope": scope, "now": now, "limit": limit},
    ).rowcount
    # The oldest are those that expire first.
    newest_excess = connection.execute(
        """
        SELECT expires_at, key FROM idempotency_keys WHERE scope = :scope
        ORDER BY expires_at DESC, key DESC LIMIT 1 OFFSET :index
        """,
        {"scope": scope, **bounds(most, 1)},
    ).fetchone()
    if newest_excess is None:
        return expired
    pushed_out = connection.execute(
        """
        DELETE FROM idempotency_keys WHERE scope = :scope AND key IN (
            SELECT key FROM idempotency_keys WHERE scope = :scope AND (expires_at, key) <= (:expires_at, :key)
            ORDER BY expires_at, key LIMIT :limit
        )
        """,
        {"scope": scope, "limit": limit, **dict(newest_excess)},
    )
    return expired + pushed_out.rowcount
