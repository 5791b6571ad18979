"""The step of :mod:`.migrations` that makes the tables of buckets and files. Released steps are never edited."""

CONTENT_TABLES: tuple[str, ...] = (
    """
    CREATE TABLE storage_stats (
        user_id TEXT NOT NULL PRIMARY KEY,
        id TEXT NOT NULL,
        username TEXT NOT NULL,
        calls_allocated INTEGER NOT NULL,
        memory_allocated INTEGER NOT NULL,
        calls_used INTEGER NOT NULL,
        memory_used INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE buckets (
        id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL,
        identifier TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        username TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        meta TEXT NOT NULL,
        removed_until INTEGER
    )
    """,
    "CREATE UNIQUE INDEX buckets_by_name ON buckets (user_id, name) WHERE removed_until IS NULL",
    "CREATE INDEX buckets_by_age ON buckets (user_id, created_on, id)",
    "CREATE INDEX buckets_removed ON buckets (removed_until) WHERE removed_until IS NOT NULL",
    """
    CREATE TABLE files (
        id TEXT NOT NULL PRIMARY KEY,
        state TEXT NOT NULL,
        expires_at INTEGER,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL,
        identifier TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        username TEXT NOT NULL,
        bucket_id TEXT NOT NULL,
        bucket_name TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mime_type TEXT NOT NULL,
        digest TEXT NOT NULL,
        is_public INTEGER NOT NULL,
        downloads INTEGER NOT NULL,
        parent_file TEXT NOT NULL,
        meta TEXT NOT NULL
    )
    """,
    "CREATE INDEX files_by_age ON files (bucket_id, created_on, id)",
    "CREATE INDEX files_sizes ON files (bucket_id, state, size)",
    "CREATE INDEX files_by_parent ON files (parent_file) WHERE parent_file <> ''",
    "CREATE INDEX files_unfinished ON files (expires_at) WHERE expires_at IS NOT NULL",
)
