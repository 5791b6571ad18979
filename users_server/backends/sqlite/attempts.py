"""Counters of failed logins in SQL. Each function is called inside of a transaction; the promises are
:class:`~users_server.core.safety_stores.AttemptStore`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from users_server.core import attempts as counting
from users_server.core.attempts import AttemptOutcome, Attempts


def begin(connection: sqlite3.Connection, limits: Mapping[str, int], *, window_ms: int, now: int) -> int:
    begun: dict[str, Attempts] = {}
    for key, limit in limits.items():
        attempts = counting.begin(_get(connection, key), limit=limit, window_ms=window_ms, now=now)
        if isinstance(attempts, int):
            return attempts
        begun[key] = attempts
    for key, attempts in begun.items():
        _put(connection, key, attempts)
    return 0


def end(connection: sqlite3.Connection, outcomes: Mapping[str, AttemptOutcome], *, window_ms: int, now: int) -> None:
    for key, outcome in outcomes.items():
        attempts = counting.end(_get(connection, key), outcome, window_ms=window_ms, now=now)
        if attempts is None:
            connection.execute("DELETE FROM login_attempts WHERE key = ?", (key,))
        else:
            _put(connection, key, attempts)


def trim(connection: sqlite3.Connection, *, now: int, most: int) -> int:
    expired = connection.execute("DELETE FROM login_attempts WHERE ends_at <= ?", (now,)).rowcount
    excess = connection.execute("SELECT count(*) FROM login_attempts").fetchone()[0] - most
    if excess <= 0:
        return expired
    pushed_out = connection.execute(
        """
        DELETE FROM login_attempts WHERE key IN (
            SELECT key FROM login_attempts ORDER BY failures, ends_at, key LIMIT ?
        )
        """,
        (excess,),
    )
    return expired + pushed_out.rowcount


def _get(connection: sqlite3.Connection, key: str) -> Attempts | None:
    row = connection.execute("SELECT failures, pending, ends_at FROM login_attempts WHERE key = ?", (key,)).fetchone()
    return Attempts(*row) if row else None


def _put(connection: sqlite3.Connection, key: str, attempts: Attempts) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO login_attempts (key, failures, pending, ends_at) VALUES (?, ?, ?, ?)",
        (key, attempts.failures, attempts.pending, attempts.ends_at),
    )
