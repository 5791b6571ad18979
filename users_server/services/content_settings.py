"""What an operator may set for buckets and files. :mod:`users_server.config` makes these from config.json."""

from __future__ import annotations

from dataclasses import dataclass

from users_server.core.files import CALLS_ALLOCATED, MEMORY_ALLOCATED

ALLOWED_TYPES = (
    "image/bmp",
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/gif",
    "image/tiff",
    "text/plain",
    "text/json",
    "application/octet-stream",
)


@dataclass(frozen=True, slots=True)
class FileSettings:
    """
    Config section ``files``.

    Attributes:
        storage: ``folder``, or ``gridfs`` for the MongoDB of ``database.url``.
        folder: Of the storage ``folder``.
        allowed_types: What may be uploaded.
        max_request_bytes: Of one upload, all its parts together.
        max_fields: How many parts of an upload may be no files.
        max_field_bytes: Of these, together.
        max_files: Of one upload.
        max_uploads: How many uploads may be under way at once, on this node.
        max_downloads: The same for downloads.
        upload_idle_seconds: How long an uploading client may send nothing.
        upload_timeout_seconds: How long an upload may take.
        lease_seconds: After which a node that has not said a word about an upload is taken for dead.
        sweep_seconds: How often is looked for what dead nodes have left.
        public_cache_seconds: How long others may keep a public file.
        calls_allocated: What a new account may use.
        memory_allocated: What a new account may use.
    """

    storage: str = "folder"
    folder: str = "files"
    allowed_types: tuple[str, ...] = ALLOWED_TYPES
    max_request_bytes: int = 10_485_760
    max_fields: int = 8
    max_field_bytes: int = 5_242_880
    max_files: int = 100
    max_uploads: int = 64
    max_downloads: int = 256
    upload_idle_seconds: float = 30.0
    upload_timeout_seconds: float = 3600.0
    lease_seconds: float = 30.0
    sweep_seconds: float = 10.0
    public_cache_seconds: int = 300
    calls_allocated: int = CALLS_ALLOCATED
    memory_allocated: int = MEMORY_ALLOCATED
