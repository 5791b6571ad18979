"""
The full-text index over the names and addresses of accounts: a search for three letters or more need not read them all.

It is SQLite's FTS5 with its trigram tokenizer (SQLite 3.34), which not every build has. So it is no step of the schema:
it is in step with ``user_search`` as long as its triggers are there. A server without FTS5 drops the triggers and
searches row by row; the next one with it makes them again and rebuilds the index.
"""

from __future__ import annotations

import sqlite3

MIN_LETTERS = 3
"""What is shorter has no trigram."""

_TABLE = """
CREATE VIRTUAL TABLE IF NOT EXISTS user_texts USING fts5 (
    username_key, email_key, content = 'user_search', content_rowid = 'number', tokenize = 'trigram case_sensitive 1'
)
"""

_REMOVE = """
INSERT INTO user_texts (user_texts, rowid, username_key, email_key)
VALUES ('delete', old.number, old.username_key, old.email_key);
"""
_ADD = """
INSERT INTO user_texts (rowid, username_key, email_key) VALUES (new.number, new.username_key, new.email_key);
"""

_TRIGGERS = {
    "user_texts_inserted": f"AFTER INSERT ON user_search BEGIN {_ADD} END",
    "user_texts_deleted": f"AFTER DELETE ON user_search BEGIN {_REMOVE} END",
    "user_texts_updated": f"AFTER UPDATE ON user_search BEGIN {_REMOVE} {_ADD} END",
}


def prepare(connection: sqlite3.Connection) -> None:
    """Make the index, or leave it, as this SQLite can. Not to be called inside of a transaction."""
    has_index = is_in_step(connection)
    if has_index == _can_index(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if has_index:
            for name in _TRIGGERS:
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        elif not is_in_step(connection):  # another process was first
            _make(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_in_step(connection: sqlite3.Connection) -> bool:
    """Whether the index has every account."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = 'user_texts_inserted'")
    return found.fetchone() is not None


def _make(connection: sqlite3.Connection) -> None:
    connection.execute(_TABLE)
    connection.execute("INSERT INTO user_texts (user_texts) VALUES ('rebuild')")
    for name, body in _TRIGGERS.items():
        connection.execute(f"CREATE TRIGGER {name} {body}")


def _can_index(connection: sqlite3.Connection) -> bool:
    if sqlite3.sqlite_version_info < (3, 34):
        return False
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None
