"""The section of config.json about buckets and files."""

from __future__ import annotations

from users_server.schemas.settings import Choice, ListOf, Number, Section, Text, Whole, section
from users_server.services.content_settings import FileSettings

LARGEST = 2**50
LONGEST_SECONDS = 604_800
_MIME_TYPE = r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$"
_TYPE = "a media type in lower case, such as image/png"


@section(FileSettings)
class FilesSection(Section):
    storage = Choice(
        "Where the bytes of files are: folder is one on this machine, gridfs is the MongoDB of database.url",
        ("folder", "gridfs"),
    )
    folder = Text(
        "The folder of the storage folder, relative to the folder that the server is started in",
        "the path of a folder",
        pattern=r"^.+$",
        instance="/var/lib/users-server/files",
    )
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
