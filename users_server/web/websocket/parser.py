"""
Bytes to messages: the receiving side of RFC 6455, without I/O.

Rule 1: everything is judged at the earliest byte that decides it. A reserved bit is refused with the frame's first
byte, a length with the header, a byte that is not UTF-8 when it comes, also in the middle of a frame.
Rule 2: no more is kept than a message up to the limit, and nothing at all between messages.
Rule 3: a whole small message in one chunk, which nearly all are, takes the short way through :meth:`FrameParser.feed`.
"""

from __future__ import annotations

import codecs
import zlib
from typing import Protocol

from tornado.util import _websocket_mask as apply_mask  # Tornado's C loop; there is no public name for it

from users_server.web.websocket.frames import MAX_CONTROL_BYTES, CloseCode, Opcode, is_valid_close_code

_FIN, _RSV1, _RSV23, _OPCODE, _MASKED, _LENGTH = 0x80, 0x40, 0x30, 0x0F, 0x80, 0x7F
_HEADER_BYTES = 6  # of a masked frame with less than 126 bytes of payload
_SHORT_TEXT = [b"none"] * _HEADER_BYTES + [bytes((_FIN | Opcode.TEXT, _MASKED | length)) for length in range(126)]
"""Total bytes of a whole, short, masked text frame to its first two."""
_DATA_OPCODES = (Opcode.TEXT, Opcode.BINARY)
_CONTROL_OPCODES = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
_DEFLATE_TAIL = b"\x00\x00\xff\xff"


class FrameError(Exception):
    """The peer broke RFC 6455; the connection must fail with ``code``."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameSink(Protocol):
    """Where parsed messages go. When :attr:`is_paused` is true, parsing stops until :meth:`FrameParser.feed`."""

    is_paused: bool

    def on_message(self, payload: bytes, is_text: bool) -> None: ...

    def on_ping(self, payload: bytes) -> None: ...

    def on_pong(self, payload: bytes) -> None: ...

    def on_close(self, code: int | None, reason: str) -> None: ...


class FrameParser:
    """
    Parses what one client sends.

    Args:
        sink: Where messages go, in order.
        max_message_bytes: A longer message fails with 1009, at the header that makes it too long.
        accepts_deflate: permessage-deflate was negotiated, without context takeover by the client.
    """

    __slots__ = (
        "_accepts_deflate",
        "_buffer",
        "_is_compressed",
        "_is_final",
        "_mask",
        "_max_message_bytes",
        "_message",
        "_opcode",
        "_remaining",
        "_short_bytes",
        "_sink",
        "_utf8",
    )

    def __init__(self, sink: FrameSink, max_message_bytes: int, *, accepts_deflate: bool = False) -> None:
        self._sink = sink
        self._max_message_bytes = max_message_bytes
        self._short_bytes = min(len(_SHORT_TEXT) - 1, max_message_bytes + _HEADER_BYTES)
        self._accepts_deflate = accepts_deflate
        self._buffer = b""  # bytes that do not decide anything yet: a part of a header or of a control frame
        self._message: bytearray | None = None  # the message that has begun
        self._opcode = 0
        self._is_compressed = False
        self._utf8: codecs.IncrementalDecoder | None = None
        self._remaining = -1  # bytes of the data frame that has begun; -1: none has
        self._mask = b""
        self._is_final = False

    @property
    def buffered_bytes(self) -> int:
        """How much is kept for later."""
        return len(self._buffer) + (len(self._message) if self._message is not None else 0)

    def feed(self, data: bytes) -> None:
        """
        Parse ``data`` as far as possible; what is left is kept for the next call.

        Raises:
            FrameError: If the peer broke the rules. Nothing may be fed afterwards.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        position, end = 0, len(data)
        if end <= self._short_bytes and self._message is None and data[:2] == _SHORT_TEXT[end]:
            if self._sink.is_paused:
                self._buffer = data
                return
            payload = apply_mask(data[2:_HEADER_BYTES], data[_HEADER_BYTES:])
            if not payload.isascii():
                _check_utf8(payload)
            self._sink.on_message(payload, True)
            return
        while position < end and not self._sink.is_paused:
            if self._remaining >= 0:
                position = self._take_payload(data, position)
                continue
            next_position = self._take_frame(data, position, end)
            if next_position < 0:
                break
            position = next_position
        if position < end:
            self._buffer = data[position:]

    def _take_frame(self, data: bytes, position: int, end: int) -> int:
        """Take a whole control frame, a whole message or the header of a data frame; -1 if more bytes are needed."""
        first = data[position]
        opcode = first & _OPCODE
        self._check_first_byte(first, opcode)
        if end - position < 2:
            return -1
        second = data[position + 1]
        length = second & _LENGTH
        if not second & _MASKED:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "A client must mask its frames")
        if opcode >= Opcode.CLOSE:
            return self._take_control(data, position, end, opcode, length)
        start = position + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if end - start < width:
                return -1
            length = self._extended_length(data[start : start + width])
            start += width
        self._check_size(length)
        if end - start < 4:
            return -1
        mask = data[start : start + 4]
        start += 4
        if first & _FIN and self._message is None and start + length <= end and not first & _RSV1:
            payload = apply_mask(mask, data[start : start + length]) if length else b""
            is_text = opcode == Opcode.TEXT
            if is_text and not payload.isascii():
                _check_utf8(payload)
            self._sink.on_message(payload, is_text)
            return start + length
        self._begin_frame(first, opcode, length, mask)
        return start

    def _check_first_byte(self, first: int, opcode: int) -> None:
        if first & _RSV23 or (first & _RSV1 and not (self._accepts_deflate and opcode in _DATA_OPCODES)):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "A reserved bit is set")
        if opcode in _DATA_OPCODES:
            if self._message is not None:
                raise FrameError(CloseCode.PROTOCOL_ERROR, "A message began inside another")
        elif opcode == Opcode.CONTINUATION:
            if self._message is None:
                raise FrameError(CloseCode.PROTOCOL_ERROR, "There is no message to continue")
        elif opcode not in _CONTROL_OPCODES:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "The opcode is reserved")
        elif not first & _FIN:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "A control frame must not be fragmented")

    def _extended_length(self, octets: bytes) -> int:
        length = int.from_bytes(octets, "big")
        if length < (126 if len(octets) == 2 else 65_536) or length >> 63:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "The length is not in its shortest form")
        return length

    def _check_size(self, length: int) -> None:
        begun = 0 if self._message is None else len(self._message)
        if begun + length > self._max_message_bytes:
            raise FrameError(CloseCode.TOO_BIG, f"A message may have {self._max_message_bytes} bytes")

    def _take_control(self, data: bytes, position: int, end: int, opcode: int, length: int) -> int:
        if length > MAX_CONTROL_BYTES:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "A control frame may have 125 bytes")
        start = position + 6
        if end < start + length:
            return -1
        payload = apply_mask(data[position + 2 : start], data[start : start + length]) if length else b""
        if opcode == Opcode.PING:
            self._sink.on_ping(payload)
        elif opcode == Opcode.PONG:
            self._sink.on_pong(payload)
        else:
            self._sink.on_close(*parse_close(payload))
        return start + length

    def _begin_frame(self, first: int, opcode: int, length: int, mask: bytes) -> None:
        if self._message is None:
            self._message = bytearray()
            self._opcode = opcode
            self._is_compressed = bool(first & _RSV1)
            if opcode == Opcode.TEXT and not self._is_compressed:
                self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._is_final = bool(first & _FIN)
        self._mask = mask
        self._remaining = length
        if length == 0:
            self._end_frame()

    def _take_payload(self, data: bytes, position: int) -> int:
        chunk = data[position : position + self._remaining]
        count = len(chunk)
        payload = apply_mask(self._mask, chunk)
        turn = count % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        if self._utf8 is not None:
            self._decode_utf8(payload, is_final=False)
        assert self._message is not None  # noqa: S101 - a frame that has begun has a message
        self._message += payload
        self._remaining -= count
        if self._remaining == 0:
            self._end_frame()
        return position + count

    def _decode_utf8(self, payload: bytes, *, is_final: bool) -> None:
        assert self._utf8 is not None  # noqa: S101 - asked by the caller
        try:
            self._utf8.decode(payload, is_final)
        except UnicodeDecodeError:
            raise FrameError(CloseCode.INVALID_DATA, "The text is not UTF-8") from None

    def _end_frame(self) -> None:
        self._remaining = -1
        if not self._is_final:
            return
        if self._utf8 is not None:
            self._decode_utf8(b"", is_final=True)
            self._utf8 = None
        payload, self._message = bytes(self._message or b""), None
        is_text = self._opcode == Opcode.TEXT
        if self._is_compressed:
            payload = _inflate(payload, self._max_message_bytes)
            if is_text:
                _check_utf8(payload)
        self._sink.on_message(payload, is_text)


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """
    Code and reason of a close frame; the code is :obj:`None` where there is none (RFC 6455 section 5.5.1).

    Raises:
        FrameError: If the payload is one byte, the code is not for peers to send, or the reason is not UTF-8.
    """
    if not payload:
        return None, ""
    if len(payload) == 1:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "A close frame cannot have one byte")
    code = int.from_bytes(payload[:2], "big")
    if not is_valid_close_code(code):
        raise FrameError(CloseCode.PROTOCOL_ERROR, "The close code is not valid")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_DATA, "The close reason is not UTF-8") from None


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_DATA, "The text is not UTF-8") from None


def _inflate(payload: bytes, max_bytes: int) -> bytes:
    """The message within ``payload``; never makes more than ``max_bytes`` and one (RFC 7692 section 7.2.2)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = inflater.decompress(payload + _DEFLATE_TAIL, max_bytes + 1)
    except zlib.error:
        raise FrameError(CloseCode.INVALID_DATA, "The message is not valid deflate data") from None
    if len(message) > max_bytes:
        raise FrameError(CloseCode.TOO_BIG, f"A message may have {max_bytes} bytes")
    return message
