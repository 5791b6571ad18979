"""Opening the file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time

from users_server.backends.sqlite import search_index
from users_server.backends.sqlite.errors import is_busy, unavailable
from users_server.backends.sqlite.location import MEMORY
from users_server.backends.sqlite.migrations import check_schema, migrate
from users_server.errors import StoreUnavailable

_RETRY_SECONDS = 0.02
_MAX_LOG_BYTES = 64 * 1024 * 1024
"""What the write-ahead log is cut back to after a burst."""


def open_writer(path: str, busy_timeout_seconds: float) -> sqlite3.Connection:
    """
    A connection that may write; the file is made and its schema brought up to date.

    An acknowledged commit survives the loss of the process and of power.

    Raises:
        StoreUnavailable: If the file cannot be used; the message says what to do.
        StartupError: If its schema is newer than this server, or the file is another program's.
    """
    if path != MEMORY:
        _create_file(path)
    return _open(path, busy_timeout_seconds, is_writer=True)


def open_reader(path: str, busy_timeout_seconds: float) -> sqlite3.Connection:
    """A connection that can only read. Raises :class:`StoreUnavailable`."""
    return _open(path, busy_timeout_seconds, is_writer=False)


def _create_file(path: str) -> None:
    """Make a new file that other users of the machine cannot read: it will hold password hashes."""
    try:
        # Only a file that was not there is opened: closing it would drop the locks that this process has on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreUnavailable(
            f"The database {path} cannot be made ({error.strerror}); check that its directory exists and that the "
            "server may write there"
        ) from error


def _open(path: str, busy_timeout_seconds: float, *, is_writer: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(connection.close)
            connection.row_factory = sqlite3.Row
            deadline = time.monotonic() + busy_timeout_seconds
            while not _is_prepared(connection, path, deadline, is_writer=is_writer):
                time.sleep(_RETRY_SECONDS)
            on_failure.pop_all()
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    return connection


def _is_prepared(connection: sqlite3.Connection, path: str, deadline: float, *, is_writer: bool) -> bool:
    """
    Whether the connection could be set up. False: another process has a lock for which SQLite does not wait by itself.

    It does not while the mode of the journal is changed, as each process does that opens a new file.
    """
    try:
        check_schema(connection, path)
        if is_writer:
            _set_journal(connection, path)
            migrate(connection, path)
            search_index.prepare(connection)
        else:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.OperationalError as error:
        if not is_busy(error) or time.monotonic() >= deadline:
            raise
        return False
    return True


def _set_journal(connection: sqlite3.Connection, path: str) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal" and path != MEMORY:
        raise StoreUnavailable(
            f"The database {path} cannot have a write-ahead log (SQLite keeps mode {mode}); put it on a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: there a plain fsync stops at the disk's own cache
    connection.execute(f"PRAGMA journal_size_limit = {_MAX_LOG_BYTES}")
