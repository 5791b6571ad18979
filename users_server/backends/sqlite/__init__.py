"""
The embedded store: one SQLite file, nothing to install.

Rules of this folder:

- It is the only importer of :mod:`sqlite3`.
- SQL runs in the threads of :mod:`.database` and nowhere else; ``users`` and ``sessions`` are plain functions of a
  connection, called inside of a transaction that they neither begin nor end.
- Values reach SQL as parameters, always.
"""

from users_server.backends.sqlite.location import parse_sqlite_url
from users_server.backends.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore", "parse_sqlite_url"]
