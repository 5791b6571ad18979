"""
The schema, as numbered steps.

Rules: a step that was released is never edited, a new one is added at the end. The number of a step is its place,
counted from one; ``PRAGMA user_version`` is the number of the last one that ran.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from users_server.backends.sqlite.content_schema import CONTENT_TABLES
from users_server.backends.sqlite.imports import IMPORTS
from users_server.backends.sqlite.outbox_schema import IDEMPOTENCY_KEYS, OUTBOX
from users_server.backends.sqlite.safety_steps import ACCOUNT_LISTS, AUDIT_LOG, LOGIN_ATTEMPTS
from users_server.errors import StartupError

APPLICATION_ID = 0x75737276
"""``usrv``: marks the file as ours, so that another program's database is never written to."""

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE users (
            id TEXT NOT NULL PRIMARY KEY,
            username TEXT NOT NULL,
            username_key TEXT NOT NULL UNIQUE,
            email TEXT NOT NULL,
            email_key TEXT NOT NULL UNIQUE,
            password_hash TEXT NOT NULL,
            privileges INTEGER NOT NULL,
            created_on INTEGER NOT NULL,
            last_logged_in INTEGER NOT NULL,
            register_key TEXT NOT NULL,
            password_tag TEXT NOT NULL,
            session_id TEXT NOT NULL,
            meta TEXT NOT NULL,
            meta_version INTEGER NOT NULL
        )
        """,
        "CREATE INDEX users_by_age ON users (created_on, id)",
        """
        CREATE TABLE sessions (
            id TEXT NOT NULL PRIMARY KEY,
            token_hash TEXT NOT NULL UNIQUE,
            user_id TEXT NOT NULL,
            username TEXT NOT NULL,
            created_on INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            lifetime_ms INTEGER NOT NULL,
            is_persistent INTEGER NOT NULL,
            address TEXT NOT NULL,
            user_agent TEXT NOT NULL
        )
        """,
        "CREATE INDEX sessions_by_user ON sessions (user_id)",
        "CREATE INDEX sessions_by_age ON sessions (created_on, id)",
        "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    ),
    (
        """
        CREATE TABLE one_time_keys (
            kind TEXT NOT NULL,
            user_id TEXT NOT NULL,
            key_hash TEXT NOT NULL,
            created_on INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            email TEXT NOT NULL,
            PRIMARY KEY (user_id, kind)
        ) WITHOUT ROWID
        """,
    ),
    (
        """
        CREATE TABLE apps (
            id TEXT NOT NULL PRIMARY KEY,
            owner_id TEXT,
            created_on INTEGER NOT NULL,
            version INTEGER NOT NULL,
            record TEXT NOT NULL
        )
        """,
        "CREATE INDEX apps_by_age ON apps (created_on, id)",
        "CREATE INDEX apps_by_owner ON apps (owner_id, created_on, id)",
        "CREATE TABLE app_keys (key TEXT NOT NULL PRIMARY KEY, app_id TEXT NOT NULL)",
        "CREATE INDEX app_keys_by_app ON app_keys (app_id)",
        "CREATE TABLE retired_app_ids (id TEXT NOT NULL PRIMARY KEY)",
        """
        CREATE TABLE streams (
            app TEXT NOT NULL,
            channel TEXT NOT NULL,
            epoch TEXT NOT NULL,
            top INTEGER NOT NULL,
            floor INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            PRIMARY KEY (app, channel)
        )
        """,
        "CREATE INDEX streams_by_expiry ON streams (expires_at)",
        """
        CREATE TABLE history (
            app TEXT NOT NULL,
            channel TEXT NOT NULL,
            "offset" INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (app, channel, "offset")
        ) WITHOUT ROWID
        """,
        "CREATE INDEX history_by_expiry ON history (expires_at)",
    ),
    CONTENT_TABLES,
    ACCOUNT_LISTS + LOGIN_ATTEMPTS + AUDIT_LOG,
    IMPORTS,
    OUTBOX + IDEMPOTENCY_KEYS,
)

LATEST = len(_STEPS)


def check_schema(connection: sqlite3.Connection, path: str) -> int:
    """
    The version of the schema; 0 for a new file.

    Raises:
        StartupError: If the schema is newer than this server, or the file is another program's.
    """
    with _transaction(connection, "BEGIN"):  # else another process could migrate between two of the questions
        return _version(connection, path)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """
    Run the steps that are missing, all in one transaction. Raises as :func:`check_schema` does.

    Another process may do the same at this moment: the one that gets the lock later finds nothing left to do.
    """
    if check_schema(connection, path) == LATEST:
        return
    with _transaction(connection, "BEGIN IMMEDIATE"):
        for step in _STEPS[_version(connection, path) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {LATEST}")


def _version(connection: sqlite3.Connection, path: str) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    is_ours: bool = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    is_empty = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if not is_ours and (version or not is_empty):
        raise StartupError(f"The database {path} belongs to another program; name another file in database.url")
    if version > LATEST:
        raise StartupError(
            f"The database {path} has schema version {version}, this server knows {LATEST}; start a newer users-server"
        )
    return version


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
