"""Steps of the schema for lists of many accounts, for counters of failed logins and for the audit log."""

from __future__ import annotations

ACCOUNT_LISTS = (
    # Narrow, and with a number that VACUUM keeps, which the full-text index (search_index.py) refers to.
    """
    CREATE TABLE user_search (
        number INTEGER PRIMARY KEY,
        user_id TEXT NOT NULL UNIQUE,
        username_key TEXT NOT NULL,
        email_key TEXT NOT NULL,
        created_on INTEGER NOT NULL
    )
    """,
    # A text with a NUL is indexed up to there only; such rows are looked at one by one.
    """
    CREATE INDEX user_search_odd ON user_search (number)
    WHERE instr(username_key, char(0)) > 0 OR instr(email_key, char(0)) > 0
    """,
    """
    INSERT INTO user_search (user_id, username_key, email_key, created_on)
    SELECT id, username_key, email_key, created_on FROM users ORDER BY created_on, id
    """,
    "CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
    "INSERT INTO counters (name, value) SELECT 'users', count(*) FROM users",
    """
    CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
        INSERT INTO user_search (user_id, username_key, email_key, created_on)
        VALUES (new.id, new.username_key, new.email_key, new.created_on);
        UPDATE counters SET value = value + 1 WHERE name = 'users';
    END
    """,
    """
    CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
        DELETE FROM user_search WHERE user_id = old.id;
        UPDATE counters SET value = value - 1 WHERE name = 'users';
    END
    """,
    """
    CREATE TRIGGER users_renamed AFTER UPDATE OF username_key, email_key ON users BEGIN
        UPDATE user_search SET username_key = new.username_key, email_key = new.email_key WHERE user_id = new.id;
    END
    """,
)

LOGIN_ATTEMPTS = (
    """
    CREATE TABLE login_attempts (
        key TEXT NOT NULL PRIMARY KEY,
        failures INTEGER NOT NULL,
        pending INTEGER NOT NULL,
        ends_at INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX login_attempts_by_end ON login_attempts (ends_at)",
)

AUDIT_LOG = (
    """
    CREATE TABLE audit_entries (
        id TEXT NOT NULL PRIMARY KEY,
        at INTEGER NOT NULL,
        action TEXT NOT NULL,
        user_id TEXT NOT NULL,
        username TEXT NOT NULL,
        username_key TEXT NOT NULL,
        by_id TEXT NOT NULL,
        by_name TEXT NOT NULL,
        by_key TEXT NOT NULL,
        address TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        details TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX audit_entries_by_user ON audit_entries (user_id, id)",
    "CREATE INDEX audit_entries_by_actor ON audit_entries (by_id, id)",
    "CREATE INDEX audit_entries_by_username ON audit_entries (username_key, id)",
)
