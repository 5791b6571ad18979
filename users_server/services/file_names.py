"""Names of files as clients give them. They are shown and sent in headers, and never a part of a path."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_LENGTH = 255
NAMELESS = "file"

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def clean_name(name: str) -> str:
    """
    One printable line: without a folder before it, control characters and marks that turn the direction of text.

    Bounded in length; an end such as ``.png`` survives the cut.
    """
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = _UNPRINTABLE.sub("", name).strip()
    if not name.strip("."):
        return NAMELESS
    if len(name) <= MAX_NAME_LENGTH:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 20:
        return name[:MAX_NAME_LENGTH]
    return f"{stem[: MAX_NAME_LENGTH - len(suffix) - 1]}.{suffix}"
