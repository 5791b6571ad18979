"""The section of config.json about buckets and files."""

from __future__ import annotations

from collections.abc import Iterator

from users_server.schemas import forms
from users_server.schemas.settings import (
    Choice,
    Conflict,
    Flag,
    Group,
    ListOf,
    Number,
    Section,
    Text,
    Whole,
    section,
)
from users_server.services.content_settings import FileSettings, S3Settings

LARGEST = 2**50
LONGEST_SECONDS = 604_800
MOST_PARTS = 10_000
"""Of one object, in S3."""

_MIME_TYPE = r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$"
_TYPE = "a media type in lower case, such as image/png"


@section(S3Settings)
class S3Section(Section):
    endpoint = Text(
        "The URL of the S3 server; empty for Amazon S3",
        '"" or a URL that begins with http:// or https://',
        accepts=forms.is_web_url,
        instance="https://minio.example.com:9000",
    )
    region = Text(
        "The region of the bucket; empty for that of AWS's own environment, else us-east-1. Garage has its own name",
        '"" or the name of a region',
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        instance="eu-central-1",
    )
    bucket = Text(
        "The bucket, which must be there",
        "the name of a bucket",
        pattern=r"^([A-Za-z0-9._-]{1,255})?$",
        instance="users-server-files",
    )
    prefix = Text(
        "What the names of all objects begin with, if the bucket has others too; empty for nothing",
        "up to 200 characters out of A-Z a-z 0-9 . _ / -, the first no slash",
        pattern=r"^([A-Za-z0-9._-][A-Za-z0-9._/-]{0,199})?$",
        instance="users-server/",
    )
    access_key = Text(
        "The id of the access key; empty, with secretKey, for the credentials of AWS's own environment",
        '"" or characters of ASCII without spaces',
        pattern=r"^[!-~]*$",
    )
    secret_key = Text(
        "The secret of the access key", '"" or characters of ASCII without spaces', pattern=r"^[!-~]*$", is_secret=True
    )
    path_style = Flag("Whether the bucket is in the path of URLs and not in their host; MinIO, Ceph and Garage need it")
    certificate_authority = Text(
        "A PEM file of the authorities to trust, relative to config.json; empty for the usual ones",
        "the path of a PEM file",
        instance="authority.pem",
    )
    part_bytes = Whole(
        "In which parts a larger file is sent; each file that is uploaded takes so much memory",
        5_242_880,
        1_073_741_824,
    )
    max_connections = Whole("How many requests to the storage may be under way at once", 1, 1_000)
    max_waiting = Whole("How many requests may wait for their turn; the next is refused", 0, 1_000_000)
    connect_timeout_seconds = Number("How long one attempt to reach the storage may take", 300, above=True)
    timeout_seconds = Number("How long the storage may take to answer, or to go on with an answer", 3_600, above=True)
    attempts = Whole("How often a request is tried in all if the storage fails", 1, 20)

    def conflicts(self, settings: S3Settings) -> Iterator[Conflict]:
        hint = "Write both, or neither for the credentials of AWS's own environment"
        if settings.access_key and not settings.secret_key:
            yield "secretKey", "the secret of files.s3.accessKey", hint
        if settings.secret_key and not settings.access_key:
            yield "accessKey", "the id of the key whose secret is files.s3.secretKey", hint


@section(FileSettings)
class FilesSection(Section):
    storage = Choice(
        "Where the bytes of files are: folder is one on this machine, gridfs is the MongoDB of database.url, s3 is a "
        "bucket (files.s3)",
        ("folder", "gridfs", "s3"),
    )
    folder = Text(
        "The folder of the storage folder, relative to the folder that the server is started in",
        "the path of a folder",
        pattern=r"^.+$",
        instance="/var/lib/users-server/files",
    )
    s3 = Group(S3Section, "The storage s3: Amazon S3, MinIO, Ceph, Garage and others that speak the same")
    allowed_types = ListOf(
        "What may be uploaded; the content is looked at, too",
        "a list of media types",
        Text("One type", _TYPE, pattern=_MIME_TYPE, instance="image/png"),
    )
    max_request_bytes = Whole("The largest upload, all its parts together", 1_024, LARGEST)
    max_fields = Whole("How many parts of an upload may be no files", 0, 10_000)
    max_field_bytes = Whole("The largest size of these, together", 0, 1_073_741_824)
    max_files = Whole("How many files an upload may have", 1, 10_000)
    max_uploads = Whole("How many uploads may be under way at once; more are refused with 503", 1, 100_000)
    max_downloads = Whole("How many downloads may be under way at once; more are refused with 503", 1, 100_000)
    upload_idle_seconds = Number("How long a client may send nothing in the middle of an upload", 3_600, above=True)
    upload_timeout_seconds = Number("How long an upload may take", LONGEST_SECONDS, above=True)
    lease_seconds = Number(
        "After how long a server that does not renew its claim to an upload or a removal is taken for dead",
        86_400,
        minimum=0.5,
    )
    sweep_seconds = Number("How often is looked for what dead servers have left", 86_400, minimum=0.1)
    public_cache_seconds = Whole(
        "How long browsers and caches may keep a public file; for so long it may be seen after it was made private",
        0,
        31_536_000,
    )
    calls_allocated = Whole("How many API calls a new account may make", 0, 2**53 - 1)
    memory_allocated = Whole("How many bytes a new account may store", 0, 2**53 - 1)

    def conflicts(self, settings: FileSettings) -> Iterator[Conflict]:
        largest = settings.s3.part_bytes * MOST_PARTS
        if settings.storage == "s3" and settings.max_request_bytes > largest:
            expected = f"at most {largest}, {MOST_PARTS} times files.s3.partBytes"
            yield "maxRequestBytes", expected, "Lower it, or raise files.s3.partBytes"
