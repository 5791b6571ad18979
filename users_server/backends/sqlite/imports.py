"""How far imports have come, in SQL. The promises are :class:`~users_server.core.imports.ImportStore`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import orjson

from users_server.core.messages import JSON

IMPORTS: tuple[str, ...] = ("CREATE TABLE imports (name TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",)
"""The step of :mod:`.migrations`."""


def get(connection: sqlite3.Connection, name: str) -> dict[str, JSON] | None:
    row = connection.execute("SELECT state FROM imports WHERE name = ?", (name,)).fetchone()
    return orjson.loads(row["state"]) if row else None


def put(connection: sqlite3.Connection, name: str, state: Mapping[str, JSON]) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO imports (name, state) VALUES (?, ?)", (name, orjson.dumps(dict(state)).decode())
    )
