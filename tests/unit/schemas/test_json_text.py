"""JSON in and out: whatever comes in is refused by name or can be written back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_server.errors import MalformedFrame, NotAnObject
from users_server.schemas.json_text import decode_object, encode


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_named_refusal(text: bytes) -> None:
    try:
        value = decode_object(text)
    except MalformedFrame:
        return
    assert encode({"again": value})


@pytest.mark.parametrize("depth", [1, 190, 249, 250, 251, 260, 1000, 5000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused_or_can_be_written_back(depth: int, brackets: str) -> None:
    opening, closing = brackets
    inner = opening * depth + closing * depth if brackets == "[]" else '{"a":' * depth + "1" + "}" * depth
    text = f'{{"val":{inner}}}'.encode()
    try:
        value = decode_object(text)
    except NotAnObject:
        raise
    except MalformedFrame:
        assert depth > 200
        return
    assert json.loads(encode({"eventType": 9, "val": value["val"]}))


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"x"', b"true"])
def test_json_that_is_no_object(text: bytes) -> None:
    with pytest.raises(NotAnObject):
        decode_object(text)


@pytest.mark.parametrize("text", [b"", b"{", b"{'a':1}", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"{}x"])
def test_what_is_no_json(text: bytes) -> None:
    with pytest.raises(MalformedFrame) as caught:
        decode_object(text)
    assert caught.value.reason == "invalid_json"
