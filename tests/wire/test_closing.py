"""RFC 6455, sections 5.5.1 and 7: the closing handshake and its codes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.raw_client import CLOSE, CONTINUATION, PING, TEXT, RawClient, build_close, build_frame
from tests.server_process import ServerProcess
from tests.wire.conformance import PATH

VALID_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999)
"""RFC 6455, 7.4, and the IANA registry, which has added 1012 to 1014."""

INVALID_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)

HELLO = build_frame(TEXT, b"Hello")


@pytest.fixture
def client(connect: Callable[..., RawClient]) -> RawClient:
    return connect(path=PATH)


@pytest.mark.parametrize("chop", [None, 1], ids=["whole", "octets"])
@pytest.mark.parametrize("code", VALID_CODES)
def test_valid_codes_are_answered_with_the_same(client: RawClient, code: int, chop: int | None) -> None:
    client.send(build_close(code, "a reason"), chop=chop)
    client.expect_close(code)


@pytest.mark.parametrize("chop", [None, 1], ids=["whole", "octets"])
@pytest.mark.parametrize("code", INVALID_CODES)
def test_invalid_codes_are_a_protocol_error(client: RawClient, code: int, chop: int | None) -> None:
    client.send(build_close(code, "a reason"), chop=chop)
    client.expect_close(1002)


def test_an_empty_close_is_answered(client: RawClient) -> None:
    client.send(build_close(None))
    assert client.read_close()[0] in (None, 1000)


def test_a_close_of_one_octet_is_a_protocol_error(client: RawClient) -> None:
    client.send_frame(CLOSE, b"\x03")
    client.expect_close(1002)


@pytest.mark.parametrize("size", [0, 1, 122, 123])
def test_reasons_of_any_length(client: RawClient, size: int) -> None:
    client.send(build_close(1000, "*" * size))
    client.expect_close(1000)


@pytest.mark.parametrize("size", [124, 200, 65533])
def test_a_close_frame_over_125_octets_is_a_protocol_error(client: RawClient, size: int) -> None:
    client.send(build_close(1000, "*" * size))
    client.expect_close(1002)


@pytest.mark.parametrize("reason", [b"\xff", b"\xce\xba\xe1\xbd", bytes.fromhex("eda080"), b"ok \xf4\x90\x80\x80"])
def test_a_reason_that_is_not_utf8(client: RawClient, reason: bytes) -> None:
    client.send(build_close(1000, reason))
    client.expect_close(1007)


def test_a_reason_in_other_letters(client: RawClient) -> None:
    client.send(build_close(4999, "κόσμε 👋"))
    client.expect_close(4999)


def test_a_message_before_the_close_is_echoed(client: RawClient) -> None:
    client.send(HELLO + build_close(1000))
    assert client.read_message().payload == b"Hello"
    client.expect_close(1000)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(build_close(1000), id="close"),
        pytest.param(build_close(4000), id="another-close"),
        pytest.param(build_frame(PING, b"late"), id="ping"),
        pytest.param(HELLO, id="text"),
        pytest.param(build_frame(CONTINUATION, b"lost"), id="lost-continuation"),
        pytest.param(build_frame(3), id="bad-opcode"),
        pytest.param(b"\xff" * 5000, id="garbage"),
        pytest.param(HELLO * 5000, id="many-messages"),
    ],
)
def test_nothing_after_the_close_is_answered(client: RawClient, after: bytes) -> None:
    client.send(build_close(1000) + after)
    client.expect_close(1000)


def test_the_rest_of_a_fragmented_message_after_the_close(client: RawClient) -> None:
    client.send(build_frame(TEXT, b"frag", is_final=False) + build_close(1000) + build_frame(CONTINUATION, b"ment"))
    client.expect_close(1000)


def test_a_large_message_before_the_close(client: RawClient) -> None:
    payload = b"BAsd7&jh23" * 6500
    client.send(build_frame(TEXT, payload) + build_close(1000) + build_frame(PING))
    assert client.read_message().payload == payload
    client.expect_close(1000)


def test_a_client_that_never_hangs_up_is_hung_up_on(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"closeTimeoutSeconds": 0.5})
    with server.connect(PATH) as client:
        client.send_frame(3)
        assert client.parse_close(client.read_frame())[0] == 1002
        client.read_end()


def test_a_client_that_leaves_without_a_word_harms_nobody(any_server: ServerProcess) -> None:
    for leaving in (b"", HELLO, HELLO[:3], build_frame(TEXT, b"half", is_final=False)):
        client = any_server.connect(PATH)
        client.send(leaving)
        client.close()
    with any_server.connect() as witness:
        assert witness.ask(eventType=10, message="here") == {"eventType": 10, "message": "here"}


def test_half_a_connection_is_ended(any_server: ServerProcess) -> None:
    with any_server.connect(PATH) as client:
        client.end_input()
        client.drain()


def test_the_users_protocol_closes_the_same_way(connect: Callable[..., RawClient]) -> None:
    client = connect()
    client.send(build_close(4000, "done"))
    client.expect_close(4000)
    client = connect()
    client.send(build_close(1005))
    client.expect_close(1002)
