"""Apps in SQL. Each function is called inside of a transaction; the promises are :class:`AppStore`'s."""

from __future__ import annotations

import sqlite3

from users_server.backends.records import dump_app, load_app
from users_server.backends.sqlite.errors import is_taken
from users_server.backends.sqlite.paging import bounds
from users_server.core.accounts import Page
from users_server.core.apps import App
from users_server.errors import Conflict


def create(connection: sqlite3.Connection, app: App) -> None:
    if connection.execute("SELECT 1 FROM retired_app_ids WHERE id = ?", (app.id,)).fetchone():
        raise Conflict("An app had that id before")
    values = (app.id, app.owner_id, app.created_on, app.version, dump_app(app))
    try:
        connection.execute(
            "INSERT INTO apps (id, owner_id, created_on, version, record) VALUES (?, ?, ?, ?, ?)", values
        )
        _insert_keys(connection, app)
    except sqlite3.IntegrityError as error:
        raise _conflict(error) from error


def get(connection: sqlite3.Connection, app_id: str) -> App | None:
    row = connection.execute("SELECT record, version FROM apps WHERE id = ?", (app_id,)).fetchone()
    return _app(row) if row else None


def find_by_key(connection: sqlite3.Connection, key: str) -> App | None:
    row = connection.execute(
        "SELECT record, version FROM apps WHERE id = (SELECT app_id FROM app_keys WHERE key = ?)", (key,)
    ).fetchone()
    return _app(row) if row else None


def page(connection: sqlite3.Connection, *, owner_id: str | None, index: int, limit: int) -> Page[App]:
    values = {"owner": owner_id, **bounds(index, limit)}
    condition = "" if owner_id is None else "WHERE owner_id = :owner"
    rows = connection.execute(
        f"SELECT record, version FROM apps {condition} ORDER BY created_on, id LIMIT :limit OFFSET :index",  # noqa: S608
        values,
    ).fetchall()
    found = connection.execute(f"SELECT count(*) FROM apps {condition}", values).fetchone()  # noqa: S608
    return Page([_app(row) for row in rows], found[0])


def replace(connection: sqlite3.Connection, app: App) -> bool:
    changed = connection.execute(
        "UPDATE apps SET owner_id = ?, created_on = ?, record = ?, version = version + 1 WHERE id = ? AND version = ?",
        (app.owner_id, app.created_on, dump_app(app), app.id, app.version),
    )
    if changed.rowcount != 1:
        return False
    connection.execute("DELETE FROM app_keys WHERE app_id = ?", (app.id,))
    try:
        _insert_keys(connection, app)
    except sqlite3.IntegrityError as error:
        raise _conflict(error) from error
    return True


def delete(connection: sqlite3.Connection, app_id: str) -> bool:
    connection.execute("DELETE FROM app_keys WHERE app_id = ?", (app_id,))
    if connection.execute("DELETE FROM apps WHERE id = ?", (app_id,)).rowcount != 1:
        return False
    connection.execute("INSERT INTO retired_app_ids (id) VALUES (?)", (app_id,))
    return True


def _insert_keys(connection: sqlite3.Connection, app: App) -> None:
    connection.executemany(
        "INSERT INTO app_keys (key, app_id) VALUES (?, ?)",
        [(credentials.key, app.id) for credentials in app.credentials],
    )


def _conflict(error: sqlite3.IntegrityError) -> Exception:
    return Conflict("An app with that id or key already exists") if is_taken(error) else error


def _app(row: sqlite3.Row) -> App:
    return load_app(row["record"], row["version"])
