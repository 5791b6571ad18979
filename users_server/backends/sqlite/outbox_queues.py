"""
Queues of owed web hook calls in SQL. Each function is called inside of a transaction; the promises are
:class:`~users_server.core.outbox.OutboxStore`'s.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

from users_server.backends.sqlite.paging import bounds
from users_server.core.outbox import Delivery, QueueClaim, QueueOutcome


def enqueue(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Owe it, as the newest of its queue, unless its id is there already."""
    added = connection.execute(
        """
        INSERT INTO outbox_deliveries (id, app, queue, body, created_on, attempts, last_error, died_on)
        VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING
        """,
        (
            delivery.id,
            delivery.app,
            delivery.queue,
            delivery.body,
            delivery.created_on,
            delivery.attempts,
            delivery.last_error,
        ),
    )
    if added.rowcount:
        begin_queue(connection, delivery.app, delivery.queue, at=delivery.created_on)


def begin_queue(connection: sqlite3.Connection, app: str, queue: str, *, at: int) -> None:
    """Something waits in it: it is due from then on, unless it was there."""
    connection.execute(
        "INSERT INTO outbox_queues (app, queue, ready_at, token, claimed_to) VALUES (?, ?, ?, '', 0) "
        "ON CONFLICT DO NOTHING",
        (app, queue, at),
    )


def end_queue(connection: sqlite3.Connection, app: str, queue: str) -> None:
    """Forget it if nothing waits in it and nobody works on it."""
    connection.execute(
        """
        DELETE FROM outbox_queues WHERE app = :app AND queue = :queue AND token = '' AND NOT EXISTS (
            SELECT 1 FROM outbox_deliveries WHERE app = :app AND queue = :queue AND died_on = 0
        )
        """,
        {"app": app, "queue": queue},
    )


def due_apps(connection: sqlite3.Connection, *, now: int, after: str, limit: int) -> Sequence[str]:
    # From one app to the next by the index, without a look at the queues between.
    rows = connection.execute(
        """
        WITH RECURSIVE apps (app) AS (
            SELECT min(app) FROM outbox_queues WHERE app > :after
            UNION ALL
            SELECT (SELECT min(app) FROM outbox_queues WHERE app > apps.app) FROM apps WHERE app IS NOT NULL
        )
        SELECT app FROM apps WHERE app IS NOT NULL AND (
            SELECT min(ready_at) FROM outbox_queues WHERE outbox_queues.app = apps.app
        ) <= :now
        LIMIT :limit
        """,
        {"after": after, "now": now, **bounds(0, limit)},
    )
    return [row["app"] for row in rows]


def claim(
    connection: sqlite3.Connection, app: str, *, now: int, until: int, max_queues: int, max_deliveries: int
) -> Sequence[QueueClaim]:
    rows = connection.execute(
        "SELECT queue FROM outbox_queues WHERE app = :app AND ready_at <= :now ORDER BY ready_at LIMIT :limit",
        {"app": app, "now": now, **bounds(0, max_queues)},
    ).fetchall()
    claims = (_claim(connection, app, row["queue"], until=until, max_deliveries=max_deliveries) for row in rows)
    return [claim for claim in claims if claim is not None]


def settle(connection: sqlite3.Connection, outcomes: Sequence[QueueOutcome]) -> None:
    for outcome in outcomes:
        app, queue = outcome.claim.app, outcome.claim.queue
        connection.executemany(
            "DELETE FROM outbox_deliveries WHERE id = ? AND app = ?", [(each, app) for each in outcome.delivered]
        )
        row = connection.execute("SELECT token FROM outbox_queues WHERE app = ? AND queue = ?", (app, queue)).fetchone()
        if row is None:
            continue
        if row["token"] != outcome.claim.token:
            end_queue(connection, app, queue)
            continue
        failed = (*outcome.dead, *([outcome.failed] if outcome.failed else []))
        connection.executemany(
            "UPDATE outbox_deliveries SET attempts = ?, last_error = ?, died_on = max(died_on, ?) "
            "WHERE id = ? AND app = ?",
            [(each.attempts, each.last_error, each.died_on, each.id, app) for each in failed],
        )
        _release(connection, app, queue, due_at=outcome.due_at)


def hasten(connection: sqlite3.Connection, app: str, *, now: int, limit: int) -> bool:
    """Make up to ``limit`` queues due. Whether there may be more."""
    changed = connection.execute(
        """
        UPDATE outbox_queues SET ready_at = :now WHERE app = :app AND queue IN (
            SELECT queue FROM outbox_queues WHERE app = :app AND ready_at > :now AND token = '' LIMIT :limit
        )
        """,
        {"app": app, "now": now, "limit": limit},
    )
    return changed.rowcount == limit


def delivery_of(row: sqlite3.Row) -> Delivery:
    return Delivery(
        id=row["id"],
        app=row["app"],
        queue=row["queue"],
        body=row["body"],
        created_on=row["created_on"],
        attempts=row["attempts"],
        last_error=row["last_error"],
        died_on=row["died_on"],
    )


def _claim(
    connection: sqlite3.Connection, app: str, queue: str, *, until: int, max_deliveries: int
) -> QueueClaim | None:
    rows = connection.execute(
        """
        SELECT * FROM outbox_deliveries WHERE app = :app AND queue = :queue AND died_on = 0
        ORDER BY number LIMIT :limit
        """,
        {"app": app, "queue": queue, **bounds(0, max(max_deliveries, 1))},
    ).fetchall()
    if not rows:
        connection.execute("DELETE FROM outbox_queues WHERE app = ? AND queue = ?", (app, queue))
        return None
    token = secrets.token_hex(16)
    connection.execute(
        "UPDATE outbox_queues SET ready_at = ?, token = ?, claimed_to = ? WHERE app = ? AND queue = ?",
        (until, token, rows[-1]["number"], app, queue),
    )
    return QueueClaim(app, queue, token, tuple(delivery_of(row) for row in rows))


def _release(connection: sqlite3.Connection, app: str, queue: str, *, due_at: int) -> None:
    oldest = connection.execute(
        "SELECT created_on FROM outbox_deliveries WHERE app = ? AND queue = ? AND died_on = 0 ORDER BY number LIMIT 1",
        (app, queue),
    ).fetchone()
    if oldest is None:
        connection.execute("DELETE FROM outbox_queues WHERE app = ? AND queue = ?", (app, queue))
        return
    connection.execute(
        "UPDATE outbox_queues SET ready_at = ?, token = '', claimed_to = 0 WHERE app = ? AND queue = ?",
        (due_at or oldest["created_on"], app, queue),
    )
