"""Buckets and files as events and answers show them (users-socket-api.md, File entry and Bucket entry)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from users_server.core.files import Bucket, StoredFile
from users_server.core.messages import JSON

ApiUrl: TypeAlias = Callable[[], str]
"""Tells where the API is for browsers, with its prefix and without a slash at the end."""


def public_url(api_url: str, file: StoredFile) -> str:
    """Where everybody gets the file while it is public."""
    return f"{api_url}/public/{file.bucket_id}/{file.identifier}"


def file_entry(api_url: str, file: StoredFile) -> dict[str, JSON]:
    """The file as its owner and the sockets see it."""
    return {
        "_id": file.id,
        "name": file.name,
        "user": file.username,
        "identifier": file.identifier,
        "bucketId": file.bucket_id,
        "bucketName": file.bucket_name,
        "publicURL": public_url(api_url, file),
        "created": file.created_on,
        "size": file.size,
        "mimeType": file.mime_type,
        "isPublic": file.is_public,
        "numDownloads": file.downloads,
        "parentFile": file.parent_file or None,
        "meta": file.meta,
    }


def bucket_entry(bucket: Bucket) -> dict[str, JSON]:
    """The bucket as its owner and the sockets see it."""
    return {
        "_id": bucket.id,
        "name": bucket.name,
        "identifier": bucket.identifier,
        "user": bucket.username,
        "created": bucket.created_on,
        "memoryUsed": bucket.memory_used,
        "meta": bucket.meta,
    }
