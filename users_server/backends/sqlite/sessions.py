"""Logins in SQL. Each function is called inside of a transaction; the promises are :class:`SessionStore`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from users_server.backends.sqlite.errors import is_taken
from users_server.backends.sqlite.paging import bounds
from users_server.core.accounts import Page, Session
from users_server.errors import Conflict


def create(connection: sqlite3.Connection, session: Session) -> None:
    try:
        connection.execute(
            """
            INSERT INTO sessions (
                id, token_hash, user_id, username, created_on, expires_at, lifetime_ms, is_persistent, address,
                user_agent
            ) VALUES (
                :id, :token_hash, :user_id, :username, :created_on, :expires_at, :lifetime_ms, :is_persistent, :address,
                :user_agent
            )
            """,
            asdict(session),
        )
    except sqlite3.IntegrityError as error:
        if is_taken(error):
            raise Conflict("A session with that id or token exists already") from error
        raise


def find(connection: sqlite3.Connection, token_hash: str, *, now: int) -> Session | None:
    row = connection.execute(
        "SELECT * FROM sessions WHERE token_hash = ? AND expires_at > ?", (token_hash, now)
    ).fetchone()
    return _session(row) if row else None


def get(connection: sqlite3.Connection, session_id: str, *, now: int) -> Session | None:
    row = connection.execute("SELECT * FROM sessions WHERE id = ? AND expires_at > ?", (session_id, now)).fetchone()
    return _session(row) if row else None


def touch(connection: sqlite3.Connection, session_id: str, *, expires_at: int) -> bool:
    changed = connection.execute(
        "UPDATE sessions SET expires_at = max(expires_at, ?) WHERE id = ?", (expires_at, session_id)
    )
    return changed.rowcount == 1


def delete(connection: sqlite3.Connection, session_id: str) -> Session | None:
    row = connection.execute("SELECT * FROM sessions WHERE id = ?", (session_id,)).fetchone()
    connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
    return _session(row) if row else None


def delete_of_user(connection: sqlite3.Connection, user_id: str) -> Sequence[Session]:
    rows = connection.execute("SELECT * FROM sessions WHERE user_id = ? ORDER BY created_on, id", (user_id,)).fetchall()
    connection.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))
    return [_session(row) for row in rows]


def page(connection: sqlite3.Connection, *, now: int, index: int, limit: int) -> Page[Session]:
    values = {"now": now, **bounds(index, limit)}
    rows = connection.execute(
        "SELECT * FROM sessions WHERE expires_at > :now ORDER BY created_on, id LIMIT :limit OFFSET :index", values
    ).fetchall()
    found = connection.execute("SELECT count(*) FROM sessions WHERE expires_at > :now", values).fetchone()
    return Page([_session(row) for row in rows], found[0])


def of_user(connection: sqlite3.Connection, user_id: str, *, now: int, limit: int) -> Sequence[Session]:
    rows = connection.execute(
        """
        SELECT * FROM sessions WHERE user_id = :user_id AND expires_at > :now
        ORDER BY created_on DESC, id DESC LIMIT :limit
        """,
        {"user_id": user_id, "now": now, **bounds(0, limit)},
    ).fetchall()
    return [_session(row) for row in rows]


def take_expired(connection: sqlite3.Connection, *, now: int, limit: int) -> Sequence[Session]:
    rows = connection.execute(
        "SELECT * FROM sessions WHERE expires_at <= :now ORDER BY expires_at, id LIMIT :limit",
        {"now": now, **bounds(0, limit)},
    ).fetchall()
    connection.executemany("DELETE FROM sessions WHERE id = ?", [(row["id"],) for row in rows])
    return [_session(row) for row in rows]


def _session(row: sqlite3.Row) -> Session:
    return Session(
        id=row["id"],
        token_hash=row["token_hash"],
        user_id=row["user_id"],
        username=row["username"],
        created_on=row["created_on"],
        expires_at=row["expires_at"],
        lifetime_ms=row["lifetime_ms"],
        is_persistent=bool(row["is_persistent"]),
        address=row["address"],
        user_agent=row["user_agent"],
    )
