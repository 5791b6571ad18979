"""JSON text to values and back, with every failure named."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from users_server.core.messages import JSON
from users_server.errors import MalformedFrame, NotAnObject

encode: Callable[[JSON], bytes] = orjson.dumps
"""UTF-8 JSON text of a value that this server made or has decoded."""

SHALLOW_BRACKETS = 200
"""Text with no more opening brackets than this cannot be nested too deeply to be written back."""


def decode_object(text: bytes) -> dict[str, JSON]:
    """
    One JSON object from UTF-8 ``text``. Whatever is returned can be written by :func:`encode`, also as a part of more.

    Raises:
        MalformedFrame: If it is not JSON (``NaN`` and a lone surrogate are not), or is nested beyond 250 levels.
        NotAnObject: If it is JSON, but no object.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedFrame(f"The message is not valid JSON: {error.msg}") from None
    if type(value) is not dict:
        raise NotAnObject
    if len(text) > SHALLOW_BRACKETS and text.count(b"[") + text.count(b"{") > SHALLOW_BRACKETS:
        _refuse_deep(value)
    return value


def _refuse_deep(value: JSON) -> None:
    try:
        orjson.dumps([[[[value]]]])
    except TypeError:
        raise MalformedFrame("The message is nested too deeply") from None
