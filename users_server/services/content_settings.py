"""What an operator may set for buckets and files. :mod:`users_server.config` makes these from config.json."""

from __future__ import annotations

from dataclasses import dataclass, field

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
class S3Settings:
    """
    Config section ``files.s3``. The secret key is left out of ``repr``.

    Attributes:
        endpoint: The server's URL; empty for Amazon.
        region: Empty for what AWS's own environment says, else us-east-1.
        bucket: Which must be there.
        prefix: What the names of all objects begin with.
        access_key: Empty, with ``secret_key``, for the credentials of AWS's own environment.
        path_style: Whether the bucket is in the path of a URL and not in its host.
        certificate_authority: A PEM file of what to trust instead of the usual authorities.
        part_bytes: Of each part of a large file but the last. One is in memory for each file that is uploaded.
        max_connections: How many requests are under way at once.
        max_waiting: How many may wait beside them; more are refused.
        connect_timeout_seconds: For each try to connect, and to send each piece of a part.
        timeout_seconds: For each answer, and each piece of it.
        attempts: How often a request that fails for no reason of its own is made at most.
    """

    endpoint: str = ""
    region: str = ""
    bucket: str = ""
    prefix: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    path_style: bool = False
    certificate_authority: str = ""
    part_bytes: int = 5_242_880
    max_connections: int = 16
    max_waiting: int = 1000
    connect_timeout_seconds: float = 3.0
    timeout_seconds: float = 10.0
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class FileSettings:
    """
    Config section ``files``.

    Attributes:
        storage: ``folder``, ``gridfs`` for the MongoDB of ``database.url``, or ``s3``.
        folder: Of the storage ``folder``.
        s3: Of the storage ``s3``.
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
    s3: S3Settings = field(default_factory=S3Settings)
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
