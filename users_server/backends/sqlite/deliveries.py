"""
Owed web hook calls in SQL: lists, second chances and bounds. Each function is called inside of a transaction; the
promises are :class:`~users_server.core.outbox.OutboxStore`'s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from users_server.backends.sqlite.outbox_queues import begin_queue, delivery_of, end_queue
from users_server.backends.sqlite.paging import bounds
from users_server.core.accounts import Page
from users_server.core.outbox import CROWDED_OUT, Delivery

_WAITING, _DEAD = "died_on = 0", "died_on > 0"


def page(connection: sqlite3.Connection, *, app: str | None, is_dead: bool, index: int, limit: int) -> Page[Delivery]:
    criteria = _DEAD if is_dead else _WAITING
    if app is not None:
        criteria += " AND app = :app"
    values = {"app": app, **bounds(index, limit)}
    count = connection.execute(f"SELECT count(*) FROM outbox_deliveries WHERE {criteria}", values).fetchone()[0]  # noqa: S608
    rows = connection.execute(
        f"SELECT * FROM outbox_deliveries WHERE {criteria} ORDER BY number LIMIT :limit OFFSET :index",  # noqa: S608
        values,
    )
    return Page([delivery_of(row) for row in rows], count)


def replay(connection: sqlite3.Connection, app: str, ids: Sequence[str] | None, *, now: int, limit: int) -> int:
    if ids is None:
        found = connection.execute(
            f"SELECT number FROM outbox_deliveries WHERE app = :app AND {_DEAD} ORDER BY number LIMIT :limit",  # noqa: S608
            {"app": app, **bounds(0, limit)},
        ).fetchall()
    else:
        query = f"SELECT number FROM outbox_deliveries WHERE id = ? AND app = ? AND {_DEAD}"  # noqa: S608
        found = [row for each in dict.fromkeys(ids) for row in connection.execute(query, (each, app))]
    for number in sorted(row["number"] for row in found):
        (queue,) = connection.execute(
            """
            UPDATE outbox_deliveries SET number = (SELECT max(number) + 1 FROM outbox_deliveries),
                created_on = ?, attempts = 0, last_error = '', died_on = 0
            WHERE number = ? RETURNING queue
            """,
            (now, number),
        ).fetchone()
        begin_queue(connection, app, queue, at=now)
    return len(found)


def excess(connection: sqlite3.Connection, *, most_waiting: int, most_dead: int) -> Sequence[tuple[str, bool, int]]:
    """Apps with too many that wait, or (true) that are dead; and up to which number these are too many."""
    return [
        (app, is_dead, row["number"])
        for is_dead, most in ((False, most_waiting), (True, most_dead))
        for app in _apps(connection, is_dead=is_dead)
        for row in connection.execute(
            f"""
            SELECT number FROM outbox_deliveries WHERE app = :app AND {_DEAD if is_dead else _WAITING}
            ORDER BY number DESC LIMIT 1 OFFSET :index
            """,  # noqa: S608
            {"app": app, **bounds(most, 1)},
        )
    ]


def give_up(connection: sqlite3.Connection, app: str, up_to: int, *, now: int, limit: int) -> int:
    """Up to ``limit`` of those that wait longest, up to a number; how many."""
    rows = connection.execute(
        """
        UPDATE outbox_deliveries SET died_on = :now, last_error = iif(last_error = '', :reason, last_error)
        WHERE number IN (
            SELECT number FROM outbox_deliveries WHERE app = :app AND died_on = 0 AND number <= :up_to
            ORDER BY number LIMIT :limit
        ) RETURNING queue
        """,
        {"app": app, "up_to": up_to, "now": now, "limit": limit, "reason": CROWDED_OUT},
    ).fetchall()
    for queue in {row["queue"] for row in rows}:
        end_queue(connection, app, queue)
    return len(rows)


def remove_excess(connection: sqlite3.Connection, app: str, up_to: int, *, limit: int) -> int:
    """Up to ``limit`` of the dead ones, up to a number; how many."""
    return connection.execute(
        """
        DELETE FROM outbox_deliveries WHERE number IN (
            SELECT number FROM outbox_deliveries WHERE app = ? AND died_on > 0 AND number <= ? LIMIT ?
        )
        """,
        (app, up_to, limit),
    ).rowcount


def remove_old(connection: sqlite3.Connection, *, dead_before: int, limit: int) -> int:
    """Up to ``limit`` of those that died before that moment; how many."""
    return connection.execute(
        """
        DELETE FROM outbox_deliveries WHERE number IN (
            SELECT number FROM outbox_deliveries WHERE died_on > 0 AND died_on < ? LIMIT ?
        )
        """,
        (dead_before, limit),
    ).rowcount


def forget_app(connection: sqlite3.Connection, app: str, *, limit: int) -> bool:
    """Remove up to ``limit`` records of each kind. Whether there may be more."""
    values = {"app": app, "limit": limit}
    removed = [
        connection.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE app = :app{criteria} LIMIT :limit)"  # noqa: S608
            + (" AND app = :app" if key == "queue" else ""),
            values,
        ).rowcount
        for table, key, criteria in (
            ("outbox_wills", "number", ""),
            ("outbox_deliveries", "number", f" AND {_WAITING}"),
            ("outbox_deliveries", "number", f" AND {_DEAD}"),
            ("outbox_queues", "queue", ""),
        )
    ]
    return max(removed) == limit


def _apps(connection: sqlite3.Connection, *, is_dead: bool) -> Sequence[str]:
    """Who has deliveries of one kind; from one to the next by the index."""
    criteria = _DEAD if is_dead else _WAITING
    rows = connection.execute(
        f"""
        WITH RECURSIVE apps (app) AS (
            SELECT min(app) FROM outbox_deliveries WHERE {criteria}
            UNION ALL
            SELECT (SELECT min(app) FROM outbox_deliveries WHERE app > apps.app AND {criteria})
            FROM apps WHERE app IS NOT NULL
        )
        SELECT app FROM apps WHERE app IS NOT NULL
        """  # noqa: S608
    )
    return [row["app"] for row in rows]
