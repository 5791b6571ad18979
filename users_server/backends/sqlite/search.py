"""
Lists and searches of accounts whose cost does not grow with the number of accounts more than it must.

Rules: the text of a search is never a pattern. No statement sorts more than :data:`MOST_COUNTED` rows, and none counts
more. With few matches all of them are found and sorted; with more, the accounts are walked in their order until the
page is full, which many matches make short.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from users_server.backends.sqlite import search_index
from users_server.backends.sqlite.paging import bounds
from users_server.core.interfaces import MOST_COUNTED

_HAS_TEXT = "(instr(username_key, :key) OR (:emails AND instr(email_key, :key)))"
_IS_ODD = "(instr(username_key, char(0)) > 0 OR instr(email_key, char(0)) > 0)"
_PAGE = "ORDER BY created_on, id LIMIT :limit OFFSET :index"


def count(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM counters WHERE name = 'users'").fetchone()
    return int(row[0])


def page(connection: sqlite3.Connection, *, index: int, limit: int) -> list[sqlite3.Row]:
    return connection.execute(f"SELECT * FROM users {_PAGE}", bounds(index, limit)).fetchall()  # noqa: S608


def search(
    connection: sqlite3.Connection, *, key: str, emails: bool, index: int, limit: int
) -> tuple[list[sqlite3.Row], int]:
    """The rows of a page, and how many match; ``key`` is folded and not empty."""
    values = {"key": key, "emails": emails, "most": MOST_COUNTED + 1, **bounds(index, limit)}
    numbers = _matches(connection, key, values)
    if len(numbers) > MOST_COUNTED:
        statement = f"SELECT * FROM users WHERE {_HAS_TEXT} {_PAGE}"  # noqa: S608
        return connection.execute(statement, values).fetchall(), MOST_COUNTED
    if not limit or index >= len(numbers):
        return [], len(numbers)
    return _rows(connection, numbers, values), len(numbers)


def _matches(connection: sqlite3.Connection, key: str, values: dict[str, Any]) -> Sequence[int]:
    """The numbers of the accounts that match, no more than ``most`` of them, in no order."""
    if len(key) < search_index.MIN_LETTERS or "\0" in key or not search_index.is_in_step(connection):
        found = connection.execute(
            f"SELECT number FROM user_search WHERE {_HAS_TEXT} LIMIT :most",  # noqa: S608
            values,
        )
        return [row[0] for row in found]
    columns = "{username_key email_key}" if values["emails"] else "{username_key}"
    phrase = '"' + key.replace('"', '""') + '"'
    indexed = connection.execute(
        "SELECT rowid FROM user_texts WHERE user_texts MATCH ? LIMIT ?", (f"{columns} : {phrase}", values["most"])
    )
    odd = connection.execute(f"SELECT number FROM user_search WHERE {_IS_ODD} AND {_HAS_TEXT} LIMIT :most", values)  # noqa: S608
    return list({row[0] for found in (indexed, odd) for row in found})


def _rows(connection: sqlite3.Connection, numbers: Sequence[int], values: dict[str, Any]) -> list[sqlite3.Row]:
    """The page of the accounts with these numbers."""
    marks = ",".join(str(int(number)) for number in numbers)
    return connection.execute(
        f"""
        SELECT users.* FROM (
            SELECT user_id, created_on FROM user_search WHERE number IN ({marks})
            ORDER BY created_on, user_id LIMIT :limit OFFSET :index
        ) AS found JOIN users ON users.id = found.user_id
        ORDER BY users.created_on, users.id
        """,  # noqa: S608
        values,
    ).fetchall()
