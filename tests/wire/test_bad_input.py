"""users-socket-api.md, Bad input: every refused message is answered, to its sender alone, and the connection stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.raw_client import TEXT, Gone, RawClient, build_frame
from tests.server_process import API_KEY, ServerProcess

NOTHING = object()


@pytest.fixture
def pair(any_server: ServerProcess) -> Iterator[tuple[RawClient, RawClient]]:
    """A client that errs all the time, and one that must not notice."""
    with any_server.connect() as sender, any_server.connect() as witness:
        yield sender, witness


def refusal(pair: tuple[RawClient, RawClient], text: str | bytes) -> dict[str, Any]:
    """The answer to ``text``; checks its shape, that nobody else heard, and that the sender is served on."""
    sender, witness = pair
    sender.send_text(text)
    answer = sender.read_event()
    assert answer["eventType"] == 11, answer
    assert isinstance(answer["message"], str)
    assert answer["message"]
    assert set(answer) <= {"eventType", "code", "message", "errors", "received"}, answer
    assert sender.ask(eventType=10, message="alive") == {"eventType": 10, "message": "alive"}
    assert witness.ask(eventType=10, message="alive") == {"eventType": 10, "message": "alive"}
    return answer


NO_JSON = {
    "empty": "",
    "space": " ",
    "word": "hello",
    "half": '{"eventType":10',
    "two": '{"eventType":10,"message":"a"}{"eventType":10,"message":"b"}',
    "single-quotes": "{'eventType':10}",
    "trailing-comma": '{"eventType":10,"message":"a",}',
    "comment": '{"eventType":10,"message":"a"}//',
    "nan": '{"eventType":NaN}',
    "infinity": '{"eventType":10,"message":"a","x":Infinity}',
    "lone-surrogate": '{"eventType":10,"message":"\\ud800"}',
    "raw-newline": '{"eventType":10,"message":"a\nb"}',
    "byte-order-mark": '\ufeff{"eventType":10,"message":"a"}',
    "hexadecimal": '{"eventType":0x0A,"message":"a"}',
    "leading-zero": '{"eventType":010,"message":"a"}',
    "deep-arrays": "[" * 60000,
    "deep-objects": '{"a":' * 10000 + "1" + "}" * 10000,
    "undefined": "undefined",
}


@pytest.mark.parametrize("text", NO_JSON.values(), ids=NO_JSON.keys())
def test_what_is_not_json(pair: tuple[RawClient, RawClient], text: str) -> None:
    answer = refusal(pair, text)
    assert answer["code"] == "invalid_json"
    assert "received" not in answer


@pytest.mark.parametrize(
    "text", ["[]", '[{"eventType":10,"message":"a"}]', '"text"', "10", "null", "true", "1.5", "-0"]
)
def test_what_is_not_an_object(pair: tuple[RawClient, RawClient], text: str) -> None:
    answer = refusal(pair, text)
    assert answer["code"] == "not_an_object"
    assert "received" not in answer


@pytest.mark.parametrize(
    "event_type",
    [0, -1, 12, 99, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, True, False, "10", "Echo", "", 10.5, 1e300, NOTHING],
)
def test_numbers_that_are_no_event(pair: tuple[RawClient, RawClient], event_type: Any) -> None:
    event = {"message": "a", "username": "b"}
    if event_type is not NOTHING:
        event["eventType"] = event_type
    answer = refusal(pair, json.dumps(event))
    assert answer["code"] == "unknown_event_type"
    if event_type is NOTHING:
        assert "received" not in answer
    else:
        assert answer["received"] == event_type
        assert type(answer["received"]) is type(event_type)


@pytest.mark.parametrize("event_type", ["null", "[]", "[10]", "{}", '{"eventType":10}', "1" * 40, "-" + "9" * 400])
def test_event_types_that_are_no_number(pair: tuple[RawClient, RawClient], event_type: str) -> None:
    answer = refusal(pair, f'{{"eventType":{event_type},"message":"a"}}')
    assert answer["code"] in ("unknown_event_type", "invalid_json")


def test_a_long_event_type_is_not_sent_back_whole(pair: tuple[RawClient, RawClient]) -> None:
    answer = refusal(pair, json.dumps({"eventType": "x" * 60000}))
    assert len(json.dumps(answer)) < 1000


INVALID = {
    "echo-without-message": ({"eventType": 10}, {"message"}),
    "echo-of-a-number": ({"eventType": 10, "message": 5}, {"message"}),
    "echo-of-null": ({"eventType": 10, "message": None}, {"message"}),
    "echo-of-an-object": ({"eventType": 10, "message": {"a": 1}}, {"message"}),
    "echo-of-a-list": ({"eventType": 10, "message": ["a"]}, {"message"}),
    "broadcast-in-text": ({"eventType": 10, "message": "a", "broadcast": "true"}, {"broadcast"}),
    "broadcast-as-a-number": ({"eventType": 10, "message": "a", "broadcast": 1}, {"broadcast"}),
    "broadcast-null": ({"eventType": 10, "message": "a", "broadcast": None}, {"broadcast"}),
    "both-wrong": ({"eventType": 10, "broadcast": "yes"}, {"message", "broadcast"}),
    "meta-of-a-number": ({"eventType": 9, "username": 5}, {"username"}),
    "meta-of-null": ({"eventType": 9, "username": None}, {"username"}),
    "meta-property-as-a-list": ({"eventType": 9, "property": ["a"]}, {"property"}),
    "meta-both": ({"eventType": 9, "property": 1, "username": {}, "val": 1}, {"property", "username"}),
}


@pytest.mark.parametrize(("event", "fields"), INVALID.values(), ids=INVALID.keys())
def test_invalid_fields_are_named(pair: tuple[RawClient, RawClient], event: dict[str, Any], fields: set[str]) -> None:
    answer = refusal(pair, json.dumps(event))
    assert answer["code"] == "validation_failed"
    assert answer["received"] == event["eventType"]
    assert set(answer["errors"]) == fields
    for messages in answer["errors"].values():
        assert messages
        assert all(isinstance(message, str) for message in messages), "marshmallow's own field-to-messages dictionary"


@pytest.mark.parametrize("event_type", range(1, 9))
def test_events_of_the_server_are_refused(pair: tuple[RawClient, RawClient], event_type: int) -> None:
    event = {"eventType": event_type, "username": "chief", "files": [], "bucket": SMALL_BUCKET}
    answer = refusal(pair, json.dumps(event))
    assert (answer["code"], answer["received"]) == ("not_permitted", event_type)


def test_an_error_event_is_refused(pair: tuple[RawClient, RawClient]) -> None:
    answer = refusal(pair, '{"eventType":11,"code":"x","message":"y"}')
    assert (answer["code"], answer["received"]) == ("not_permitted", 11)


SMALL_BUCKET = {
    "_id": "1",
    "name": "b",
    "identifier": "i",
    "user": "u",
    "created": 1,
    "memoryUsed": 0,
}


def test_everyone_else_hears_nothing_of_it(pair: tuple[RawClient, RawClient]) -> None:
    sender, witness = pair
    for text in ("nonsense", "[]", '{"eventType":1,"username":"forged"}', '{"eventType":10,"broadcast":true}'):
        sender.send_text(text)
        assert sender.read_event()["eventType"] == 11
    assert witness.events_until_echo("mark") == []
    assert sender.read_event()["message"] == "mark"


def test_meta_data_can_be_too_large(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, http={"maxMetaBytes": 1000})
    with server.connect(headers={"users-api-key": API_KEY}) as client:
        answer = client.ask(eventType=9, username="chief", property="note", val="x" * 2000)
        assert "too large" in str(answer).lower(), answer
        assert answer["eventType"] in (9, 11)
        if answer["eventType"] == 11:
            assert answer["code"] == "too_large"
        assert client.ask(eventType=9, username="chief")["val"] == {}


def test_a_client_over_its_rate(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """It is told so, and closed when it keeps on; what it sends too fast is not carried out."""
    server = launch(tls=is_tls, websocket={"messagesPerSecond": 10})
    with server.connect() as client, server.connect() as witness:
        client.send(build_frame(TEXT, b'{"eventType":10,"message":"flood"}') * 500)
        served = refused = 0
        reason = None
        while reason is None:
            frame = client.read_frame()
            if frame.opcode != TEXT:
                code, reason = client.parse_close(frame)
                assert code == 1008
                assert reason
                break
            event = json.loads(frame.payload)
            if event["eventType"] == 10:
                served += 1
            else:
                assert event["code"] == "rate_limited"
                refused += 1
        assert 5 <= served <= 100, f"ten a second: {served} were served"
        assert refused >= 1
        assert witness.ask(eventType=10, message="mine")["message"] == "mine"


def test_a_client_within_its_rate_is_left_alone(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"messagesPerSecond": 10})
    with server.connect() as client:
        for number in range(5):
            assert client.ask(eventType=10, message=str(number))["message"] == str(number)


def test_a_client_that_slows_down_is_served_again(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"messagesPerSecond": 10})
    with server.connect() as client:
        answer = {"eventType": 10}
        sent = 0
        while answer["eventType"] == 10:
            answer = client.ask(eventType=10, message="fast")
            sent += 1
            assert sent < 1000
        assert answer["code"] == "rate_limited"
        while answer["eventType"] == 11:
            try:
                assert client.is_silent(0.25)
                answer = client.ask(eventType=10, message="slow")
            except Gone:
                pytest.fail("the client slowed down and was closed all the same")
        assert answer == {"eventType": 10, "message": "slow"}
