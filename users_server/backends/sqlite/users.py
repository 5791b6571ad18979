"""Accounts in SQL. Each function is called inside of a transaction; the promises are :class:`UserStore`'s."""

from __future__ import annotations

import sqlite3

import orjson

from users_server.backends.sqlite import search as lists
from users_server.backends.sqlite.errors import is_taken
from users_server.core.accounts import Page, User
from users_server.core.messages import JSON
from users_server.errors import Conflict


def create(connection: sqlite3.Connection, user: User) -> None:
    values = {
        "id": user.id,
        "username": user.username,
        "username_key": user.username.casefold(),
        "email": user.email,
        "email_key": user.email.casefold(),
        "password_hash": user.password_hash,
        "privileges": int(user.privileges),
        "created_on": user.created_on,
        "last_logged_in": user.last_logged_in,
        "register_key": user.register_key,
        "password_tag": user.password_tag,
        "session_id": user.session_id,
        "meta": _dump(user.meta),
        "meta_version": user.meta_version,
    }
    try:
        connection.execute(
            """
            INSERT INTO users (
                id, username, username_key, email, email_key, password_hash, privileges, created_on, last_logged_in,
                register_key, password_tag, session_id, meta, meta_version
            ) VALUES (
                :id, :username, :username_key, :email, :email_key, :password_hash, :privileges, :created_on,
                :last_logged_in, :register_key, :password_tag, :session_id, :meta, :meta_version
            )
            """,
            values,
        )
    except sqlite3.IntegrityError as error:
        if is_taken(error):
            raise Conflict("A user with that name or email already exists") from error
        raise


def find(connection: sqlite3.Connection, name: str) -> User | None:
    row = connection.execute(
        """
        SELECT * FROM users WHERE username_key = :key OR email_key = :key
        ORDER BY username_key = :key DESC LIMIT 1
        """,
        {"key": name.casefold()},
    ).fetchone()
    return _user(row) if row else None


def get(connection: sqlite3.Connection, user_id: str) -> User | None:
    row = connection.execute("SELECT * FROM users WHERE id = ?", (user_id,)).fetchone()
    return _user(row) if row else None


def page(connection: sqlite3.Connection, *, search: str, search_emails: bool, index: int, limit: int) -> Page[User]:
    # LIKE would take % and _ for patterns, and knows the case of ASCII only; what finds here takes the text as it is.
    if search:
        rows, found = lists.search(
            connection, key=search.casefold(), emails=search_emails, index=max(index, 0), limit=max(limit, 0)
        )
    else:
        rows, found = lists.page(connection, index=index, limit=limit), lists.count(connection)
    return Page([_user(row) for row in rows], found)


def count(connection: sqlite3.Connection) -> int:
    return lists.count(connection)


def delete(connection: sqlite3.Connection, user_id: str) -> bool:
    return connection.execute("DELETE FROM users WHERE id = ?", (user_id,)).rowcount == 1


def set_password_hash(
    connection: sqlite3.Connection, user_id: str, password_hash: str, *, expected: str | None
) -> bool:
    changed = connection.execute(
        """
        UPDATE users SET password_hash = :password_hash
        WHERE id = :id AND (:expected IS NULL OR password_hash = :expected)
        """,
        {"id": user_id, "password_hash": password_hash, "expected": expected},
    )
    return changed.rowcount == 1


def activate(connection: sqlite3.Connection, user_id: str) -> bool:
    changed = connection.execute("UPDATE users SET register_key = '' WHERE id = ? AND register_key <> ''", (user_id,))
    return changed.rowcount == 1


def set_email(connection: sqlite3.Connection, user_id: str, email: str, *, expected: str) -> bool:
    try:
        changed = connection.execute(
            "UPDATE users SET email = ?, email_key = ? WHERE id = ? AND email = ?",
            (email, email.casefold(), user_id, expected),
        )
    except sqlite3.IntegrityError as error:
        if is_taken(error):
            raise Conflict("A user with that name or email already exists") from error
        raise
    return changed.rowcount == 1


def renew_register_key(connection: sqlite3.Connection, user_id: str, register_key: str) -> bool:
    changed = connection.execute(
        "UPDATE users SET register_key = ? WHERE id = ? AND register_key <> ''", (register_key, user_id)
    )
    return changed.rowcount == 1


def set_password_tag(connection: sqlite3.Connection, user_id: str, password_tag: str) -> bool:
    changed = connection.execute("UPDATE users SET password_tag = ? WHERE id = ?", (password_tag, user_id))
    return changed.rowcount == 1


def record_login(connection: sqlite3.Connection, user_id: str, *, session_id: str, at: int) -> None:
    connection.execute(
        "UPDATE users SET session_id = ?, last_logged_in = ? WHERE id = ?",
        (session_id, at, user_id),
    )


def record_logout(connection: sqlite3.Connection, user_id: str, *, session_id: str) -> None:
    connection.execute("UPDATE users SET session_id = '' WHERE id = ? AND session_id = ?", (user_id, session_id))


def replace_meta(connection: sqlite3.Connection, user_id: str, meta: dict[str, JSON], *, expected_version: int) -> bool:
    changed = connection.execute(
        "UPDATE users SET meta = ?, meta_version = meta_version + 1 WHERE id = ? AND meta_version = ?",
        (_dump(meta), user_id, expected_version),
    )
    return changed.rowcount == 1


def _dump(meta: dict[str, JSON]) -> str:
    return orjson.dumps(meta).decode()


def _user(row: sqlite3.Row) -> User:
    return User(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        password_hash=row["password_hash"],
        privileges=row["privileges"],
        created_on=row["created_on"],
        last_logged_in=row["last_logged_in"],
        register_key=row["register_key"],
        password_tag=row["password_tag"],
        session_id=row["session_id"],
        meta=orjson.loads(row["meta"]),
        meta_version=row["meta_version"],
    )
