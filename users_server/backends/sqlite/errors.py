"""What SQLite's errors mean to an operator."""

from __future__ import annotations

import sqlite3

from users_server.errors import StoreUnavailable

_PRIMARY_CODE = 0xFF
"""SQLite puts details into the higher bits of its codes."""

_ADVICE = {
    sqlite3.SQLITE_BUSY: "is locked by another process; wait for it or end it",
    sqlite3.SQLITE_LOCKED: "is locked by another process; wait for it or end it",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its directory exists and that the server may write there",
    sqlite3.SQLITE_PERM: "may not be opened; give the server's user the right to read and write it",
    sqlite3.SQLITE_READONLY: "cannot be written; give the server's user write access to it and to its directory",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; name another file in database.url",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup",
    sqlite3.SQLITE_FULL: "cannot grow; free some space on its disk",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check its disk",
}

_UNIQUE_CODES = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def unavailable(error: Exception, path: str) -> StoreUnavailable:
    """An error for ``error``, which is chained to it. The message is for operators; it names the file."""
    code = getattr(error, "sqlite_errorcode", 0)
    translated = StoreUnavailable(f"The database {path} {_ADVICE.get(code & _PRIMARY_CODE, f'failed: {error}')}")
    translated.__cause__ = error
    return translated


def is_busy(error: sqlite3.Error) -> bool:
    """Whether ``error`` says that another connection holds a lock."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_taken(error: sqlite3.IntegrityError) -> bool:
    """Whether ``error`` says that a unique value exists already."""
    return getattr(error, "sqlite_errorcode", 0) in _UNIQUE_CODES
