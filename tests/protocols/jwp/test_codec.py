"""The serializers: round trips, binary vectors, and that no bytes whatever get past :class:`ProtocolViolation`."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.protocols.jwp.bench import Frames
from users_server.core.messages import Publication
from users_server.errors import ClientError, MalformedFrame, ProtocolViolation, Unauthenticated
from users_server.protocols.jwp.codec import ClientMessage, Serializer, SerializerV1, SerializerV2
from users_server.protocols.jwp.encoder import JWPEncoder, bytes_of, read_position
from users_server.protocols.jwp.join_request import position_of, read_data, signature_of
from users_server.protocols.jwp.tokens import SocketToken

V1, V2 = SerializerV1(), SerializerV2()
REFS = some.none() | some.text(max_size=60) | some.integers(-(2**53), 2**53)
JSON_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("serializer", [V1, V2])
@given(data=some.binary() | some.text().map(str.encode) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_or_a_violation(serializer: Serializer, data: bytes) -> None:
    for is_text in (True, False):
        try:
            message = serializer.decode(data, is_text)
        except ProtocolViolation:
            continue
        assert isinstance(message.topic, str)
        JWPEncoder(Frames(), serializer).reply(message, "ok", {})


@given(lengths=some.lists(some.integers(0, 255), min_size=4, max_size=4), rest=some.binary(max_size=600))
def test_any_lengths_in_a_binary_frame(lengths: list[int], rest: bytes) -> None:
    data = bytes((0, *lengths)) + rest
    if sum(lengths) > len(rest):
        with pytest.raises(ProtocolViolation):
            V2.decode(data, False)
    else:
        assert V2.decode(data, False).payload == rest[sum(lengths) :]


@given(join_ref=REFS, ref=REFS, topic=some.text(), event=some.text(), payload=JSON_VALUES)
def test_round_trips(join_ref: Any, ref: Any, topic: str, event: str, payload: Any) -> None:
    assert V2.decode(V2.encode(join_ref, ref, topic, event, payload), True) == ClientMessage(
        join_ref, ref, topic, event, payload
    )
    assert V1.decode(V1.encode(join_ref, ref, topic, event, payload), True) == ClientMessage(
        None, ref, topic, event, payload
    )


def test_binary_vectors() -> None:
    pushed = bytes.fromhex("0002020702313031326a77703a613a6265760102")
    assert V2.decode(pushed, False) == ClientMessage("10", "12", "jwp:a:b", "ev", b"\x01\x02")
    assert V2.encode_binary("jwp:a:b", "ev", b"\x01\x02") == bytes.fromhex("0207026a77703a613a6265760102")
    publication = Publication("a", "b", "ev", {"$binary": "AQI="})
    assert JWPEncoder(Frames(), V2).encode(publication) == Frames().binary(
        bytes.fromhex("0207026a77703a613a6265760102")
    )


def test_what_the_server_alone_sends_is_no_push_of_a_client() -> None:
    for hexadecimal in (
        "0102020702313031326a77703a613a626f6b0102",
        "0207026a77703a613a6265760102",
        "",
        "00",
        "00020207",
    ):
        with pytest.raises(ProtocolViolation):
            V2.decode(bytes.fromhex(hexadecimal), False)


def test_fields_of_255_bytes() -> None:
    name = "é" * 127 + "x"
    frame = bytes((0, 255, 255, 255, 255)) + name.encode() * 4
    assert V2.decode(frame, False) == ClientMessage(name, name, name, name, b"")
    assert V2.encode_binary(name, name, b"") == bytes((2, 255, 255)) + name.encode() * 2
    assert V2.encode_binary(name + "x", name, b"") is None
    assert V2.encode_binary(name, name + "x", b"") is None


def test_characters_of_old_clients() -> None:
    assert V2.decode(bytes((0, 0, 0, 1, 1)) + b"\xe9\xe8", False) == ClientMessage(None, None, "é", "è", b"")


@given(payload=JSON_VALUES | some.binary())
def test_any_payload_of_a_join(payload: Any) -> None:
    for read in (lambda: signature_of(payload), lambda: isinstance(payload, dict) and position_of(payload)):
        try:
            read()
        except ClientError:
            continue


@given(data=some.text() | JSON_VALUES.map(json.dumps))
def test_any_data_of_a_join(data: str) -> None:
    try:
        read_data(data)
    except (ClientError, MalformedFrame):
        return


@given(text=some.text())
def test_any_token_and_position(text: str) -> None:
    with suppress(Unauthenticated):
        SocketToken.read(text)
    read_position(text)
    bytes_of({"$binary": text})
