"""What one client, or too many, may cost: connections, silence, and answers that nobody reads."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import time
from collections.abc import Callable

import pytest

from tests.raw_client import BINARY, CLOSE, PING, PONG, TEXT, Gone, RawClient, build_frame
from tests.server_process import API_KEY, ORIGIN, ServerProcess
from tests.wire.conformance import PATH

PATIENCE_SECONDS = 20.0


def is_open(client: RawClient) -> bool:
    """Whether the server serves this client; a refusal must be a close with 1013 and a reason."""
    client.send_event(eventType=10, message="in?")
    frame = client.read_frame()
    if frame.opcode == TEXT:
        return True
    code, reason = client.parse_close(frame)
    assert code == 1013
    assert reason
    return False


def connect_when_there_is_room(server: ServerProcess, **options: object) -> RawClient:
    """A slot is free when the server has noticed that its last holder has gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        client = server.connect(**options)  # type: ignore[arg-type]
        if is_open(client):
            return client
        client.close()
    raise AssertionError("no room came free")


def test_a_full_server(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, fresh=True, websocket={"maxConnections": 3})
    clients = [server.connect() for _ in range(3)]
    try:
        assert all(is_open(client) for client in clients)
        with server.connect() as late, server.connect(headers={"users-api-key": API_KEY}) as service:
            assert not is_open(late)
            assert not is_open(service)
        assert server.http().get("/healthz").status == 200
        clients.pop().close()
        clients.append(connect_when_there_is_room(server))
        with server.connect() as late:
            assert not is_open(late)
        assert all(is_open(client) for client in clients), "those who are in stay in"
    finally:
        for client in clients:
            client.close()


def test_a_refused_client_takes_no_room(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """Clients of an evil origin, or that never finish the handshake, do not fill the server."""
    server = launch(tls=is_tls, fresh=True, websocket={"maxConnections": 3})
    held = [server.connect(origin="https://evil.example") for _ in range(3)]
    held += [server.dial() for _ in range(3)]
    try:
        with connect_when_there_is_room(server) as client:
            assert is_open(client)
    finally:
        for refused in held:
            refused.close()


def test_an_address_has_its_share(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError:
        pytest.skip("this machine has one loopback address only")
    server = launch(tls=is_tls, fresh=True, websocket={"maxConnectionsPerAddress": 2})
    with server.connect() as first, server.connect() as second:
        assert is_open(first)
        assert is_open(second)
        with server.connect() as third:
            assert not is_open(third)
        with server.connect(source="127.0.0.2") as neighbour:
            assert is_open(neighbour)
        first.close()
        with connect_when_there_is_room(server) as again:
            assert is_open(again)


@pytest.fixture(scope="module")
def pinging(launch: Callable[..., ServerProcess], is_tls: bool) -> ServerProcess:
    return launch(tls=is_tls, websocket={"pingIntervalSeconds": 0.2, "pingTimeoutSeconds": 0.6})


def test_a_client_that_answers_pings_stays(pinging: ServerProcess) -> None:
    with pinging.connect() as client:
        for _ in range(3):
            frame = client.read_frame()
            assert frame.opcode == PING
            client.send_frame(PONG, frame.payload)
        assert client.ask(eventType=10, message="alive")["message"] == "alive"


def test_a_client_that_does_not_answer_is_closed(pinging: ServerProcess) -> None:
    with pinging.connect() as client:
        begun = time.monotonic()
        frames = []
        try:
            while True:
                frames.append(client.read_frame())
        except Gone:
            pass
        assert time.monotonic() - begun < 5
        opcodes = [frame.opcode for frame in frames]
        assert opcodes.count(PING) >= 1
        assert set(opcodes[:-1]) == {PING}
        if opcodes[-1] == CLOSE:
            code, reason = client.parse_close(frames[-1])
            assert code in (1001, 1002, 1008, 1011, 4408)
            assert reason


def test_a_refused_client_that_never_answers_is_dropped(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"closeTimeoutSeconds": 0.5})
    with server.connect(origin=None) as client:
        assert client.parse_close(client.read_frame())[0] == 1008
        client.read_end()


BIG = "x" * 60_000


@pytest.fixture(scope="module")
def narrow(launch: Callable[..., ServerProcess], is_tls: bool) -> ServerProcess:
    """Each connection may have a quarter of a megabyte waiting, and much time to read why it was closed."""
    return launch(tls=is_tls, websocket={"sendQueueBytes": 262_144, "closeTimeoutSeconds": 60})


def test_a_slow_reader_is_closed_and_others_lose_nothing(narrow: ServerProcess) -> None:
    """The kernel's buffers hold some megabytes before the server's own queue grows."""
    count = 200
    with (
        narrow.connect() as sender,
        narrow.connect() as listener,
        narrow.connect(receive_buffer=8192) as slow,
    ):
        for number in range(count):
            sender.send_event(eventType=10, broadcast=True, message=f"{number:06}{BIG}")
            for client in (sender, listener):
                assert client.read_event()["message"][:6] == f"{number:06}"
        received = 0
        code = None
        while code is None:
            frame = slow.read_frame()
            if frame.opcode == CLOSE:
                code, reason = slow.parse_close(frame)
                assert reason
            else:
                assert json.loads(frame.payload)["message"][:6] == f"{received:06}", "what came is in order and whole"
                received += 1
        assert code == 1013
        assert received < count
        assert sender.ask(eventType=10, message="served on")["message"] == "served on"


def test_a_slow_reader_that_never_reads_is_dropped(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """It does not take the close frame either; the server lets go of it after closeTimeoutSeconds."""
    settings = {"sendQueueBytes": 262_144, "closeTimeoutSeconds": 0.5, "maxConnections": 2}
    server = launch(tls=is_tls, fresh=True, websocket=settings)
    with server.connect() as sender, server.connect(receive_buffer=8192):
        for number in range(200):
            sender.send_event(eventType=10, broadcast=True, message=f"{number:06}{BIG}")
            assert sender.read_event()["message"][:6] == f"{number:06}"
        with connect_when_there_is_room(server) as successor:
            assert is_open(successor)


def send_until_it_blocks(client: RawClient, block: bytes, most: int) -> int:
    """Send ``block`` again and again until the socket has taken no byte for a second; how many went out whole."""
    sent, offset = 0, 0
    client.socket.settimeout(0)
    while sent < most and select.select([], [client.socket], [], 1.0)[1]:
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
            offset += client.socket.send(block[offset:])
        if offset == len(block):
            sent, offset = sent + 1, 0
    return sent


QUESTIONS = {
    "echo": ("/", build_frame(TEXT, json.dumps({"eventType": 10, "message": BIG}).encode()), 1),
    "raw-echo": (PATH, build_frame(BINARY, BIG.encode()), 1),
    "refusals": ("/", build_frame(TEXT, b'{"eventType":' + b" " * 300 + b"99}") * 200, 200),
    "pings": ("/", build_frame(PING, b"p" * 125) * 500, 500),
}
"""Path, a block of questions, and how many answers a block has."""


@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_client_that_does_not_read_its_answers_is_not_read_either(narrow: ServerProcess, kind: str) -> None:
    """Its questions wait in its own kernel; not one answer is lost once it reads."""
    path, block, answers = QUESTIONS[kind]
    with narrow.connect(path, receive_buffer=8192) as client, narrow.connect() as other:
        sent = send_until_it_blocks(client, block, 1000)
        assert sent < 1000, "the server took sixty megabytes of a client that reads nothing"
        assert other.ask(eventType=10, message="served")["message"] == "served"
        for _ in range(sent * answers):
            assert client.read_frame().opcode in (TEXT, BINARY, PONG)


@pytest.mark.parametrize("opcode", [TEXT, PING], ids=["refusals", "pings"])
def test_a_burst_of_small_questions_of_a_client_that_reads(narrow: ServerProcess, opcode: int) -> None:
    """The answers to what one read of the server brings may be more than its queue holds, many times over."""
    count, offset = 40_000, 0
    burst = build_frame(opcode) * count
    with narrow.connect() as client:
        for _ in range(count):
            client.socket.settimeout(0)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                while offset < len(burst):
                    offset += client.socket.send(burst[offset : offset + 65536])
            assert client.read_frame().opcode in (TEXT, PONG)


def test_a_rush_to_the_last_places(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """However many shake hands at the same moment, no more get in than there is room for."""
    server = launch(tls=is_tls, fresh=True, websocket={"maxConnections": 7})
    clients = [server.dial() for _ in range(30)]
    try:
        for client in clients:
            client.send_request(headers={"Origin": ORIGIN})
        for client in clients:
            assert client.read_response().status == 101
        assert sum(is_open(client) for client in clients) == 7
    finally:
        for client in clients:
            client.close()


def test_silent_clients_cannot_hold_the_door(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """More of them than may shake hands at a time; the connected notice nothing, and newcomers wait a little."""
    settings = {"maxHandshakes": 4, "handshakeTimeoutSeconds": 0.5}
    server = launch(tls=is_tls, fresh=True, websocket=settings)
    with contextlib.ExitStack() as stack:
        early = stack.enter_context(server.connect())
        address = ("127.0.0.1", server.websocket_port)
        for _ in range(12):
            stack.enter_context(socket.create_connection(address, timeout=10))
        assert early.ask(eventType=10, message="served")["message"] == "served"
        late = stack.enter_context(server.connect())
        assert is_open(late)


def test_many_connections_at_once(any_server: ServerProcess) -> None:
    """All are begun before one is answered; all are served."""
    clients = [any_server.dial() for _ in range(150)]
    try:
        for client in clients:
            client.handshake(headers={"Origin": "http://localhost"})
        for number, client in enumerate(clients):
            client.send_event(eventType=10, message=str(number))
        for number, client in enumerate(clients):
            assert client.read_event()["message"] == str(number)
    finally:
        for client in clients:
            client.close()
