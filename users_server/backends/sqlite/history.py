"""
Histories of channels in SQL.

A channel's counter is a row of ``streams``: its epoch, the offset of its newest publication (``top``) and the offset up
to which publications are lost (``floor``). What is readable lies between the two without a gap.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Awaitable

from users_server.backends.records import dump_publication, load_publication
from users_server.backends.sqlite.database import Database
from users_server.backends.sqlite.paging import bounds
from users_server.core.clock import Clock
from users_server.core.messages import HistoryPage, HistoryRule, Publication, StreamPosition

COUNTER_MS = 24 * 60 * 60 * 1000
"""How long a channel's counter outlives its last publication; after that, positions in it are not complete any more."""

EXPIRE_BATCH = 100
"""Channels of which one transaction drops what is too old, so that publications need not wait for long."""


class SQLiteHistory:
    """
    A :class:`~users_server.core.interfaces.History` beside the store's other data. It is as durable as these are.

    It is opened and closed with its store.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self) -> None:
        await self._database.open()

    def append(self, publication: Publication, rule: HistoryRule) -> Awaitable[StreamPosition]:
        return self._database.write(append, publication, rule, now=self._clock.now_ms())

    async def read(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        now = self._clock.now_ms()
        page = await self._database.read(read, app, channel, since=since, limit=limit, now=now)
        if page is not None:
            return page
        # An empty channel has a position too: whoever is there before the first publication comes back with it.
        top = await self._database.write(begin, app, channel, now=now)
        return HistoryPage((), top, is_complete=since is None or since == top)

    async def expire(self) -> None:
        while await self._database.write(expire, now=self._clock.now_ms(), limit=EXPIRE_BATCH):
            pass


def append(connection: sqlite3.Connection, publication: Publication, rule: HistoryRule, *, now: int) -> StreamPosition:
    app, channel = publication.app, publication.channel
    epoch = begin(connection, app, channel, now=now).epoch
    lifetime_ms = round(rule.seconds * 1000)
    (top,) = connection.execute(
        """
        UPDATE streams SET top = top + 1, floor = max(floor, top + 1 - :size), expires_at = max(expires_at, :expires_at)
        WHERE app = :app AND channel = :channel RETURNING top
        """,
        {
            "app": app,
            "channel": channel,
            "size": max(rule.size, 0),
            "expires_at": now + lifetime_ms + COUNTER_MS,
        },
    ).fetchone()
    connection.execute(
        'INSERT INTO history (app, channel, "offset", expires_at, record) VALUES (?, ?, ?, ?, ?)',
        (app, channel, top, now + lifetime_ms, dump_publication(publication)),
    )
    connection.execute(
        'DELETE FROM history WHERE app = ? AND channel = ? AND "offset" <= ?', (app, channel, top - max(rule.size, 0))
    )
    return StreamPosition(top, epoch)


def begin(connection: sqlite3.Connection, app: str, channel: str, *, now: int) -> StreamPosition:
    """The channel's top, with a new counter if there is none."""
    connection.execute(
        """
        INSERT INTO streams (app, channel, epoch, top, floor, expires_at) VALUES (?, ?, ?, 0, 0, ?)
        ON CONFLICT DO NOTHING
        """,
        (app, channel, secrets.token_hex(8), now + COUNTER_MS),
    )
    row = connection.execute("SELECT top, epoch FROM streams WHERE app = ? AND channel = ?", (app, channel)).fetchone()
    return StreamPosition(row["top"], row["epoch"])


def read(
    connection: sqlite3.Connection,
    app: str,
    channel: str,
    *,
    since: StreamPosition | None,
    limit: int | None,
    now: int,
) -> HistoryPage | None:
    """:obj:`None` for a channel without a counter."""
    row = connection.execute(
        """
        SELECT top, epoch, max(floor, coalesce((
            SELECT max("offset") FROM history
            WHERE app = :app AND channel = :channel AND expires_at <= :now
        ), 0)) AS floor
        FROM streams WHERE app = :app AND channel = :channel
        """,
        {"app": app, "channel": channel, "now": now},
    ).fetchone()
    if row is None:
        return None
    top = StreamPosition(row["top"], row["epoch"])
    if since is not None and not (since.epoch == top.epoch and row["floor"] <= since.offset <= top.offset):
        return HistoryPage((), top, is_complete=False)
    most = bounds(0, top.offset if limit is None else limit)["limit"]
    newest_first = since is None
    rows = connection.execute(
        f"""
        SELECT "offset", record FROM history WHERE app = :app AND channel = :channel AND "offset" > :after
        ORDER BY "offset" {"DESC" if newest_first else "ASC"} LIMIT :limit
        """,  # noqa: S608
        {"app": app, "channel": channel, "after": row["floor"] if since is None else since.offset, "limit": most},
    ).fetchall()
    if newest_first:
        rows.reverse()
    publications = (
        load_publication(app, channel, StreamPosition(each["offset"], top.epoch), each["record"]) for each in rows
    )
    return HistoryPage(tuple(publications), top)


def expire(connection: sqlite3.Connection, *, now: int, limit: int) -> bool:
    """Drop what is too old in up to ``limit`` channels. Whether there may be more."""
    old = connection.execute(
        """
        SELECT app, channel, max("offset") AS floor FROM history WHERE expires_at <= ? GROUP BY app, channel LIMIT ?
        """,
        (now, limit),
    ).fetchall()
    for row in old:
        values = dict(row)
        connection.execute(
            "UPDATE streams SET floor = max(floor, :floor) WHERE app = :app AND channel = :channel", values
        )
        connection.execute('DELETE FROM history WHERE app = :app AND channel = :channel AND "offset" <= :floor', values)
    unused = connection.execute(
        """
        DELETE FROM streams WHERE rowid IN (
            SELECT rowid FROM streams WHERE expires_at <= ?1 AND NOT EXISTS (
                SELECT 1 FROM history WHERE history.app = streams.app AND history.channel = streams.channel
            ) LIMIT ?2
        )
        """,
        (now, limit),
    )
    return len(old) == limit or unused.rowcount == limit
