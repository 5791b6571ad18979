"""Records of buckets and files for the tests, with a value of its own in every field that must be unique."""

from __future__ import annotations

import itertools
from typing import Any

from tests.contract.records import LATER, NOW
from users_server.core.files import Bucket, StorageStats, StoredFile
from users_server.core.interfaces import Store

OWNER = "e" * 24
_numbers = itertools.count(1)


def make_stats(user_id: str = OWNER, **fields: Any) -> StorageStats:
    values = {"id": f"{next(_numbers):024x}", "user_id": user_id, "username": "owner"}
    return StorageStats(**{**values, **fields})


def make_bucket(name: str | None = None, **fields: Any) -> Bucket:
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": f"{number:024x}",
        "name": name or f"bucket {number}",
        "identifier": f"b{number:031x}",
        "user_id": OWNER,
        "username": "owner",
        "created_on": NOW + number,
    }
    return Bucket(**{**values, **fields})


def make_file(bucket: Bucket, **fields: Any) -> StoredFile:
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": f"{number:024x}",
        "name": f"file {number}.txt",
        "identifier": f"f{number:031x}",
        "user_id": bucket.user_id,
        "username": bucket.username,
        "bucket_id": bucket.id,
        "bucket_name": bucket.name,
        "created_on": NOW + number,
        "size": 10,
        "mime_type": "text/plain",
        "digest": f"{number:064x}",
    }
    return StoredFile(**{**values, **fields})


async def prepare(store: Store, **stats: Any) -> Bucket:
    """An owner with a bucket."""
    await store.create_stats(make_stats(**stats))
    bucket = make_bucket()
    await store.create_bucket(bucket)
    return bucket


async def save(store: Store, bucket: Bucket, **fields: Any) -> StoredFile:
    """A file in ``bucket``, saved."""
    file = make_file(bucket, **fields)
    await store.begin_upload(file, expires_at=LATER)
    assert await store.commit_upload(file) is None
    return file
