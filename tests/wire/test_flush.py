"""``websocket.flushMilliseconds``: how long publications wait for company before they are written."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.raw_client import PING, PONG
from tests.server_process import ServerProcess


def counter(server: ServerProcess, name: str) -> float:
    match = re.search(rf"^users_server_{name}_total (\S+)$", server.http().get("/metrics").body, re.MULTILINE)
    assert match is not None, name
    return float(match[1])


def test_a_window_gathers_what_comes_apart(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """A pong between two broadcasts shows that the server has taken the first in a turn of its own."""
    server = launch(tls=is_tls, fresh=True, websocket={"flushMilliseconds": 1000})
    with server.connect() as client:
        for number in range(3):
            client.send_event(eventType=10, message=str(number), broadcast=True)
            client.send_frame(PING, b"taken")
            frame = client.read_frame()
            assert (frame.opcode, frame.payload) == (PONG, b"taken")
        assert [client.read_event()["message"] for _ in range(3)] == ["0", "1", "2"]
    assert counter(server, "deliveries") == 3
    assert counter(server, "delivery_writes") == 1
    assert counter(server, "coalesced_writes") == 2


def test_without_a_window_each_turn_writes_at_once(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, fresh=True)
    with server.connect() as client:
        for number in range(3):
            client.send_event(eventType=10, message=str(number), broadcast=True)
            assert client.read_event()["message"] == str(number)
    assert counter(server, "delivery_writes") == 3


@pytest.mark.parametrize("message", ["own", "answer"])
def test_an_answer_does_not_overtake_ones_own_broadcast(
    launch: Callable[..., ServerProcess], is_tls: bool, message: str
) -> None:
    server = launch(tls=is_tls, websocket={"flushMilliseconds": 1000})
    with server.connect() as client:
        client.send_event(eventType=10, message="broadcast", broadcast=True)
        client.send_event(eventType=10, message=message)
        assert [client.read_event()["message"] for _ in range(2)] == ["broadcast", message]
