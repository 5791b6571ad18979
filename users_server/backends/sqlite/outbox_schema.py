"""The step of :mod:`.migrations` for owed web hook calls and for idempotency keys. Released steps are never edited."""

from __future__ import annotations

OUTBOX = (
    # ``number`` is the order in which deliveries came to be owed. Who waits (died_on = 0) and who was given up are in
    # indexes of their own, so that neither is passed over to find the other.
    """
    CREATE TABLE outbox_deliveries (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        app TEXT NOT NULL,
        queue TEXT NOT NULL,
        body TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        last_error TEXT NOT NULL,
        died_on INTEGER NOT NULL
    )
    """,
    "CREATE INDEX outbox_waiting_by_queue ON outbox_deliveries (app, queue, number) WHERE died_on = 0",
    "CREATE INDEX outbox_waiting_by_app ON outbox_deliveries (app, number) WHERE died_on = 0",
    "CREATE INDEX outbox_dead_by_app ON outbox_deliveries (app, number) WHERE died_on > 0",
    "CREATE INDEX outbox_dead_by_age ON outbox_deliveries (died_on) WHERE died_on > 0",
    # A queue is here while something waits in it. ``ready_at`` is when it is due or, while it is claimed, when the
    # claim runs out; ``claimed_to`` is the number of the last delivery of the claim.
    """
    CREATE TABLE outbox_queues (
        app TEXT NOT NULL,
        queue TEXT NOT NULL,
        ready_at INTEGER NOT NULL,
        token TEXT NOT NULL,
        claimed_to INTEGER NOT NULL,
        PRIMARY KEY (app, queue)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX outbox_queues_by_time ON outbox_queues (app, ready_at)",
    """
    CREATE TABLE outbox_wills (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        app TEXT NOT NULL,
        queue TEXT NOT NULL,
        node TEXT NOT NULL,
        body TEXT NOT NULL
    )
    """,
    "CREATE INDEX outbox_wills_by_node ON outbox_wills (node, number)",
    "CREATE INDEX outbox_wills_by_app ON outbox_wills (app)",
    """
    CREATE TABLE outbox_nodes (
        id TEXT NOT NULL PRIMARY KEY,
        process TEXT NOT NULL,
        alive_until INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

IDEMPOTENCY_KEYS = (
    """
    CREATE TABLE idempotency_keys (
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        answer TEXT NOT NULL,
        abandoned_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (scope, key)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (scope, expires_at)",
)
