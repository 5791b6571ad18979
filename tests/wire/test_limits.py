"""What a message may weigh, and what a client too much costs itself and nobody else."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.raw_client import BINARY, CONTINUATION, MASK, PING, TEXT, RawClient, build_fragments, build_frame
from tests.server_process import ServerProcess
from tests.wire.conformance import PATH, Case, binary, chops, pong, run, text

LIMIT = 65536
FULL = b"*" * LIMIT


def begin(size: int, opcode: int = BINARY) -> bytes:
    """The head of a frame of ``size`` bytes that never come."""
    return bytes([0x80 | opcode, 0xFF]) + struct.pack("!Q", size) + MASK


CASES = [
    Case("text-at-the-limit", build_frame(TEXT, FULL), (text(FULL),)),
    Case("binary-at-the-limit", build_frame(BINARY, FULL), (binary(FULL),)),
    Case("at-the-limit-twice", build_frame(TEXT, FULL) * 2, (text(FULL), text(FULL))),
    Case("fragments-at-the-limit", build_fragments(TEXT, [FULL[:-1], b"", b"*"]), (text(FULL),)),
    Case("text-over", build_frame(TEXT, FULL + b"*"), close=1009),
    Case("binary-over", build_frame(BINARY, FULL + b"*"), close=1009),
    Case("fragments-over", build_fragments(BINARY, [FULL, b"*"]), close=1009),
    Case("small-fragments-over", build_fragments(TEXT, [b"*" * 1000] * 66), close=1009),
    Case("head-of-one-over", begin(LIMIT + 1), close=1009),
    Case("head-of-a-gigabyte", begin(2**30), close=1009),
    Case("head-of-the-largest", begin(2**63 - 1), close=1009),
    Case(
        "head-of-a-fragment-over",
        build_frame(BINARY, FULL, is_final=False) + b"\x80\x81" + MASK,
        close=1009,
    ),
    Case(
        "control-frames-do-not-count",
        build_frame(TEXT, FULL[:-1], is_final=False) + build_frame(PING, b"p" * 125) + build_frame(CONTINUATION, b"*"),
        (pong(b"p" * 125), text(FULL)),
    ),
    Case("a-limit-for-each-message", build_fragments(TEXT, [FULL]) + build_fragments(TEXT, [FULL]), (text(FULL),) * 2),
]


@pytest.mark.parametrize(("case", "chop"), chops(CASES))
def test_messages(any_server: ServerProcess, case: Case, chop: int | None) -> None:
    run(any_server, case, chop=chop)


def test_the_limit_is_the_operators(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"maxMessageBytes": 1024})
    run(server, Case("", build_frame(TEXT, b"*" * 1024), (text(b"*" * 1024),)))
    run(server, Case("", build_frame(TEXT, b"*" * 1025), close=1009))
    with server.connect() as client:
        event = b'{"eventType":10,"message":"%s"}' % (b"x" * (1024 - 29))
        client.send_text(event)
        assert len(client.read_event()["message"]) == 1024 - 29
        client.send_text(event + b" ")
        assert client.expect_close(1009)


@pytest.mark.parametrize("size", [LIMIT + 1, 1_000_000, 8_000_000])
def test_the_sender_of_too_much_learns_why(connect: Callable[..., RawClient], size: int) -> None:
    """The whole message is written before the client reads; a server that resets here would take the answer back."""
    client = connect()
    client.send_text(b"*" * size)
    assert client.expect_close(1009)


def test_what_a_refused_sender_goes_on_to_send_is_dropped(connect: Callable[..., RawClient]) -> None:
    client = connect(path=PATH)
    client.send(build_frame(3) + build_frame(TEXT, FULL) * 20)
    client.expect_close(1002)


def test_heads_of_large_messages_take_no_memory(any_server: ServerProcess, connect: Callable[..., RawClient]) -> None:
    """Every client may announce a message; memory is for what has come."""
    clients = [connect(path=PATH) for _ in range(100)]
    before = resident_bytes(any_server)
    for client in clients:
        client.send(begin(LIMIT))
    assert connect().ask(eventType=10, message="still here")["message"] == "still here"
    assert resident_bytes(any_server) - before < 50 * LIMIT


def resident_bytes(server: ServerProcess) -> int:
    try:
        with open(f"/proc/{server.pid}/statm", encoding="ascii") as statistics:
            return int(statistics.read().split()[1]) * 4096
    except FileNotFoundError:
        pytest.skip("the memory of a process is read from /proc, which is not here")
