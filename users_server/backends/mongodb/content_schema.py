"""The step of :mod:`.migrations` for buckets and files. It does no harm when it is repeated."""

from __future__ import annotations

from pymongo import ASCENDING

from users_server.backends.mongodb.client import Database


async def index_content(database: Database) -> None:
    """Indexes of the collections of buckets and files."""
    buckets = database["buckets"]
    await buckets.create_index([("user_id", ASCENDING), ("taken_name", ASCENDING)], name="taken_name", unique=True)
    await buckets.create_index("identifier", name="identifier", unique=True)
    await buckets.create_index([("user_id", ASCENDING), ("created_on", ASCENDING), ("_id", ASCENDING)], name="by_age")
    await buckets.create_index("removed_until", name="removed_until")
    files = database["files"]
    await files.create_index("identifier", name="identifier", unique=True)
    await files.create_index([("bucket_id", ASCENDING), ("created_on", ASCENDING), ("_id", ASCENDING)], name="by_age")
    await files.create_index("parent_file", name="parent_file")
    await files.create_index("expires_at", name="expires_at")
