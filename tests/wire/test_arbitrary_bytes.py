"""No bytes crash or hang a connection, and none of them reaches another client."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.raw_client import BINARY, CLOSE, PING, TEXT, Gone, RawClient, build_frame
from tests.server_process import ServerProcess
from tests.wire.conformance import PATH
from tests.wire.people import People

BOUNDED = settings(
    max_examples=40,
    deadline=timedelta(seconds=10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)

frames = st.builds(
    build_frame,
    st.integers(0, 15),
    st.binary(max_size=300),
    is_final=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 0, 1, 2, 4, 7]),
    mask=st.sampled_from([b"\x37\xfa\x21\x3d", b"\x00\x00\x00\x00", None]),
    length_bits=st.sampled_from([None, None, 16, 64]),
    declared=st.none(),
)
"""Frames that are a little or very wrong; pure noise seldom gets beyond the first two bytes."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
events = st.fixed_dictionaries(
    {},
    optional={
        "eventType": st.integers(-1, 13) | json_values,
        "message": st.text(max_size=50) | json_values,
        "broadcast": st.just(False) | json_values.filter(lambda value: value is not True),
        "username": st.text(max_size=20) | json_values,
        "property": st.text(max_size=20) | json_values,
        "val": json_values,
        "files": json_values,
        "bucket": json_values,
    },
)


@pytest.fixture(autouse=True)
def _still_serving(any_server: ServerProcess) -> Any:
    """Whatever the test did, a fresh client is served at once."""
    yield
    assert any_server.is_running, any_server.log
    with any_server.connect() as client:
        assert client.ask(eventType=10, message="alive")["message"] == "alive"


@pytest.mark.parametrize("path", ["/", PATH])
@BOUNDED
@given(data=st.binary(max_size=2000))
def test_noise_after_the_handshake(any_server: ServerProcess, path: str, data: bytes) -> None:
    with any_server.connect(path) as client:
        client.send(data)
        client.end_input()
        client.drain()


@pytest.mark.parametrize("path", ["/", PATH])
@BOUNDED
@given(parts=st.lists(frames, max_size=8), chop=st.sampled_from([None, 1, 3]))
def test_wrong_frames(any_server: ServerProcess, path: str, parts: list[bytes], chop: int | None) -> None:
    with any_server.connect(path) as client:
        client.send(b"".join(parts), chop=chop)
        client.end_input()
        client.drain()


@BOUNDED
@given(data=st.binary(max_size=500))
def test_noise_instead_of_a_handshake(any_server: ServerProcess, data: bytes) -> None:
    with any_server.dial() as client:
        client.send(data)
        client.end_input()
        client.drain()


def answer_of(client: RawClient) -> dict[str, Any] | None:
    """The next event; :obj:`None` if the server closed for invalid text."""
    frame = client.read_frame()
    if frame.opcode == CLOSE:
        assert client.parse_close(frame)[0] == 1007
        return None
    event = json.loads(frame.payload)
    assert isinstance(event["eventType"], int)
    return event  # type: ignore[no-any-return]


@BOUNDED
@given(payload=st.binary(max_size=1000), opcode=st.sampled_from([TEXT, BINARY]))
def test_arbitrary_payloads_are_answered(any_server: ServerProcess, payload: bytes, opcode: int) -> None:
    with any_server.connect() as client:
        client.send_frame(opcode, payload)
        event = answer_of(client)
        if event is not None:
            assert event["eventType"] == 11
            assert event["code"] in ("invalid_json", "not_an_object", "unknown_event_type")
            client.finish()


@BOUNDED
@given(event=events)
def test_arbitrary_events_have_exactly_one_answer(any_server: ServerProcess, event: dict[str, Any]) -> None:
    with any_server.connect() as client:
        client.send_text(json.dumps(event))
        answer = answer_of(client)
        assert answer is not None
        assert answer["eventType"] in (9, 10, 11)
        assert answer.get("code") != "internal", any_server.log
        client.send_frame(PING, b"next")
        assert client.read_frame().payload == b"next", "one answer, no more"


@BOUNDED
@given(
    headers=st.dictionaries(
        st.sampled_from(["Origin", "Cookie", "users-api-key", "Authorization"]), st.text(max_size=80)
    )
)
def test_arbitrary_headers(any_server: ServerProcess, headers: dict[str, str]) -> None:
    """Whatever a header holds, the answer is a refusal in HTTP, a close, or service."""
    fields: dict[str, str | None] = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    with any_server.dial() as client:
        try:
            response = client.request(headers=fields)
        except Gone:
            return
        assert response.status in (101, 400)


@BOUNDED
@given(query=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=80))
def test_arbitrary_queries(any_server: ServerProcess, query: str) -> None:
    with any_server.dial() as client:
        try:
            response = client.request(f"/?{query}", headers={"Origin": "http://localhost"})
        except Gone:
            return
        assert response.status in (101, 400, 404)


def test_a_client_that_goes_away_in_the_middle(any_server: ServerProcess, connect: Callable[..., RawClient]) -> None:
    whole = build_frame(TEXT, b'{"eventType":10,"message":"hello","broadcast":false}')
    for length in range(0, len(whole), 5):
        client = any_server.connect()
        client.send(whole[:length])
        client.close()
    assert connect().events_until_echo("mark") == []


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_client_that_goes_away_while_the_store_works_for_it(people: People, is_reset: bool) -> None:
    person = people()
    for _ in range(5):
        with person.connect() as client:
            client.send(build_frame(TEXT, b'{"eventType":9,"property":"p","val":1}') * 20)
            if is_reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
