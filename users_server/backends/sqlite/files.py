"""Files in SQL. Each function is called inside of a transaction; the promises are :class:`FileStore`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from users_server.backends.records import file_fields
from users_server.backends.sqlite import storage_stats
from users_server.backends.sqlite.paging import bounds
from users_server.core.accounts import Page
from users_server.core.files import Refusal, StoredFile


def begin(connection: sqlite3.Connection, file: StoredFile, *, expires_at: int) -> None:
    connection.execute(
        """
        INSERT INTO files (
            id, state, expires_at, name, name_key, identifier, user_id, username, bucket_id, bucket_name, created_on,
            size, mime_type, digest, is_public, downloads, parent_file, meta
        ) VALUES (
            :id, 'uploading', :expires_at, :name, :name_key, :identifier, :user_id, :username, :bucket_id,
            :bucket_name, :created_on, :size, :mime_type, :digest, :is_public, :downloads, :parent_file, :meta
        )
        """,
        {"id": file.id, **file_fields(file), "expires_at": expires_at},
    )


def extend(connection: sqlite3.Connection, file_ids: Sequence[str], *, expires_at: int) -> None:
    connection.executemany(
        "UPDATE files SET expires_at = ? WHERE id = ? AND state = 'uploading'",
        [(expires_at, file_id) for file_id in file_ids],
    )


def commit(connection: sqlite3.Connection, file: StoredFile, *, is_import: bool) -> Refusal | None:
    if not _may_be_saved(connection, file):
        return Refusal.GONE
    stats = storage_stats.get(connection, file.user_id)
    if stats is None:
        return Refusal.GONE
    if not is_import and stats.memory_used + file.size > stats.memory_allocated:
        return Refusal.MEMORY
    if not is_import and stats.calls_used >= stats.calls_allocated:
        return Refusal.CALLS
    connection.execute(
        """
        UPDATE files SET
            state = 'saved', expires_at = NULL, name = :name, name_key = :name_key, size = :size,
            mime_type = :mime_type, digest = :digest, meta = :meta
        WHERE id = :id
        """,
        {"id": file.id, **file_fields(file)},
    )
    storage_stats.add(connection, file.user_id, calls=0 if is_import else 1, memory=file.size)
    return None


def abandon(connection: sqlite3.Connection, file_id: str, *, expires_at: int) -> bool:
    changed = connection.execute(
        "UPDATE files SET state = 'removed', expires_at = ? WHERE id = ? AND state = 'uploading'",
        (expires_at, file_id),
    )
    return changed.rowcount == 1


def find(connection: sqlite3.Connection, identifier: str) -> StoredFile | None:
    row = connection.execute("SELECT * FROM files WHERE identifier = ? AND state = 'saved'", (identifier,)).fetchone()
    return _file(row) if row else None


def page(connection: sqlite3.Connection, bucket_id: str, *, search: str, index: int, limit: int) -> Page[StoredFile]:
    values = {"bucket_id": bucket_id, "key": search.casefold(), **bounds(index, limit)}
    criteria = "WHERE bucket_id = :bucket_id AND state = 'saved' AND instr(name_key, :key)"
    rows = connection.execute(
        f"SELECT * FROM files {criteria} ORDER BY created_on, id LIMIT :limit OFFSET :index",  # noqa: S608
        values,
    ).fetchall()
    count = connection.execute(f"SELECT count(*) FROM files {criteria}", values).fetchone()[0]  # noqa: S608
    return Page([_file(row) for row in rows], count)


def children(connection: sqlite3.Connection, parent_file: str, *, limit: int) -> Sequence[StoredFile]:
    rows = connection.execute(
        "SELECT * FROM files WHERE parent_file = :parent AND parent_file <> '' AND state = 'saved' LIMIT :limit",
        {"parent": parent_file, **bounds(0, limit)},
    ).fetchall()
    return [_file(row) for row in rows]


def rename(connection: sqlite3.Connection, file_id: str, name: str) -> StoredFile | None:
    connection.execute(
        "UPDATE files SET name = ?, name_key = ? WHERE id = ? AND state = 'saved'", (name, name.casefold(), file_id)
    )
    return _get_saved(connection, file_id)


def publish(connection: sqlite3.Connection, file_id: str, *, is_public: bool) -> StoredFile | None:
    connection.execute("UPDATE files SET is_public = ? WHERE id = ? AND state = 'saved'", (is_public, file_id))
    return _get_saved(connection, file_id)


def count_download(connection: sqlite3.Connection, file_id: str) -> None:
    connection.execute("UPDATE files SET downloads = downloads + 1 WHERE id = ? AND state = 'saved'", (file_id,))


def remove(connection: sqlite3.Connection, file_id: str, *, expires_at: int) -> StoredFile | None:
    file = _get_saved(connection, file_id)
    if file is not None:
        connection.execute("UPDATE files SET state = 'removed', expires_at = ? WHERE id = ?", (expires_at, file_id))
        storage_stats.add(connection, file.user_id, calls=1, memory=-file.size)
    return file


def forget(connection: sqlite3.Connection, file_id: str) -> None:
    connection.execute("DELETE FROM files WHERE id = ? AND state = 'removed'", (file_id,))


def take_unfinished(connection: sqlite3.Connection, *, now: int, expires_at: int, limit: int) -> Sequence[StoredFile]:
    rows = connection.execute(
        "SELECT * FROM files WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit",
        {"now": now, **bounds(0, limit)},
    ).fetchall()
    found = [_file(row) for row in rows]
    connection.executemany(
        "UPDATE files SET state = 'removed', expires_at = ? WHERE id = ?", [(expires_at, file.id) for file in found]
    )
    return found


def _may_be_saved(connection: sqlite3.Connection, file: StoredFile) -> bool:
    row = connection.execute(
        """
        SELECT 1 FROM files WHERE id = :id AND state = 'uploading'
            AND EXISTS (SELECT 1 FROM buckets WHERE buckets.id = :bucket_id AND removed_until IS NULL)
            AND (:parent = '' OR EXISTS (SELECT 1 FROM files WHERE identifier = :parent AND state = 'saved'))
        """,
        {"id": file.id, "bucket_id": file.bucket_id, "parent": file.parent_file},
    ).fetchone()
    return row is not None


def _get_saved(connection: sqlite3.Connection, file_id: str) -> StoredFile | None:
    row = connection.execute("SELECT * FROM files WHERE id = ? AND state = 'saved'", (file_id,)).fetchone()
    return _file(row) if row else None


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(
        id=row["id"],
        name=row["name"],
        identifier=row["identifier"],
        user_id=row["user_id"],
        username=row["username"],
        bucket_id=row["bucket_id"],
        bucket_name=row["bucket_name"],
        created_on=row["created_on"],
        size=row["size"],
        mime_type=row["mime_type"],
        digest=row["digest"],
        is_public=bool(row["is_public"]),
        downloads=row["downloads"],
        parent_file=row["parent_file"],
        meta=orjson.loads(row["meta"]),
    )
