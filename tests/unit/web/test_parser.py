"""The frame parser against itself: any cutting of the bytes gives the same messages, and any bytes a named refusal."""

from __future__ import annotations

import codecs
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado.util import _websocket_mask

from users_server.web.websocket.frames import CloseCode, encode_close, encode_frame, is_valid_close_code
from users_server.web.websocket.parser import FrameError, FrameParser, parse_close


class Sink:
    def __init__(self) -> None:
        self.is_paused = False
        self.pause_after_each = False
        self.seen: list[tuple[object, ...]] = []

    def on_message(self, payload: bytes, is_text: bool) -> None:
        self.seen.append(("message", payload, is_text))
        self.is_paused = self.pause_after_each

    def on_ping(self, payload: bytes) -> None:
        self.seen.append(("ping", payload))

    def on_pong(self, payload: bytes) -> None:
        self.seen.append(("pong", payload))

    def on_close(self, code: int | None, reason: str) -> None:
        self.seen.append(("close", code, reason))


def masked(frame: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """What a client would send for the server's ``frame``."""
    width = {126: 2, 127: 8}.get(frame[1], 0)
    header, payload = frame[: 2 + width], frame[2 + width :]
    return bytes((header[0], header[1] | 0x80)) + header[2:] + mask + _websocket_mask(mask, payload)


def fragment(opcode: int, payload: bytes, *, is_final: bool) -> bytes:
    frame = encode_frame(opcode, payload)
    return masked(bytes((frame[0] if is_final else frame[0] & 0x7F,)) + frame[1:])


pieces = st.one_of(
    st.tuples(st.just("text"), st.text(max_size=200).map(str.encode)),
    st.tuples(st.just("binary"), st.binary(max_size=300)),
    st.tuples(st.just("ping"), st.binary(max_size=125)),
    st.tuples(st.just("pong"), st.binary(max_size=125)),
)


def build(kind: str, payload: bytes, cuts: list[int]) -> bytes:
    """One message in as many fragments as there are cuts and one, with a ping between them."""
    if kind in ("ping", "pong"):
        return masked(encode_frame(9 if kind == "ping" else 10, payload))
    opcode = 1 if kind == "text" else 2
    edges = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
    parts = [payload[a:b] for a, b in pairwise(edges)]
    frames = [
        fragment(opcode if index == 0 else 0, part, is_final=index == len(parts) - 1)
        for index, part in enumerate(parts)
    ]
    return masked(encode_frame(9, b"between")).join(frames)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(pieces, st.lists(st.integers(0, 300), max_size=3)), max_size=5),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.booleans(),
)
def test_any_cutting_gives_the_same_messages(
    content: list[tuple[tuple[str, bytes], list[int]]], steps: list[int], pauses: bool
) -> None:
    data = b"".join(build(kind, payload, cuts) for (kind, payload), cuts in content)
    whole, cut = Sink(), Sink()
    FrameParser(whole, 10_000).feed(data)
    cut.pause_after_each = pauses
    parser, position, turn = FrameParser(cut, 10_000), 0, 0
    while position < len(data):
        step = steps[turn % len(steps)]
        parser.feed(data[position : position + step])
        position, turn = position + step, turn + 1
        while cut.is_paused:
            cut.is_paused = False
            parser.feed(b"")
    assert cut.seen == whole.seen
    expected = [("message", payload, kind == "text") for (kind, payload), _ in content if kind in ("text", "binary")]
    assert [entry for entry in whole.seen if entry[0] == "message"] == expected
    assert parser.buffered_bytes == 0


@settings(max_examples=500)
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_give_messages_or_a_frame_error(chunks: list[bytes], accepts_deflate: bool) -> None:
    parser = FrameParser(Sink(), 100, accepts_deflate=accepts_deflate)
    code = CloseCode.PROTOCOL_ERROR
    try:
        for chunk in chunks:
            parser.feed(chunk)
    except FrameError as error:
        code = error.code
    assert code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.TOO_BIG)
    assert parser.buffered_bytes <= 100 + 140


@given(st.binary(min_size=1, max_size=40))
def test_text_is_refused_at_the_byte_that_is_not_utf8(payload: bytes) -> None:
    """One byte at a time in an unfinished frame: refused exactly where Python's decoder would be."""
    parser = FrameParser(Sink(), 1000)
    decoder, expected = codecs.getincrementaldecoder("utf-8")(), None
    for index, byte in enumerate(payload):
        try:
            decoder.decode(bytes((byte,)))
        except UnicodeDecodeError:
            expected = index
            break
    frame = fragment(1, payload + b"more", is_final=False)
    header, body = frame[:6], frame[6:]
    parser.feed(header)
    found, code = None, CloseCode.INVALID_DATA
    for index in range(len(payload)):
        try:
            parser.feed(body[index : index + 1])
        except FrameError as error:
            found, code = index, error.code
            break
    assert (found, code) == (expected, CloseCode.INVALID_DATA)


def test_a_message_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    for size in (10, 125, 126, 1000):
        sink = Sink()
        FrameParser(sink, size).feed(masked(encode_frame(2, b"x" * size)))
        assert sink.seen == [("message", b"x" * size, False)]
        with pytest.raises(FrameError) as caught:
            FrameParser(Sink(), size - 1).feed(masked(encode_frame(2, b"x" * size)))
        assert caught.value.code == CloseCode.TOO_BIG


def test_a_short_text_over_a_tiny_limit_is_refused() -> None:
    with pytest.raises(FrameError) as caught:
        FrameParser(Sink(), 5).feed(masked(encode_frame(1, b"123456")))
    assert caught.value.code == CloseCode.TOO_BIG


def test_a_deflate_bomb_makes_no_more_than_the_limit() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = compressor.compress(b"x" * 10_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH)
    frame = masked(encode_frame(1, data[:-4], rsv1=True))
    with pytest.raises(FrameError) as caught:
        FrameParser(Sink(), 65_536, accepts_deflate=True).feed(frame)
    assert caught.value.code == CloseCode.TOO_BIG


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_codes_that_no_peer_may_send(code: int) -> None:
    assert not is_valid_close_code(code)
    with pytest.raises(FrameError) as caught:
        parse_close(code.to_bytes(2, "big"))
    assert caught.value.code == CloseCode.PROTOCOL_ERROR


def test_a_long_reason_is_cut_between_characters() -> None:
    frame = encode_close(1000, "é" * 100)
    assert len(frame) == 2 + 2 + 122
    assert parse_close(frame[2:]) == (1000, "é" * 61)
