"""Buckets in SQL. Each function is called inside of a transaction; the promises are :class:`BucketStore`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from users_server.backends.sqlite.errors import is_taken
from users_server.backends.sqlite.paging import bounds
from users_server.core.accounts import Page
from users_server.core.files import Bucket
from users_server.errors import Conflict

_SELECT = """
    SELECT *, (
        SELECT coalesce(sum(size), 0) FROM files WHERE files.bucket_id = buckets.id AND files.state = 'saved'
    ) AS memory_used
    FROM buckets
"""


def create(connection: sqlite3.Connection, bucket: Bucket) -> None:
    try:
        connection.execute(
            """
            INSERT INTO buckets (id, name, name_key, identifier, user_id, username, created_on, meta, removed_until)
            VALUES (:id, :name, :name_key, :identifier, :user_id, :username, :created_on, :meta, NULL)
            """,
            {
                "id": bucket.id,
                "name": bucket.name,
                "name_key": bucket.name.casefold(),
                "identifier": bucket.identifier,
                "user_id": bucket.user_id,
                "username": bucket.username,
                "created_on": bucket.created_on,
                "meta": orjson.dumps(bucket.meta).decode(),
            },
        )
    except sqlite3.IntegrityError as error:
        if is_taken(error):
            raise Conflict("A bucket of that name exists already") from error
        raise


def find(connection: sqlite3.Connection, user_id: str, name: str) -> Bucket | None:
    row = connection.execute(
        _SELECT
        + """
        WHERE user_id = :user_id AND (name = :name OR identifier = :name) AND removed_until IS NULL
        ORDER BY name = :name DESC LIMIT 1
        """,
        {"user_id": user_id, "name": name},
    ).fetchone()
    return _bucket(row) if row else None


def page(connection: sqlite3.Connection, user_id: str, *, search: str, index: int, limit: int) -> Page[Bucket]:
    values = {"user_id": user_id, "key": search.casefold(), **bounds(index, limit)}
    criteria = "WHERE user_id = :user_id AND removed_until IS NULL AND instr(name_key, :key)"
    rows = connection.execute(
        f"{_SELECT} {criteria} ORDER BY created_on, id LIMIT :limit OFFSET :index", values
    ).fetchall()
    count = connection.execute(f"SELECT count(*) FROM buckets {criteria}", values).fetchone()[0]  # noqa: S608
    return Page([_bucket(row) for row in rows], count)


def remove(connection: sqlite3.Connection, bucket_id: str, *, expires_at: int) -> Bucket | None:
    row = connection.execute(f"{_SELECT} WHERE id = ? AND removed_until IS NULL", (bucket_id,)).fetchone()
    if row is None:
        return None
    connection.execute("UPDATE buckets SET removed_until = ? WHERE id = ?", (expires_at, bucket_id))
    return _bucket(row)


def forget(connection: sqlite3.Connection, bucket_id: str) -> None:
    connection.execute("DELETE FROM buckets WHERE id = ? AND removed_until IS NOT NULL", (bucket_id,))


def take_removed(connection: sqlite3.Connection, *, now: int, expires_at: int, limit: int) -> Sequence[Bucket]:
    rows = connection.execute(
        f"{_SELECT} WHERE removed_until <= :now ORDER BY removed_until LIMIT :limit", {"now": now, **bounds(0, limit)}
    ).fetchall()
    connection.executemany(
        "UPDATE buckets SET removed_until = ? WHERE id = ?", [(expires_at, row["id"]) for row in rows]
    )
    return [_bucket(row) for row in rows]


def _bucket(row: sqlite3.Row) -> Bucket:
    return Bucket(
        id=row["id"],
        name=row["name"],
        identifier=row["identifier"],
        user_id=row["user_id"],
        username=row["username"],
        created_on=row["created_on"],
        memory_used=row["memory_used"],
        meta=orjson.loads(row["meta"]),
    )
