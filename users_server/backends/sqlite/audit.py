"""The audit log in SQL. Each function is called inside of a transaction; the promises are
:class:`~users_server.core.safety_stores.AuditStore`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from users_server.backends.records import audit_fields
from users_server.backends.sqlite.paging import bounds
from users_server.core.accounts import Page
from users_server.core.audit import AuditEntry, AuditQuery


def add(connection: sqlite3.Connection, entries: Sequence[AuditEntry]) -> None:
    connection.executemany(
        """
        INSERT OR IGNORE INTO audit_entries (
            id, at, action, user_id, username, username_key, by_id, by_name, by_key, address, user_agent, details
        ) VALUES (
            :id, :at, :action, :user_id, :username, :username_key, :by_id, :by_name, :by_key, :address, :user_agent,
            :details
        )
        """,
        [{"id": entry.id, **audit_fields(entry)} for entry in entries],
    )


def page(connection: sqlite3.Connection, query: AuditQuery, *, index: int, limit: int) -> Page[AuditEntry]:
    criteria = _criteria(query)
    values = {
        "user_id": query.user_id,
        "name": query.name.casefold(),
        "action": query.action,
        "address": query.address,
        "since": query.since,
        "until": query.until,
        **bounds(index, limit),
    }
    rows = connection.execute(
        f"SELECT * FROM audit_entries WHERE {criteria} ORDER BY id DESC LIMIT :limit OFFSET :index",  # noqa: S608
        values,
    ).fetchall()
    found = connection.execute(f"SELECT count(*) FROM audit_entries WHERE {criteria}", values).fetchone()  # noqa: S608
    return Page([_entry(row) for row in rows], found[0])


def trim(connection: sqlite3.Connection, *, before: int, most: int) -> int:
    aged = connection.execute("DELETE FROM audit_entries WHERE id < ?", (f"{max(before, 0):012x}",)).rowcount
    excess = connection.execute("SELECT count(*) FROM audit_entries").fetchone()[0] - most
    if excess <= 0:
        return aged
    pushed_out = connection.execute(
        "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries ORDER BY id LIMIT ?)", (excess,)
    )
    return aged + pushed_out.rowcount


def erase(connection: sqlite3.Connection, user_id: str, names: Sequence[str], *, pseudonym: str) -> int:
    keys = sorted({name.casefold() for name in names if name})
    marks = ",".join("?" * len(keys))
    is_subject, is_actor = f"(user_id = ? OR username_key IN ({marks}))", f"(by_id = ? OR by_key IN ({marks}))"
    hidden = "address = '', user_agent = '', details = '{}'"
    changed = connection.execute(
        f"SELECT count(*) FROM audit_entries WHERE {is_subject} OR {is_actor}",  # noqa: S608
        (user_id, *keys, user_id, *keys),
    ).fetchone()[0]
    for whose, columns in (
        (is_actor, ("by_id", "by_name", "by_key")),
        (is_subject, ("user_id", "username", "username_key")),
    ):
        assignments = ", ".join(f"{column} = ?" for column in columns)
        connection.execute(
            f"UPDATE audit_entries SET {assignments}, {hidden} WHERE {whose}",  # noqa: S608
            (pseudonym, pseudonym, pseudonym, user_id, *keys),
        )
    return int(changed)


def _criteria(query: AuditQuery) -> str:
    """Only what was asked for, so that an index is used where there is one."""
    parts = ["1"]
    whose = []
    if query.user_id:
        whose += ["user_id = :user_id", "by_id = :user_id"]
    if query.name:
        whose += ["username_key = :name", "by_key = :name"]
    if whose:
        parts.append(f"({' OR '.join(whose)})")
    if query.action:
        parts.append("action = :action")
    if query.address:
        parts.append("address = :address")
    if query.since is not None:
        parts.append("at >= :since")
    if query.until is not None:
        parts.append("at < :until")
    return " AND ".join(parts)


def _entry(row: sqlite3.Row) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        action=row["action"],
        user_id=row["user_id"],
        username=row["username"],
        by_id=row["by_id"],
        by_name=row["by_name"],
        address=row["address"],
        user_agent=row["user_agent"],
        details=orjson.loads(row["details"]),
    )
