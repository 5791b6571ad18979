"""RFC 6455, 8.1: text must be UTF-8, and what is not is refused with 1007 at once."""

from __future__ import annotations

import codecs
from collections.abc import Callable

import pytest

from tests.raw_client import BINARY, CONTINUATION, PING, TEXT, RawClient, build_fragments, build_frame
from tests.server_process import ServerProcess
from tests.wire.conformance import PATH, Case, chops, pong, run, text

VALID = {
    "ascii": b"Hello, world!",
    "greek": bytes.fromhex("cebae1bdb9cf83cebcceb5"),
    "mixed": "Hello-µ@ßöäüàá-UTF-8!!".encode(),
    "nul": b"\x00",
    "first-of-2": bytes.fromhex("c280"),
    "last-of-1": b"\x7f",
    "last-of-2": bytes.fromhex("dfbf"),
    "first-of-3": bytes.fromhex("e0a080"),
    "last-of-3": bytes.fromhex("efbfbf"),
    "before-surrogates": bytes.fromhex("ed9fbf"),
    "after-surrogates": bytes.fromhex("ee8080"),
    "replacement": bytes.fromhex("efbfbd"),
    "nonchar-fffe": bytes.fromhex("efbfbe"),
    "byte-order-mark": bytes.fromhex("efbbbf"),
    "first-of-4": bytes.fromhex("f0908080"),
    "nonchar-1fffe": bytes.fromhex("f09fbfbe"),
    "nonchar-10ffff": bytes.fromhex("f48fbfbf"),
    "emoji": "👩‍👩‍👧 ñ 漢字 ﷽".encode(),
}

INVALID = {
    "continuation-80": b"\x80",
    "continuation-bf": b"\xbf",
    "two-continuations": b"\x80\xbf",
    "all-continuations": bytes(range(0x80, 0xC0)),
    "lonely-start-2": b"\xc3\x20",
    "lonely-start-3": b"\xe1\x20",
    "lonely-start-4": b"\xf1\x20",
    "start-5": bytes.fromhex("f888808080"),
    "start-6": bytes.fromhex("fc8480808080"),
    "byte-fe": b"\xfe",
    "byte-ff": b"\xff",
    "overlong-c0": bytes.fromhex("c0af"),
    "overlong-c1": bytes.fromhex("c1bf"),
    "overlong-3": bytes.fromhex("e080af"),
    "overlong-3-last": bytes.fromhex("e09fbf"),
    "overlong-4": bytes.fromhex("f08080af"),
    "overlong-4-last": bytes.fromhex("f08fbfbf"),
    "overlong-nul": bytes.fromhex("c080"),
    "surrogate-d800": bytes.fromhex("eda080"),
    "surrogate-dbff": bytes.fromhex("edafbf"),
    "surrogate-dc00": bytes.fromhex("edb080"),
    "surrogate-dfff": bytes.fromhex("edbfbf"),
    "surrogate-pair": bytes.fromhex("eda080edb080"),
    "above-10ffff": bytes.fromhex("f4908080"),
    "start-f5": bytes.fromhex("f5808080"),
    "start-f7": bytes.fromhex("f7bfbfbf"),
    "cut-in-2-then-ascii": bytes.fromhex("ce41"),
    "cut-in-3-then-ascii": bytes.fromhex("e1bd41"),
    "cut-in-4-then-ascii": bytes.fromhex("f4808041"),
    "greek-then-surrogate-then-ascii": bytes.fromhex("cebae1bdb9cf83cebcceb5eda080656469746564"),
}

UNFINISHED = {
    "1-of-2": b"\xce",
    "1-of-3": b"\xe1",
    "2-of-3": b"\xe1\xbd",
    "1-of-4": b"\xf0",
    "2-of-4": b"\xf0\x90",
    "3-of-4": b"\xf0\x90\x80",
    "3-of-4-after-text": b"ok \xf4\x8f\xbf",
}


def octets(payload: bytes) -> list[bytes]:
    return [payload[index : index + 1] for index in range(len(payload))]


def up_to_the_mistake(payload: bytes) -> bytes:
    """The shortest prefix that no text can begin with."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for index, octet in enumerate(octets(payload)):
        try:
            decoder.decode(octet)
        except UnicodeDecodeError:
            return payload[: index + 1]
    raise AssertionError(f"{payload!r} could still become valid")


ENDINGS = [pytest.param(payload, id=name) for name, payload in INVALID.items()]

CASES = [
    *(Case(f"valid-{name}", build_frame(TEXT, payload), (text(payload),)) for name, payload in VALID.items()),
    *(
        Case(f"valid-{name}-in-fragments", build_fragments(TEXT, octets(payload)), (text(payload),))
        for name, payload in VALID.items()
    ),
    *(
        Case(
            f"valid-{name}-repeated",
            build_frame(TEXT, payload * (60000 // len(payload))),
            (text(payload * (60000 // len(payload))),),
        )
        for name, payload in VALID.items()
    ),
    *(Case(f"invalid-{name}", build_frame(TEXT, payload), close=1007) for name, payload in INVALID.items()),
    *(
        Case(f"invalid-{name}-after-text", build_frame(TEXT, "ok µ ".encode() + payload + b" more"), close=1007)
        for name, payload in INVALID.items()
    ),
    *(
        Case(f"invalid-{name}-in-fragments", build_fragments(TEXT, octets(b"ok" + payload + b"!")), close=1007)
        for name, payload in INVALID.items()
    ),
    *(Case(f"unfinished-{name}", build_frame(TEXT, payload), close=1007) for name, payload in UNFINISHED.items()),
    *(
        Case(f"unfinished-{name}-in-fragments", build_fragments(TEXT, [*octets(payload), b""]), close=1007)
        for name, payload in UNFINISHED.items()
    ),
    Case(
        "ping-within-a-character",
        build_frame(TEXT, b"\xe2", is_final=False)
        + build_frame(PING, b"\xff")
        + build_frame(CONTINUATION, b"\x82\xac"),
        (pong(b"\xff"), text("€")),
    ),
    Case("each-message-starts-anew", build_frame(TEXT, b"\xe2") + build_frame(TEXT, b"\x82\xac"), close=1007),
]


@pytest.mark.parametrize(("case", "chop"), chops(CASES))
def test_text(any_server: ServerProcess, case: Case, chop: int | None) -> None:
    run(any_server, case, chop=chop)


@pytest.mark.parametrize("payload", ENDINGS)
def test_an_invalid_octet_ends_an_unfinished_frame(any_server: ServerProcess, payload: bytes) -> None:
    """Autobahn 6.4.3 and 6.4.4: the rest of the frame never comes."""
    start = b"good \xc2\xb5 " + up_to_the_mistake(payload)
    with any_server.connect(PATH) as client:
        client.send_frame(TEXT, start, declared=len(start) + 100)
        client.expect_close(1007)


@pytest.mark.parametrize("payload", ENDINGS)
def test_an_invalid_octet_ends_an_unfinished_message(any_server: ServerProcess, payload: bytes) -> None:
    """Autobahn 6.4.1 and 6.4.2: the last fragment never comes, and the mistake may lie across two fragments."""
    prefix = up_to_the_mistake(payload)
    with any_server.connect(PATH) as client:
        client.send_frame(TEXT, b"good \xc2\xb5 " + prefix[:-1], is_final=False)
        client.send_frame(CONTINUATION, prefix[-1:], is_final=False)
        client.expect_close(1007)


def test_an_invalid_octet_ends_a_frame_that_comes_in_octets(any_server: ServerProcess) -> None:
    frame = build_frame(TEXT, b"good" + bytes.fromhex("f490"), declared=20)
    with any_server.connect(PATH) as client:
        client.send(frame, chop=1)
        client.expect_close(1007)


def test_binary_messages_may_hold_anything(any_server: ServerProcess) -> None:
    with any_server.connect(PATH) as client:
        for payload in (*INVALID.values(), *UNFINISHED.values()):
            client.send_frame(BINARY, payload)
            assert client.read_message().payload == payload
        client.finish()


def test_the_users_protocol_refuses_invalid_text_and_answers_invalid_binary(connect: Callable[..., RawClient]) -> None:
    payload = b'{"eventType":10,"message":"\xff"}'
    client = connect()
    client.send_frame(BINARY, payload)
    assert client.read_event()["code"] == "invalid_json"
    client.send_frame(TEXT, payload)
    assert client.expect_close(1007) is not None
