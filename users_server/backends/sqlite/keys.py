"""One-time keys in SQL. Each function is called inside of a transaction; the promises are :class:`KeyStore`'s."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict

from users_server.core.accounts import KeyKind, OneTimeKey


def put(connection: sqlite3.Connection, key: OneTimeKey) -> None:
    connection.execute(
        """
        INSERT OR REPLACE INTO one_time_keys (kind, user_id, key_hash, created_on, expires_at, email)
        VALUES (:kind, :user_id, :key_hash, :created_on, :expires_at, :email)
        """,
        asdict(key) | {"kind": key.kind.value},
    )


def find(connection: sqlite3.Connection, kind: KeyKind, user_id: str, *, now: int) -> OneTimeKey | None:
    row = connection.execute(
        "SELECT * FROM one_time_keys WHERE kind = ? AND user_id = ? AND expires_at > ?", (kind.value, user_id, now)
    ).fetchone()
    return _key(row) if row else None


def take(connection: sqlite3.Connection, key: OneTimeKey) -> bool:
    deleted = connection.execute(
        "DELETE FROM one_time_keys WHERE kind = ? AND user_id = ? AND key_hash = ?",
        (key.kind.value, key.user_id, key.key_hash),
    )
    return deleted.rowcount == 1


def delete_of_user(connection: sqlite3.Connection, user_id: str) -> None:
    connection.execute("DELETE FROM one_time_keys WHERE user_id = ?", (user_id,))


def _key(row: sqlite3.Row) -> OneTimeKey:
    return OneTimeKey(
        kind=KeyKind(row["kind"]),
        user_id=row["user_id"],
        key_hash=row["key_hash"],
        created_on=row["created_on"],
        expires_at=row["expires_at"],
        email=row["email"],
    )
