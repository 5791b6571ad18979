"""SIGTERM: no new clients, 1001 to all, what was accepted is finished, and an exit in time."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.raw_client import TEXT, RawClient, build_frame
from tests.server_process import ServerProcess

SHUTDOWN_SECONDS = 2.0


@pytest.fixture
def ending(launch: Callable[..., ServerProcess], is_tls: bool) -> ServerProcess:
    return launch(tls=is_tls, fresh=True, shutdownSeconds=SHUTDOWN_SECONDS)


def assert_good_end(server: ServerProcess, begun: float) -> None:
    assert server.wait() == 0, server.log
    assert time.monotonic() - begun < SHUTDOWN_SECONDS + 3
    server.check_log()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_all_clients_are_told(ending: ServerProcess, signal_number: signal.Signals) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(ending.connect()) for _ in range(20)]
        clients[0].send_event(eventType=10, message="last", broadcast=True)
        for client in clients:
            assert client.read_event()["message"] == "last"
        begun = time.monotonic()
        ending.send_signal(signal_number)
        for client in clients:
            assert client.expect_close(1001)
        assert_good_end(ending, begun)
        assert time.monotonic() - begun < SHUTDOWN_SECONDS, "all answered, so there was nothing to wait for"


def test_without_clients(ending: ServerProcess) -> None:
    begun = time.monotonic()
    ending.terminate()
    assert_good_end(ending, begun)
    assert time.monotonic() - begun < SHUTDOWN_SECONDS


def test_clients_that_do_not_answer_do_not_hold_it(ending: ServerProcess) -> None:
    """One never answers the close, one is in its handshake, one does not read, and one is half a message in."""
    with (
        ending.connect() as mute,
        ending.dial() as early,
        ending.connect(receive_buffer=8192) as stalled,
        ending.connect() as half,
    ):
        half.send_frame(TEXT, b"{", declared=1000)
        stalled.send(build_frame(TEXT, json.dumps({"eventType": 10, "message": "x" * 60000}).encode()) * 20)
        assert mute.ask(eventType=10, message="hi")["message"] == "hi"
        begun = time.monotonic()
        ending.terminate()
        assert mute.parse_close(mute.read_frame())[0] == 1001
        assert_good_end(ending, begun)
        early.close()


def test_nobody_new_is_let_in(ending: ServerProcess) -> None:
    with ending.connect() as mute:
        ending.terminate()
        assert mute.parse_close(mute.read_frame())[0] == 1001
        with pytest.raises((ConnectionError, AssertionError, OSError)):
            ending.connect()
    assert ending.wait() == 0


def test_what_was_accepted_is_answered(ending: ServerProcess) -> None:
    """Questions that were sent well before the signal have their answers before the close."""
    with ending.connect() as client:
        question = build_frame(TEXT, b'{"eventType":10,"message":"q"}')
        client.send(question * 500)
        assert client.read_event()["message"] == "q"
        ending.terminate()
        answers = 1
        while (frame := client.read_frame()).opcode == TEXT:
            answers += 1
        assert client.parse_close(frame)[0] == 1001
        assert answers == 500
    assert ending.wait() == 0


def test_a_request_under_way_is_finished(ending: ServerProcess) -> None:
    """An account whose password is being hashed when the signal comes is acknowledged, and kept."""
    admin = ending.admin()
    body = json.dumps({"username": "Last", "email": "last@example.com", "password": "a password"}).encode()
    head = f"POST /users HTTP/1.1\r\nHost: localhost\r\nCookie: SID={admin.cookie}\r\nContent-Length: {len(body)}\r\n"
    with RawClient(("localhost", ending.http_port), tls=ending.tls) as request:
        request.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        assert ending.http().get("/healthz").status == 200, "what came before this was read, too"
        ending.terminate()
        assert request.read_response().status in (200, 201)
    assert ending.wait() == 0
    ending.start()
    assert ending.http().login("Last", "a password").body["authenticated"] is True


def test_it_starts_again_on_the_same_data(ending: ServerProcess) -> None:
    admin = ending.admin()
    admin.create("Kept")
    with ending.connect(cookie=admin.cookie) as client:
        assert client.ask(eventType=9, username="Kept", property="a", val=1)["val"] == 1
    ending.terminate()
    assert ending.wait() == 0
    ending.start()
    with ending.connect(cookie=admin.cookie) as client:
        assert client.ask(eventType=9, username="Kept", property="a")["val"] == 1, "the login lives on, too"
