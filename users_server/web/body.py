"""A request's body: how much of it is taken, what it may be, and what it says."""

from __future__ import annotations

from typing import Any

import orjson
from marshmallow import Schema, ValidationError

from users_server.core.messages import JSON
from users_server.errors import ClientError, InvalidPayload, MalformedFrame, NotAnObject, PayloadTooLarge

JSON_TYPE = "application/json"
MAX_DEPTH = 64
# A little too much is read and thrown away, so that the client is still there to read the refusal; a lot is not.
DISCARD_FACTOR = 8
MAX_LENGTH_DIGITS = 18


class UnsupportedMediaType(ClientError):
    reason = "unsupported_media_type"
    default_message = "The Content-Type of the body must be application/json"


class Body:
    """
    Collects a body of at most ``limit`` bytes; what is beyond is discarded and remembered.

    Memory is bounded by ``limit``, whatever the client sends.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._chunks: list[bytes] = []
        self._received = 0

    def is_hopeless(self, announced: str | None) -> bool:
        """Whether the announced length is not even worth discarding."""
        if announced is None or not (announced.isascii() and announced.isdigit()):
            return False
        return len(announced) > MAX_LENGTH_DIGITS or int(announced) > self.limit * DISCARD_FACTOR

    def add(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received <= self.limit:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    def bytes(self) -> bytes:
        """
        The whole body.

        Raises:
            PayloadTooLarge: If it was longer than the limit.
        """
        if self._received > self.limit:
            raise self.refusal()
        return b"".join(self._chunks)

    def refusal(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self.limit} bytes")


def check_content_type(content_type: str | None, *, is_lenient: bool) -> None:
    """
    A body must say that it is JSON, which a form of a foreign page cannot.

    Raises:
        UnsupportedMediaType: If it says something else or, unless ``is_lenient``, nothing.
    """
    if content_type is None and is_lenient:
        return
    if (content_type or "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise UnsupportedMediaType


def decode(text: bytes, *, may_be_list: bool = False) -> JSON:
    """
    The JSON object of a body, or the list where one is allowed; an empty body is an empty object.

    Raises:
        MalformedFrame: If it is not JSON, or nested so deeply that it could not be written back.
        NotAnObject: If it is JSON of another kind.
    """
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedFrame(f"The body is not valid JSON: {error.msg}") from None
    if not (isinstance(value, dict) or (may_be_list and isinstance(value, list))):
        raise NotAnObject("The body must be a JSON object")
    if is_deeper_than(value, MAX_DEPTH):
        raise MalformedFrame(f"The body is nested more than {MAX_DEPTH} levels deep")
    return value


def is_deeper_than(value: JSON, depth: int) -> bool:
    """Whether ``value`` has more than ``depth`` levels of objects and lists. Needs no recursion."""
    level = [value]
    for _ in range(depth + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return False
        level = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
    return True


def validate(schema: type[Schema] | None, value: JSON, *, max_items: int = 0) -> Any:
    """
    What ``schema`` makes of ``value``; an empty dictionary without a schema.

    Raises:
        InvalidPayload: With marshmallow's messages.
    """
    if schema is None:
        return {}
    if isinstance(value, list) and not 1 <= len(value) <= max_items:
        raise InvalidPayload({"_schema": [f"Between 1 and {max_items} objects are allowed"]})
    try:
        return schema(many=isinstance(value, list)).load(value)
    except ValidationError as error:
        raise InvalidPayload(error.messages_dict, "The request has invalid fields") from None


def with_text_keys(value: Any) -> Any:
    """marshmallow's messages with the indices of lists as text, which JSON needs."""
    if isinstance(value, dict):
        return {str(key): with_text_keys(item) for key, item in value.items()}
    return value
