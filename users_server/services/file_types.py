"""
Whether the content of an upload is of the type that it says.

The beginning of a file gives most binary types away; text is text to its end. A type that is not in the table is
believed as long as the content is not one of the table's. ``application/octet-stream`` promises nothing and is always
right: it is sent back as a download that no browser opens.
"""

from __future__ import annotations

import codecs
import re

from users_server.errors import InvalidValue

OPAQUE = "application/octet-stream"
HEAD_BYTES = 512
_MIME_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")

_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/gif", 0, b"GIF87a"),
    ("image/gif", 0, b"GIF89a"),
    ("image/tiff", 0, b"II*\x00"),
    ("image/tiff", 0, b"MM\x00*"),
    ("image/webp", 8, b"WEBP"),
    ("application/pdf", 0, b"%PDF-"),
    ("application/zip", 0, b"PK\x03\x04"),
    ("application/gzip", 0, b"\x1f\x8b"),
    ("application/x-elf", 0, b"\x7fELF"),
    ("video/webm", 0, b"\x1aE\xdf\xa3"),
    ("audio/ogg", 0, b"OggS"),
    ("audio/mpeg", 0, b"ID3"),
    ("video/mp4", 4, b"ftyp"),
)
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "image/x-bmp": "image/bmp",
    "application/x-zip-compressed": "application/zip",
    "application/x-gzip": "application/gzip",
    "video/ogg": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/mp4": "video/mp4",
    "video/quicktime": "video/mp4",
    "audio/webm": "video/webm",
    "video/x-matroska": "video/webm",
}
_ZIP_BASED = ("application/vnd.", "application/epub+zip", "application/java-archive")
_JSON_TYPES = ("text/json", "application/json")
_JSON_START = re.compile(rb"\s*(?:[\[{\"]|-?[0-9]|(?:true|false|null)\s*$|$)")
_KNOWN = {kind for kind, _, _ in _SIGNATURES} | {"image/bmp"}
_TEXT_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def normal_type(header: str | None) -> str:
    """The media type of a header, in lower case and without parameters; opaque where nothing or nonsense stands."""
    text = (header or "").partition(";")[0].strip().lower()
    return text if _MIME_TYPE.fullmatch(text) else OPAQUE


class TypeCheck:
    """
    Looks at content as it comes.

    Every method raises :class:`InvalidValue` as soon as it is clear that the content is of another type.
    """

    def __init__(self, mime_type: str) -> None:
        self._mime_type = mime_type
        self._head = bytearray()
        self._is_head_checked = False
        is_text = mime_type.startswith("text/") or mime_type in _JSON_TYPES
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None

    def add(self, chunk: bytes) -> None:
        """The next bytes."""
        if self._mime_type == OPAQUE:
            return
        if not self._is_head_checked:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
            if len(self._head) >= HEAD_BYTES:
                self._check_head()
        self._check_text(chunk, is_last=False)

    def finish(self) -> None:
        """There is no more."""
        if self._mime_type == OPAQUE:
            return
        if not self._is_head_checked:
            self._check_head()
        self._check_text(b"", is_last=True)

    def _check_head(self) -> None:
        self._is_head_checked = True
        head = bytes(self._head)
        if not head:
            return
        declared = _ALIASES.get(self._mime_type, self._mime_type)
        found = sniff(head)
        if declared in _KNOWN:
            is_right = found == declared
        elif found == "application/zip" and declared.startswith(_ZIP_BASED):
            is_right = True
        else:
            is_right = found is None
        if is_right and declared in _JSON_TYPES:
            is_right = _JSON_START.match(head.removeprefix(codecs.BOM_UTF8)) is not None
        if not is_right:
            raise self._mistake()

    def _check_text(self, chunk: bytes, *, is_last: bool) -> None:
        if self._decoder is None:
            return
        try:
            text = self._decoder.decode(chunk, is_last)
        except UnicodeDecodeError:
            raise self._mistake() from None
        if _TEXT_CONTROLS.search(text):
            raise self._mistake()

    def _mistake(self) -> InvalidValue:
        return InvalidValue(f"The content of the file is not of the type {self._mime_type}")


def sniff(head: bytes) -> str | None:
    """The binary type that content begins as; :obj:`None` for text and for what is not known."""
    for kind, offset, magic in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return kind
    # two letters are too few to tell: the size of the header that follows must be one that exists
    is_bitmap = head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS
    return "image/bmp" if is_bitmap else None
