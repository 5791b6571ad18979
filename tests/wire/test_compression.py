"""permessage-deflate (RFC 7692): off by default, negotiated when on, and bounded."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from tests.raw_client import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    Frame,
    RawClient,
    build_frame,
)
from tests.server_process import ORIGIN, ServerProcess
from tests.wire.conformance import PATH

RSV1 = 4
TAIL = b"\x00\x00\xff\xff"
OFFER = "permessage-deflate"
LONG = "compressible " * 400


def deflate(payload: bytes, *, level: int = 6, window_bits: int = 15) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflate(frame: Frame, window_bits: int = 15) -> bytes:
    """The message in ``frame``, each being compressed by itself."""
    if not frame.reserved:
        return frame.payload
    return zlib.decompressobj(-window_bits).decompress(frame.payload + TAIL)


@pytest.fixture(scope="module")
def compressing(launch: Callable[..., ServerProcess], is_tls: bool) -> ServerProcess:
    return launch(tls=is_tls, websocket={"compression": True})


@pytest.fixture
def offered(connect: Callable[..., RawClient], compressing: ServerProcess) -> Callable[..., RawClient]:
    def opened(path: str = PATH, offer: str = OFFER) -> RawClient:
        client = connect(server=compressing, path=path, headers={"Sec-WebSocket-Extensions": offer})
        assert client.has_compression
        return client

    return opened


def answer_to(server: ServerProcess, offer: str) -> dict[str, str | None] | None:
    """The parameters that the server agrees to; :obj:`None` if it declines the extension."""
    with server.dial() as client:
        response = client.handshake(headers={"Origin": ORIGIN, "Sec-WebSocket-Extensions": offer})
        value = response.headers.get("sec-websocket-extensions")
    if value is None:
        return None
    assert "," not in value, f"more than one extension: {value}"
    name, *parameters = [part.strip() for part in value.split(";")]
    assert name == "permessage-deflate"
    pairs = [parameter.partition("=") for parameter in parameters]
    assert len({pair[0] for pair in pairs}) == len(pairs), value
    return {key: content.strip('"') if equals else None for key, equals, content in pairs}


def test_nothing_is_negotiated_by_default(any_server: ServerProcess) -> None:
    assert answer_to(any_server, OFFER) is None


def test_nothing_is_negotiated_unasked(compressing: ServerProcess) -> None:
    with compressing.connect() as client:
        assert not client.has_compression
        client.send_event(eventType=10, message=LONG)
        assert client.read_message().reserved == 0


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
        'permessage-deflate; client_max_window_bits="12"',
        "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        "permessage-deflate; unknown, permessage-deflate",
    ],
)
def test_offers_that_are_taken(compressing: ServerProcess, offer: str) -> None:
    answer = answer_to(compressing, offer)
    assert answer is not None
    assert set(answer) <= {
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    }
    assert "server_no_context_takeover" in answer, "one compressed frame goes to every client"
    if "client_max_window_bits" not in offer:
        assert "client_max_window_bits" not in answer, "7.1.2.2: not unless the client has said that it can"


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=nine",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-bzip2",
        "deflate",
    ],
)
def test_offers_that_are_declined(compressing: ServerProcess, offer: str) -> None:
    assert answer_to(compressing, offer) is None


@pytest.mark.parametrize("bits", range(8, 16))
def test_a_smaller_window_is_kept_to_or_declined(compressing: ServerProcess, bits: int) -> None:
    offer = f"permessage-deflate; server_max_window_bits={bits}"
    answer = answer_to(compressing, offer)
    if answer is None:
        return
    agreed = int(answer.get("server_max_window_bits") or 15)
    assert agreed <= bits
    payload = b"".join(b"%08d" % number for number in range(3000))
    with compressing.connect(PATH, headers={"Sec-WebSocket-Extensions": offer}) as client:
        client.send_frame(BINARY, payload)
        assert inflate(client.read_message(), agreed) == payload


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("size", [0, 1, 16, 64, 125, 126, 1000, 4096, 65536])
def test_messages_are_echoed(offered: Callable[..., RawClient], size: int, level: int) -> None:
    payload = (b"\x01\x02\x03 text " * 7000)[:size]
    client = offered()
    for opcode in (TEXT, BINARY):
        client.send_frame(opcode, deflate(payload, level=level), reserved=RSV1)
        message = client.read_message()
        assert message.opcode == opcode
        assert inflate(message) == payload
    client.finish()


def test_long_answers_are_compressed(offered: Callable[..., RawClient]) -> None:
    client = offered("/")
    client.send_event(eventType=10, message=LONG)
    message = client.read_message()
    assert message.reserved == RSV1
    assert len(message.payload) < len(LONG) / 4


def test_a_client_may_mix_both_forms(offered: Callable[..., RawClient]) -> None:
    client = offered()
    for number in range(20):
        payload = b"message %d" % number
        compressed = number % 2 == 0
        client.send_frame(TEXT, deflate(payload) if compressed else payload, reserved=RSV1 if compressed else 0)
        assert inflate(client.read_message()) == payload
    client.finish()


def test_a_client_may_keep_its_context_unless_told_otherwise(compressing: ServerProcess) -> None:
    """Without client_no_context_takeover in the answer the client's window slides over its messages."""
    with compressing.dial() as client:
        response = client.handshake(PATH, headers={"Origin": ORIGIN, "Sec-WebSocket-Extensions": OFFER})
        keeps = "client_no_context_takeover" not in response.headers["sec-websocket-extensions"]
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        for _ in range(5):
            if not keeps:
                compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
            data = compressor.compress(LONG.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
            client.send_frame(TEXT, data.removesuffix(TAIL), reserved=RSV1)
            assert inflate(client.read_message()) == LONG.encode()


@pytest.mark.parametrize(
    "ending", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH], ids=["sync", "full", "finish"]
)
def test_blocks_may_end_in_any_way(offered: Callable[..., RawClient], ending: int) -> None:
    """RFC 7692, 7.2.3: flushes, several blocks, and a final block followed by an empty one."""
    client = offered()
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = compressor.compress(b"first half, ") + compressor.flush(zlib.Z_FULL_FLUSH)
    data += compressor.compress(b"second half") + compressor.flush(ending)
    data = data + b"\x00" if ending == zlib.Z_FINISH else data.removesuffix(TAIL)
    client.send_frame(TEXT, data, reserved=RSV1)
    assert inflate(client.read_message()) == b"first half, second half"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_fragments_of_a_compressed_message(offered: Callable[..., RawClient], size: int) -> None:
    payload = bytes(range(256)) * 10
    data = deflate(payload)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    frames = build_frame(BINARY, parts[0], is_final=False, reserved=RSV1)
    frames += build_frame(PING, b"between")
    frames += b"".join(build_frame(CONTINUATION, part, is_final=False) for part in parts[1:])
    client = offered()
    client.send(frames + build_frame(CONTINUATION))
    assert client.read_frame().payload == b"between"
    assert inflate(client.read_message()) == payload


def test_a_broadcast_reaches_clients_of_both_kinds(compressing: ServerProcess) -> None:
    extension = {"Sec-WebSocket-Extensions": OFFER}
    with (
        compressing.connect(headers=extension) as sender,
        compressing.connect(headers=extension) as listener,
        compressing.connect() as plain,
    ):
        sender.send_frame(
            TEXT, deflate(b'{"eventType":10,"broadcast":true,"message":"%s"}' % LONG.encode()), reserved=RSV1
        )
        frames = [client.read_message() for client in (sender, listener, plain)]
        assert [frame.reserved for frame in frames] == [RSV1, RSV1, 0]
        assert len({inflate(frame) for frame in frames}) == 1
        assert frames[0].payload == frames[1].payload


@pytest.mark.parametrize("size", [65_537, 10_000_000, 200_000_000])
def test_a_bomb_is_refused(offered: Callable[..., RawClient], size: int) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(compressor.compress(bytes(min(1_000_000, size - at))) for at in range(0, size, 1_000_000))
    data += compressor.flush(zlib.Z_SYNC_FLUSH)
    client = offered()
    client.send_frame(BINARY, data.removesuffix(TAIL), reserved=RSV1)
    client.expect_close(1009)


def test_a_message_of_exactly_the_limit_is_no_bomb(offered: Callable[..., RawClient]) -> None:
    client = offered()
    client.send_frame(BINARY, deflate(bytes(65536)), reserved=RSV1)
    assert inflate(client.read_message()) == bytes(65536)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(build_frame(PING, b"x", reserved=RSV1), id="ping"),
        pytest.param(build_frame(8, b"\x03\xe8", reserved=RSV1), id="close"),
        pytest.param(
            build_frame(TEXT, b"", is_final=False, reserved=RSV1) + build_frame(CONTINUATION, b"", reserved=RSV1),
            id="continuation",
        ),
        pytest.param(build_frame(TEXT, deflate(b"x"), reserved=RSV1 | 2), id="rsv2"),
        pytest.param(build_frame(TEXT, deflate(b"x"), reserved=RSV1 | 1), id="rsv3"),
    ],
)
def test_reserved_bits_where_they_do_not_belong(offered: Callable[..., RawClient], frames: bytes) -> None:
    client = offered()
    client.send(frames)
    client.expect_close(1002)


def test_a_compressed_frame_that_was_not_negotiated(compressing: ServerProcess, any_server: ServerProcess) -> None:
    for server in (compressing, any_server):
        with server.connect(PATH) as client:
            client.send_frame(TEXT, deflate(b"x"), reserved=RSV1)
            client.expect_close(1002)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 20, b"\x06", b"\x07", deflate(b"x" * 50) + b"\xff" * 9, b"\x00\x05\x00\x05\x00hello"],
    ids=bytes.hex,
)
def test_data_that_is_not_deflate(offered: Callable[..., RawClient], data: bytes) -> None:
    client = offered()
    client.send_frame(BINARY, data, reserved=RSV1)
    assert client.read_close()[0] in (1002, 1007)


def test_compressed_text_must_be_utf8(offered: Callable[..., RawClient]) -> None:
    client = offered()
    client.send_frame(TEXT, deflate(b"\xce\xba\xe1\xbd"), reserved=RSV1)
    client.expect_close(1007)
