"""
What is answered to a request for a file: all of it, a part, nothing new, or no such part (RFC 9110, 13 and 14).

Rule: nothing that a user has uploaded ever runs in this server's origin. Types that a browser would run are sent as
opaque, all but pictures and plain text as a download, and everything in a sandbox.
"""

from __future__ import annotations

import asyncio
import email.utils
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from users_server.core.files import StoredFile
from users_server.services.file_types import OPAQUE
from users_server.web.streaming import FileAnswer

GZIP_LEAST_BYTES = 256
GZIP_LEVEL = 5
_GZIP_WINDOW = 31
"""zlib's own way to say gzip with the largest window."""

_INLINE = re.compile(r"image/(?:bmp|gif|jpe?g|png|tiff|webp|avif)|text/plain")
_ACTIVE = re.compile(r".*(?:html|xml|svg|script|xsl|flash|pdf|xhtml|multipart|message).*")
_COMPRESSIBLE = re.compile(r"text/.*|image/(?:bmp|tiff)|application/(?:json|octet-stream)")
_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)
_SHOWN_AS = {"image/jpg": "image/jpeg", "text/json": "application/json", "text/plain": "text/plain; charset=utf-8"}
_CODING = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q=([0-9.]{1,5})\s*)?", re.IGNORECASE)

Read = Callable[[int, int], AsyncIterator[bytes]]
"""Gives so many bytes from a place on."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What matters of a request for a file."""

    method: str
    version: str
    headers: Mapping[str, str]


def answer_file(
    request: FileRequest,
    file: StoredFile,
    read: Read,
    *,
    cache_control: str,
    count: Callable[[], Awaitable[None]] | None = None,
) -> FileAnswer:
    """
    The answer to ``request`` for ``file``. ``count`` is called if content is sent.

    A condition that is not met makes 304; a single range that can be met makes 206, one that cannot 416. Several
    ranges at once, and what is no range, are answered with the whole file, as the standard allows.
    """
    is_gzip = wants_gzip(request, file)
    headers = _describe(file, cache_control, is_gzip=is_gzip)
    if is_unchanged(request.headers, file):
        kept = ("ETag", "Cache-Control", "Last-Modified", "Vary")
        return FileAnswer(304, {name: headers[name] for name in kept})
    span = find_range(request, file)
    if span == UNSATISFIABLE:
        return FileAnswer(416, {"Content-Range": f"bytes */{file.size}", "Content-Length": "0"})
    if span is not None:
        headers = _describe(file, cache_control, is_gzip=False)
        start, end = span
        headers |= {"Content-Range": f"bytes {start}-{end}/{file.size}", "Content-Length": str(end - start + 1)}
        return FileAnswer(206, headers, read(start, end - start + 1), count)
    if is_gzip:
        headers["Content-Encoding"] = "gzip"
    else:
        headers["Content-Length"] = str(file.size)
    if request.method == "HEAD":
        return FileAnswer(200, headers)
    content = read(0, file.size)
    return FileAnswer(200, headers, compressed(content) if is_gzip else content, count)


def _describe(file: StoredFile, cache_control: str, *, is_gzip: bool) -> dict[str, str]:
    return {
        "Content-Type": shown_type(file.mime_type),
        "Content-Disposition": disposition(file),
        "ETag": etag(file, is_gzip=is_gzip),
        "Last-Modified": email.utils.formatdate(file.created_on // 1000, usegmt=True),
        "Accept-Ranges": "bytes",
        "Cache-Control": cache_control,
        "Vary": "Accept-Encoding, Origin",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def shown_type(mime_type: str) -> str:
    """The type that a browser is told."""
    return OPAQUE if _ACTIVE.fullmatch(mime_type) else _SHOWN_AS.get(mime_type, mime_type)


def disposition(file: StoredFile) -> str:
    """With the name twice: in ASCII for old clients, and whole as RFC 5987 writes it."""
    kind = "inline" if _INLINE.fullmatch(file.mime_type) else "attachment"
    plain = re.sub(r'[^ -~]|["\\%]', "_", file.name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"


def etag(file: StoredFile, *, is_gzip: bool = False) -> str:
    """Strong: the bytes of a file never change. What is compressed is another representation."""
    return f'"{file.digest}-gzip"' if is_gzip else f'"{file.digest}"'


def is_unchanged(headers: Mapping[str, str], file: StoredFile) -> bool:
    """Whether the client says that it has the file already."""
    known = headers.get("If-None-Match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return bool(tags & {"*", etag(file), etag(file, is_gzip=True)})
    since = _date(headers.get("If-Modified-Since"))
    return since is not None and file.created_on // 1000 <= since


UNSATISFIABLE = (-1, -1)


def find_range(request: FileRequest, file: StoredFile) -> tuple[int, int] | None:
    """First and last byte of what was asked for; :obj:`None` for all, :data:`UNSATISFIABLE` for nothing of the file."""
    text = request.headers.get("Range")
    if text is None or request.method != "GET" or not _is_range_for(request.headers.get("If-Range"), file):
        return None
    match = _RANGE.fullmatch(text)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), file.size)
        return (file.size - length, file.size - 1) if length else UNSATISFIABLE
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= file.size:
        return UNSATISFIABLE
    return start, min(int(last), file.size - 1) if last else file.size - 1


def _is_range_for(condition: str | None, file: StoredFile) -> bool:
    """Whether the part that the client has is of this file."""
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition.strip() == etag(file)
    return _date(condition) == file.created_on // 1000


def _date(text: str | None) -> int | None:
    """Seconds since 1970."""
    if not text:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError):
        return None


def wants_gzip(request: FileRequest, file: StoredFile) -> bool:
    """Whether the client takes gzip, and it is worth it. A client of HTTP/1.0 could not tell where it ends."""
    if (
        request.method == "HEAD"
        or request.version == "HTTP/1.0"
        or file.size < GZIP_LEAST_BYTES
        or not _COMPRESSIBLE.fullmatch(file.mime_type)
    ):
        return False
    weights: dict[str, float] = {}
    for coding in request.headers.get("Accept-Encoding", "").split(","):
        match = _CODING.fullmatch(coding)
        if match:
            weights[match[1].lower().removeprefix("x-")] = _weight(match[2])
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0


async def compressed(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """As gzip, made in a thread."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    async for chunk in content:
        smaller = await asyncio.to_thread(compressor.compress, chunk)
        if smaller:
            yield smaller
    yield compressor.flush()
