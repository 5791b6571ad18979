"""
Bytes to the messages of Phoenix channels and back: the serializers V1 and V2. Pure functions.

V1 has objects, V2 arrays ``[join_ref, ref, topic, event, payload]`` and, for payloads of bytes, binary frames whose
first byte is their kind: 0 for a push, 2 for a broadcast. All lengths in a binary frame are one byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import orjson

from users_server.core.messages import JSON
from users_server.errors import ProtocolViolation
from users_server.schemas.json_text import encode

Ref: TypeAlias = str | int | float | None
"""What a client calls a message of its own, as it came. phoenix.js counts in text; others use numbers."""

PUSH, BROADCAST = 0, 2
MAX_FIELD_BYTES = 255
"""Of a field in a binary frame, and of a ref."""

MALFORMED = "The message is none of the Phoenix protocol"
_VERSION = re.compile(r"([12])\.0\.(?:0|[1-9][0-9]{0,8})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """
    What a client says.

    Attributes:
        join_ref: The ref of the join of the topic that it belongs to, if it tells.
        payload: Any JSON value; :class:`bytes` from a binary frame.
    """

    join_ref: Ref
    ref: Ref
    topic: str
    event: str
    payload: JSON | bytes


class Serializer(Protocol):
    """
    One version of the wire format.

    Attributes:
        tells_join_refs: Whether a client can tell which of its joins a message of the server belongs to.
    """

    version: int
    tells_join_refs: bool

    def decode(self, data: bytes, is_text: bool) -> ClientMessage:
        """Raises :class:`ProtocolViolation`, and nothing else, for what has not the form."""

    def encode(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: JSON) -> bytes:
        """The payload of a text frame."""

    def encode_binary(self, topic: str, event: str, payload: bytes) -> bytes | None:
        """The payload of a binary frame that brings a broadcast; :obj:`None` where there is no form for it."""


class SerializerV1:
    """``{"topic","event","payload","ref"}``; there are no binary frames, and the server never tells a join_ref."""

    version = 1
    tells_join_refs = False

    def decode(self, data: bytes, is_text: bool) -> ClientMessage:
        value = _load(data) if is_text else None
        if type(value) is not dict or "ref" not in value or "payload" not in value:
            raise ProtocolViolation(MALFORMED)
        return _message(value.get("join_ref"), value["ref"], value.get("topic"), value.get("event"), value["payload"])

    def encode(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: JSON) -> bytes:
        return encode({"topic": topic, "event": event, "payload": payload, "ref": ref})

    def encode_binary(self, topic: str, event: str, payload: bytes) -> bytes | None:
        return None


class SerializerV2:
    """``[join_ref, ref, topic, event, payload]``, and binary frames."""

    version = 2
    tells_join_refs = True

    def decode(self, data: bytes, is_text: bool) -> ClientMessage:
        if not is_text:
            return _decode_binary(data)
        value = _load(data)
        if type(value) is not list or len(value) < 5:
            raise ProtocolViolation(MALFORMED)
        return _message(value[0], value[1], value[2], value[3], value[4])

    def encode(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: JSON) -> bytes:
        return encode([join_ref, ref, topic, event, payload])

    def encode_binary(self, topic: str, event: str, payload: bytes) -> bytes | None:
        topic_bytes, event_bytes = topic.encode(), event.encode()
        if len(topic_bytes) > MAX_FIELD_BYTES or len(event_bytes) > MAX_FIELD_BYTES:
            return None
        return bytes((BROADCAST, len(topic_bytes), len(event_bytes))) + topic_bytes + event_bytes + payload


SERIALIZERS: dict[str, Serializer] = {"1": SerializerV1(), "2": SerializerV2()}


def find_serializer(version: str | None) -> Serializer:
    """
    For the ``vsn`` of a handshake, which may be missing: then it is 1.0.0.

    Raises:
        ProtocolViolation: For a version that is neither ``~> 1.0.0`` nor ``~> 2.0.0``.
    """
    match = _VERSION.match("1.0.0" if version is None else version)
    if match is None:
        raise ProtocolViolation("vsn must be 1.0.0 or 2.0.0")
    return SERIALIZERS[match[1]]


def _load(data: bytes) -> JSON:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ProtocolViolation(MALFORMED) from None


def _message(join_ref: JSON, ref: JSON, topic: JSON, event: JSON, payload: JSON) -> ClientMessage:
    if type(topic) is not str or type(event) is not str or not (_is_ref(join_ref) and _is_ref(ref)):
        raise ProtocolViolation(MALFORMED)
    return ClientMessage(join_ref, ref, topic, event, payload)


def _is_ref(value: JSON) -> bool:
    if type(value) is str:
        return len(value.encode()) <= MAX_FIELD_BYTES
    return value is None or type(value) is int or type(value) is float


def _decode_binary(data: bytes) -> ClientMessage:
    """A push: ``00 | length of join_ref, ref, topic, event | the four | payload``."""
    if len(data) < 5 or data[0] != PUSH or len(data) < 5 + sum(data[1:5]):
        raise ProtocolViolation(MALFORMED)
    fields, position = [], 5
    for length in data[1:5]:
        fields.append(_text(data[position : position + length]))
        position += length
    join_ref, ref, topic, event = fields
    return ClientMessage(join_ref or None, ref or None, topic, event, data[position:])


def _text(field: bytes) -> str:
    """UTF-8; phoenix.js before 1.8.7 wrote a byte for each character instead."""
    try:
        return field.decode()
    except UnicodeDecodeError:
        return field.decode("latin-1")
