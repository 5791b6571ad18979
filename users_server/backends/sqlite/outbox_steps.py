"""
Steps of the outbox, wills and nodes in SQL. Each function is called inside of a transaction; the promises are
:class:`~users_server.core.outbox.OutboxStore`'s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from users_server.backends.sqlite.outbox_queues import end_queue, enqueue
from users_server.backends.sqlite.paging import bounds
from users_server.core.outbox import UNKNOWN_NODE_MS, Announce, Delivery, Execute, OutboxNode, Retract, Step


def write(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    for step in steps:
        if isinstance(step, Announce):
            _announce(connection, step)
        elif isinstance(step, Execute):
            _execute(connection, step.will_id, at=step.at)
        else:
            _retract(connection, step)


def renew(connection: sqlite3.Connection, node: OutboxNode) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO outbox_nodes (id, process, alive_until) VALUES (?, ?, ?)",
        (node.id, node.process, node.alive_until),
    )


def nodes(connection: sqlite3.Connection) -> Sequence[OutboxNode]:
    rows = connection.execute("SELECT id, process, alive_until FROM outbox_nodes ORDER BY id")
    return [OutboxNode(row["id"], row["process"], row["alive_until"]) for row in rows]


def execute_of(connection: sqlite3.Connection, node: str, *, at: int, limit: int) -> int:
    rows = connection.execute(
        "SELECT id FROM outbox_wills WHERE node = :node ORDER BY number LIMIT :limit",
        {"node": node, **bounds(0, limit)},
    ).fetchall()
    for row in rows:
        _execute(connection, row["id"], at=at)
    return len(rows)


def forget_node(connection: sqlite3.Connection, node: str, *, alive_until: int) -> bool:
    connection.execute(
        """
        DELETE FROM outbox_nodes WHERE id = :node AND alive_until <= :alive_until
            AND NOT EXISTS (SELECT 1 FROM outbox_wills WHERE node = :node)
        """,
        {"node": node, "alive_until": alive_until},
    )
    return connection.execute("SELECT 1 FROM outbox_nodes WHERE id = ?", (node,)).fetchone() is None


def _announce(connection: sqlite3.Connection, step: Announce) -> None:
    if step.delivery is not None:
        enqueue(connection, step.delivery)
    will = step.will
    if will is None:
        return
    connection.execute(
        """
        INSERT INTO outbox_wills (id, app, queue, node, body) SELECT :id, :app, :queue, :node, :body
        WHERE NOT EXISTS (SELECT 1 FROM outbox_deliveries WHERE id = :id) ON CONFLICT (id) DO NOTHING
        """,
        {"id": will.id, "app": will.app, "queue": will.queue, "node": step.node, "body": will.body},
    )
    connection.execute(
        "INSERT INTO outbox_nodes (id, process, alive_until) VALUES (?, '', ?) ON CONFLICT DO NOTHING",
        (step.node, will.created_on + UNKNOWN_NODE_MS),
    )


def _execute(connection: sqlite3.Connection, will_id: str, *, at: int) -> None:
    row = connection.execute("DELETE FROM outbox_wills WHERE id = ? RETURNING app, queue, body", (will_id,)).fetchone()
    if row is not None:
        enqueue(connection, Delivery(will_id, row["app"], row["queue"], row["body"], created_on=at))


def _retract(connection: sqlite3.Connection, step: Retract) -> None:
    is_unheard = step.delivery_id is None or _drop_untried(connection, step.delivery_id)
    if step.will_id is None:
        return
    if is_unheard:
        connection.execute("DELETE FROM outbox_wills WHERE id = ?", (step.will_id,))
    else:
        _execute(connection, step.will_id, at=step.at)


def _drop_untried(connection: sqlite3.Connection, delivery_id: str) -> bool:
    """Drop the delivery if nobody can have begun to make it."""
    # A claim that ran out counts too: whoever had it may have made the call before it died.
    row = connection.execute(
        """
        DELETE FROM outbox_deliveries WHERE id = ? AND attempts = 0 AND NOT EXISTS (
            SELECT 1 FROM outbox_queues WHERE outbox_queues.app = outbox_deliveries.app
                AND outbox_queues.queue = outbox_deliveries.queue AND token <> '' AND claimed_to >= number
        ) RETURNING app, queue
        """,
        (delivery_id,),
    ).fetchone()
    if row is not None:
        end_queue(connection, row["app"], row["queue"])
    return row is not None
