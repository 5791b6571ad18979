"""RFC 6455, section 5: frames, control frames and fragmentation, on the raw echo of the conformance endpoint."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    RawClient,
    build_close,
    build_fragments,
    build_frame,
)
from tests.server_process import ServerProcess
from tests.wire.conformance import PATH, Case, binary, chops, pong, run, text

HELLO = build_frame(TEXT, b"Hello, world!")
HELLO_TEXT = text("Hello, world!")
PING_AFTER = build_frame(PING)
LENGTHS = (0, 1, 125, 126, 127, 128, 65535, 65536)
OCTETS = bytes(range(256)) * 257

LENGTH_CASES = [
    *(Case(f"text-{size}", build_frame(TEXT, b"*" * size), (text(b"*" * size),)) for size in LENGTHS),
    *(Case(f"binary-{size}", build_frame(BINARY, OCTETS[:size]), (binary(OCTETS[:size]),)) for size in LENGTHS),
]

MASKING_CASES = [
    Case("zero-key", build_frame(TEXT, b"plain", mask=bytes(4)), (text("plain"),)),
    Case("ones-key", build_frame(BINARY, b"\xff\x00\x0f", mask=b"\xff" * 4), (binary(b"\xff\x00\x0f"),)),
    *(
        Case(f"unmasked-{name}", build_frame(opcode, b"no mask"[:size], mask=None) + PING_AFTER, close=1002)
        for name, opcode, size in (("text", TEXT, 7), ("binary", BINARY, 7), ("ping", PING, 7), ("empty", TEXT, 0))
    ),
    Case("unmasked-close", build_frame(CLOSE, struct.pack("!H", 1000), mask=None), close=1002),
    Case("unmasked-after-message", HELLO + build_frame(TEXT, b"x", mask=None), (HELLO_TEXT,), 1002),
]

LONG_FORM_CASES = [
    *(Case(f"16-bits-for-{size}", build_frame(TEXT, b"*" * size, length_bits=16), close=1002) for size in (0, 1, 125)),
    *(
        Case(f"64-bits-for-{size}", build_frame(BINARY, b"*" * size, length_bits=64), close=1002)
        for size in (0, 125, 126, 65535)
    ),
    Case("16-bits-for-a-ping", build_frame(PING, b"x", length_bits=16), close=1002),
    Case("64-bits-with-the-sign", bytes([0x82, 0xFF]) + b"\xff" * 8 + MASK, close=1002),
]

PING_CASES = [
    *(Case(f"ping-{size}", build_frame(PING, OCTETS[:size]), (pong(OCTETS[:size]),)) for size in (0, 1, 8, 124, 125)),
    Case("ping-126", build_frame(PING, b"\xfe" * 126), close=1002),
    Case("ping-65536", build_frame(PING, b"\xfe" * 65536), close=1002),
    Case("pong-126", build_frame(PONG, b"\xfe" * 126), close=1002),
    Case("unsolicited-pong", build_frame(PONG)),
    Case("unsolicited-pong-with-payload", build_frame(PONG, b"unsolicited")),
    Case(
        "unsolicited-pong-then-ping", build_frame(PONG, b"unsolicited") + build_frame(PING, b"asked"), (pong(b"asked"),)
    ),
    Case(
        "ten-pings",
        b"".join(build_frame(PING, b"payload-%d" % number) for number in range(10)),
        tuple(pong(b"payload-%d" % number) for number in range(10)),
    ),
]

RESERVED_CASES = [
    *(
        Case(f"reserved-{bits}-on-{name}", build_frame(opcode, payload, reserved=bits) + PING_AFTER, close=1002)
        for bits in range(1, 8)
        for name, opcode, payload in (
            ("text", TEXT, b"small"),
            ("binary", BINARY, b"\x00\xff"),
            ("ping", PING, b"x"),
            ("pong", PONG, b""),
            ("close", CLOSE, struct.pack("!H", 1000)),
        )
    ),
    *(
        Case(
            f"reserved-{bits}-after-message",
            HELLO + build_frame(TEXT, b"small", reserved=bits) + PING_AFTER,
            (HELLO_TEXT,),
            1002,
        )
        for bits in range(1, 8)
    ),
    *(
        Case(
            f"reserved-{bits}-on-continuation",
            build_frame(TEXT, b"a", is_final=False) + build_frame(CONTINUATION, b"b", reserved=bits),
            close=1002,
        )
        for bits in range(1, 8)
    ),
]

UNKNOWN_OPCODES = (*range(3, 8), *range(11, 16))
OPCODE_CASES = [
    *(Case(f"opcode-{number}-empty", build_frame(number), close=1002) for number in UNKNOWN_OPCODES),
    *(Case(f"opcode-{number}", build_frame(number, b"payload") + PING_AFTER, close=1002) for number in UNKNOWN_OPCODES),
    *(
        Case(
            f"opcode-{number}-after-message",
            HELLO + build_frame(number, b"payload") + PING_AFTER,
            (HELLO_TEXT,),
            1002,
        )
        for number in UNKNOWN_OPCODES
    ),
    *(
        Case(
            f"opcode-{number}-between-fragments",
            build_frame(TEXT, b"a", is_final=False) + build_frame(number) + build_frame(CONTINUATION, b"b"),
            close=1002,
        )
        for number in UNKNOWN_OPCODES
    ),
]

START = build_frame(TEXT, b"fragment1", is_final=False)
MIDDLE = build_frame(CONTINUATION, b"fragment2", is_final=False)
END = build_frame(CONTINUATION, b"fragment2")
WHOLE = text("fragment1fragment2")
LOST = build_frame(CONTINUATION, b"non-continuation payload")
LOST_OPEN = build_frame(CONTINUATION, b"non-continuation payload", is_final=False)


def ping_between(number: int) -> bytes:
    return build_frame(PING, b"ping %d" % number)


FIVE = [build_frame(TEXT, b"part 0 ", is_final=False)]
FIVE += [build_frame(CONTINUATION, b"part %d " % number, is_final=False) for number in range(1, 4)]
FIVE += [build_frame(CONTINUATION, b"part 4 ")]
FIVE_TEXT = text("part 0 part 1 part 2 part 3 part 4 ")

FRAGMENT_CASES = [
    Case("fragmented-ping", build_fragments(PING, [b"fragment1", b"fragment2"]), close=1002),
    Case("fragmented-pong", build_fragments(PONG, [b"fragment1", b"fragment2"]), close=1002),
    Case("fragmented-close", build_frame(CLOSE, struct.pack("!H", 1000), is_final=False), close=1002),
    Case("two-fragments", START + END, (WHOLE,)),
    Case("two-binary-fragments", build_fragments(BINARY, [b"\x00\xff", b"\xfe"]), (binary(b"\x00\xff\xfe"),)),
    Case("ping-between", START + ping_between(0) + END, (pong(b"ping 0"), WHOLE)),
    Case("pong-between", START + build_frame(PONG, b"unsolicited") + END, (WHOLE,)),
    Case("three-empty-fragments", build_fragments(TEXT, [b"", b"", b""]), (text(""),)),
    Case("empty-around-full", build_fragments(TEXT, [b"", b"middle", b""]), (text("middle"),)),
    Case("full-around-empty", build_fragments(BINARY, [b"\x01", b"", b"\x02"]), (binary(b"\x01\x02"),)),
    Case("lost-continuation", LOST + HELLO, close=1002),
    Case("lost-open-continuation", LOST_OPEN + HELLO, close=1002),
    Case("lost-continuation-after-message", HELLO + LOST + HELLO, (HELLO_TEXT,), 1002),
    Case("lost-continuation-after-fragments", START + END + LOST_OPEN + HELLO, (WHOLE,), 1002),
    Case("lost-empty-continuation", build_frame(CONTINUATION), close=1002),
    Case("repeated-lost-continuation", (LOST_OPEN + HELLO) * 3, close=1002),
    Case("start-within-fragments", START + START, close=1002),
    Case("message-within-fragments", START + HELLO + END, close=1002),
    Case("binary-within-text-fragments", START + build_frame(BINARY, b"\x00"), close=1002),
    Case("text-within-binary-fragments", build_frame(BINARY, b"\x00", is_final=False) + HELLO, close=1002),
    Case("empty-start-within-fragments", build_frame(TEXT, is_final=False) + build_frame(TEXT), close=1002),
    Case(
        "five-fragments-and-pings",
        FIVE[0] + FIVE[1] + ping_between(1) + FIVE[2] + FIVE[3] + ping_between(2) + FIVE[4],
        (pong(b"ping 1"), pong(b"ping 2"), FIVE_TEXT),
    ),
    Case(
        "a-ping-after-each-fragment",
        b"".join(part + ping_between(number) for number, part in enumerate(FIVE[:4])) + FIVE[4],
        (*(pong(b"ping %d" % number) for number in range(4)), FIVE_TEXT),
    ),
    Case(
        "two-messages-one-fragmented",
        START + MIDDLE + END + HELLO,
        (text("fragment1" + "fragment2" * 2), text("Hello, world!")),
    ),
    Case("close-between-fragments", START + build_close(1000) + END, close=1000),
]

MANY_EMPTY = build_frame(TEXT, b"start ", is_final=False) + build_frame(CONTINUATION, is_final=False) * 5000
MANY_EMPTY += build_frame(CONTINUATION, b"end")


@pytest.mark.parametrize(
    ("case", "chop"),
    [
        *chops(LENGTH_CASES),
        *chops(MASKING_CASES),
        *chops(LONG_FORM_CASES),
        *chops(PING_CASES),
        *chops(RESERVED_CASES),
        *chops(OPCODE_CASES),
        *chops(FRAGMENT_CASES),
    ],
)
def test_frames(any_server: ServerProcess, case: Case, chop: int | None) -> None:
    run(any_server, case, chop=chop)


def test_five_thousand_empty_fragments_make_one_message(any_server: ServerProcess) -> None:
    run(any_server, Case("", MANY_EMPTY, (text("start end"),)))


def test_messages_of_every_length(any_server: ServerProcess) -> None:
    """Each in a write of its own, and then many in one: a short way for the usual case must not take another for it."""
    with any_server.connect(PATH) as client:
        for size in range(1200):
            client.send_frame(TEXT, b"*" * size)
            assert client.read_message().payload == b"*" * size
        for size in range(140):
            client.send(build_frame(TEXT, b"*" * size) * 30)
            for _ in range(30):
                assert client.read_message().payload == b"*" * size
        client.finish()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("following", [0, 4, 128, 132, 134])
def test_unmasked_frames_of_every_length(any_server: ServerProcess, opcode: int, following: int) -> None:
    for size in (0, 1, 5, 60, 121, 125):
        with any_server.connect(PATH) as client:
            client.send(build_frame(opcode, b"*" * size, mask=None) + b"*" * following)
            client.expect_close(1002)


@pytest.mark.parametrize("size", [64, 256, 1300, 4096, 65535])
def test_the_largest_message_in_fragments(any_server: ServerProcess, size: int) -> None:
    payload = OCTETS[:65536]
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    run(any_server, Case("", build_fragments(BINARY, parts), (binary(payload),)))


@pytest.mark.parametrize("chop", [2, 3, 7, 64, 128, 256, 512, 1024, 2048, 65536])
def test_writes_of_any_size(any_server: ServerProcess, chop: int) -> None:
    sizes = (0, 1, 125, 126, 2000) if chop < 64 else (0, 125, 126, 65535, 65536)
    messages = [binary(OCTETS[:size]) for size in sizes]
    frames = b"".join(build_frame(BINARY, message.payload) for message in messages)
    run(any_server, Case("", frames, tuple(messages)), chop=chop)


@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024])
def test_a_thousand_messages_in_one_write_are_echoed_in_order(any_server: ServerProcess, size: int) -> None:
    payloads = [b"%04d" % number + b"*" * (size - 4) if size else b"" for number in range(1000)]
    with any_server.connect(PATH) as client:
        for start in range(0, 1000, 100):
            batch = payloads[start : start + 100]
            client.send(b"".join(build_frame(TEXT, payload) for payload in batch))
            assert [client.read_message().payload for _ in batch] == batch
        client.finish()


def test_broken_frames_close_the_users_protocol_too(connect: Callable[..., RawClient]) -> None:
    for broken in (build_frame(3), build_frame(TEXT, b"{}", reserved=2), build_frame(TEXT, b"{}", mask=None), LOST):
        client = connect()
        client.send(broken)
        assert client.expect_close(1002)


def test_conformance_is_off_unless_asked_for(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, arguments=())
    with server.dial() as client:
        response = client.request(PATH, headers={"Origin": "http://localhost"})
        assert response.status == 404
