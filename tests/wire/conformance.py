"""A case of the RFC 6455 tests: bytes to the echo endpoint, and what must come back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.raw_client import BINARY, PONG, TEXT, Frame, RawClient
from tests.server_process import ServerProcess

PATH = "/conformance"
OCTETS_UP_TO = 4096
"""Longer cases are not sent octet by octet; it would take seconds and show nothing new."""


@dataclass(frozen=True)
class Case:
    """
    What to send, and what must come.

    Args:
        expect: Messages and pongs, in order.
        close: The code that the server closes with; :obj:`None` if the connection must still be good at the end.
    """

    id: str
    send: bytes
    expect: tuple[Frame, ...] = ()
    close: int | None = None


def text(payload: str | bytes) -> Frame:
    return Frame(TEXT, payload.encode() if isinstance(payload, str) else payload)


def binary(payload: bytes) -> Frame:
    return Frame(BINARY, payload)


def pong(payload: bytes = b"") -> Frame:
    return Frame(PONG, payload)


def read_reply(client: RawClient, expected: Frame) -> Frame:
    """The next pong or message, whichever is expected; a message may come in fragments."""
    return client.read_frame() if expected.opcode == PONG else client.read_message()


def run(server: ServerProcess, case: Case, *, chop: int | None = None) -> None:
    """Do ``case`` on a new connection."""
    with server.connect(PATH) as client:
        client.send(case.send, chop=chop)
        for expected in case.expect:
            found = read_reply(client, expected)
            assert (found.opcode, found.payload) == (expected.opcode, expected.payload)
        if case.close is None:
            client.finish()
        else:
            client.expect_close(case.close)


def chops(cases: Iterable[Case]) -> list[object]:
    """Each case in one write and, if it is short enough, octet by octet."""
    parameters = []
    for case in cases:
        parameters.append(pytest.param(case, None, id=case.id))
        if len(case.send) <= OCTETS_UP_TO:
            parameters.append(pytest.param(case, 1, id=f"{case.id}-octets"))
        else:
            parameters.append(pytest.param(case, 997, id=f"{case.id}-chopped"))
    return parameters
