"""Databases with many accounts, made by inserting rows and not by asking the server for each."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

PASSWORD = "the password of everybody"
FIRST_MS = 1_600_000_000_000
BATCH = 2000

_COLUMNS = (
    "id",
    "username",
    "username_key",
    "email",
    "email_key",
    "password_hash",
    "privileges",
    "created_on",
    "last_logged_in",
    "register_key",
    "password_tag",
    "session_id",
    "meta",
    "meta_version",
)


def username(number: int) -> str:
    """Of the account with this number; the digits are spread, so that no two neighbours look alike."""
    return f"user{number * 2_654_435_761 % 2**32:08x}n{number}"


def rows(count: int, password_hash: str) -> Iterator[tuple[Any, ...]]:
    """Accounts as both stores keep them, in the order of :data:`_COLUMNS`."""
    for number in range(count):
        name = username(number)
        yield (
            f"{number:024x}",
            name,
            name,
            f"{name}@example.com",
            f"{name}@example.com",
            password_hash,
            3,
            FIRST_MS + number,
            0,
            "",
            "",
            "",
            "{}",
            0,
        )


def fill_sqlite(path: Path, count: int, password_hash: str) -> None:
    """Add ``count`` accounts to a database that a store has made, in one transaction."""
    marks = ", ".join("?" * len(_COLUMNS))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            f"INSERT INTO users ({', '.join(_COLUMNS)}) VALUES ({marks})", rows(count, password_hash)
        )
        connection.execute("COMMIT")
        connection.execute("ANALYZE")


def fill_mongodb(url: str, count: int, password_hash: str) -> None:
    """The same for MongoDB."""
    import pymongo

    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url)
    with client:
        users = client.get_default_database()["users"]
        names = ("_id", *_COLUMNS[1:])
        documents = (dict(zip(names, row, strict=True)) for row in rows(count, password_hash))
        while batch := list(islice(documents, BATCH)):
            users.insert_many(batch, ordered=False)
