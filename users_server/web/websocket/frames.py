"""Frames to bytes (RFC 6455 section 5.2), server side: never masked, never fragmented."""

from __future__ import annotations

import enum
import struct
import zlib


class Opcode(enum.IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(enum.IntEnum):
    """RFC 6455 section 7.4.1."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_AGAIN_LATER = 1013


MAX_CONTROL_BYTES = 125
_FIN = 0x80
_RSV1 = 0x40
_HEADER_16 = struct.Struct("!BBH")
_HEADER_64 = struct.Struct("!BBQ")
_SHORT_TEXT_HEADERS = [bytes((_FIN | Opcode.TEXT, length)) for length in range(126)]
_CLOSE_CODE = struct.Struct("!H")


def encode_frame(opcode: int, payload: bytes, *, rsv1: bool = False) -> bytes:
    """One complete frame."""
    first = _FIN | opcode | (_RSV1 if rsv1 else 0)
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65_536:
        return _HEADER_16.pack(first, 126, length) + payload
    return _HEADER_64.pack(first, 127, length) + payload


def encode_close(code: int, reason: str) -> bytes:
    """A close frame. A reason of more than 123 bytes is cut between characters."""
    text = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return encode_frame(Opcode.CLOSE, _CLOSE_CODE.pack(code) + text)


def is_valid_close_code(code: int) -> bool:
    """Whether a peer may send ``code`` (RFC 6455 section 7.4 and the IANA registry)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


class PlainFraming:
    """Messages as they are. :class:`users_server.protocols.base.Framing`."""

    def text(self, payload: bytes) -> bytes:
        length = len(payload)
        return _SHORT_TEXT_HEADERS[length] + payload if length < 126 else encode_frame(Opcode.TEXT, payload)

    def binary(self, payload: bytes) -> bytes:
        return encode_frame(Opcode.BINARY, payload)


class DeflateFraming:
    """
    permessage-deflate without context takeover (RFC 7692), so that one compressed frame serves every client.

    A message shorter than ``min_bytes`` is sent as it is: compressing it would cost more than it saves.
    """

    def __init__(self, *, min_bytes: int = 64, level: int = 1) -> None:
        self._min_bytes = min_bytes
        self._level = level

    def text(self, payload: bytes) -> bytes:
        return self._encode(Opcode.TEXT, payload)

    def binary(self, payload: bytes) -> bytes:
        return self._encode(Opcode.BINARY, payload)

    def _encode(self, opcode: int, payload: bytes) -> bytes:
        if len(payload) < self._min_bytes:
            return encode_frame(opcode, payload)
        compressor = zlib.compressobj(self._level, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return encode_frame(opcode, data[:-4], rsv1=True)
