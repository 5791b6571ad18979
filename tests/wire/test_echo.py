"""Event 10, Echo: to the sender, or to every approved connection."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.raw_client import BINARY, CONTINUATION, PING, TEXT, RawClient, build_fragments, build_frame
from tests.server_process import ServerProcess
from tests.wire.people import People

MESSAGES = {
    "plain": "Hello world?",
    "empty": "",
    "spaces": "  \t\r\n ",
    "quotes": 'a "quoted" \\ backslash / slash',
    "controls": "\x00\x01\x1f\x7f",
    "letters": "Größe κόσμε мир 漢字 עברית",
    "emoji": "👩‍👩‍👧",
    "separators": "\u2028\u2029",
    "nonchar": "\uffff\U0010ffff",
    "html": "<script>alert(1)</script>&amp;",
    "json-within": '{"eventType":1,"username":"forged"}',
    "prototype": "__proto__",
    "long": "x" * 65000,
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_the_sender_gets_its_message_back(connect: Callable[..., RawClient], message: str) -> None:
    client = connect()
    client.send_text(json.dumps({"eventType": 10, "message": message}, ensure_ascii=False))
    assert client.read_event() == {"eventType": 10, "message": message}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_broadcast_reaches_everybody_once(connect: Callable[..., RawClient], message: str) -> None:
    clients = [connect(), connect(), connect()]
    clients[0].send_text(json.dumps({"eventType": 10, "broadcast": True, "message": message}, ensure_ascii=False))
    for client in clients:
        assert client.read_event() == {"eventType": 10, "message": message}
        assert client.ask(eventType=10, message="next") == {"eventType": 10, "message": "next"}, "it came once"


def test_without_broadcast_nobody_else_hears(connect: Callable[..., RawClient]) -> None:
    sender, other = connect(), connect()
    assert sender.ask(eventType=10, message="private", broadcast=False)["message"] == "private"
    assert sender.ask(eventType=10, message="private too")["message"] == "private too"
    assert other.events_until_echo("mark") == []


def test_unknown_fields_are_ignored_and_never_echoed(connect: Callable[..., RawClient]) -> None:
    sender, other = connect(), connect()
    extra = {"eventType": 10, "message": "m", "username": "forged", "secret": {"a": [1]}, "broadcast": True, "code": 1}
    sender.send_event(**extra)
    for client in (sender, other):
        assert client.read_event() == {"eventType": 10, "message": "m"}
    extra["broadcast"] = False
    assert sender.ask(**extra) == {"eventType": 10, "message": "m"}


def test_binary_frames_are_accepted_and_answered_in_text(connect: Callable[..., RawClient]) -> None:
    client = connect()
    client.send_frame(BINARY, '{"eventType":10,"message":"двоичный"}'.encode())
    assert client.read_event() == {"eventType": 10, "message": "двоичный"}


@pytest.mark.parametrize(
    "json_text",
    [
        ' { "eventType" : 10 , "message" : "spaced" } \n',
        '{"message":"spaced","eventType":10}',
        '{"eventType":10,"message":"\\u0073paced"}',
        '{"eventType":3,"eventType":10,"message":"first","message":"spaced"}',
    ],
)
def test_json_in_other_clothes(connect: Callable[..., RawClient], json_text: str) -> None:
    client = connect()
    client.send_text(json_text)
    assert client.read_event() == {"eventType": 10, "message": "spaced"}


def test_a_message_in_fragments_with_a_ping_within(connect: Callable[..., RawClient]) -> None:
    client = connect()
    text = '{"eventType":10,"message":"in pieces €"}'.encode()
    client.send(build_fragments(TEXT, [text[:5], text[5:-4], text[-4:]]))
    assert client.read_event()["message"] == "in pieces €"
    client.send_frame(TEXT, text[:20], is_final=False)
    client.send_frame(PING, b"within")
    assert client.read_frame().payload == b"within"
    client.send_frame(CONTINUATION, text[20:])
    assert client.read_event()["message"] == "in pieces €"


def test_a_thousand_in_one_write_are_answered_in_order(connect: Callable[..., RawClient]) -> None:
    client = connect()
    texts = [json.dumps({"eventType": 10, "message": f"number {number}"}) for number in range(1000)]
    client.send(b"".join(build_frame(TEXT, text.encode()) for text in texts))
    for number in range(1000):
        assert client.read_event()["message"] == f"number {number}"


def test_everybody_hears_broadcasts_in_one_order(connect: Callable[..., RawClient]) -> None:
    clients = [connect() for _ in range(4)]
    for number in range(50):
        for index, client in enumerate(clients):
            client.send_event(eventType=10, broadcast=True, message=f"{index}:{number}")
    heard = [[client.read_event()["message"] for _ in range(200)] for client in clients]
    assert all(order == heard[0] for order in heard)
    for index in range(4):
        own = [message for message in heard[0] if message.startswith(f"{index}:")]
        assert own == [f"{index}:{number}" for number in range(50)], "and in the order of its sender"


def test_answers_of_all_kinds_keep_the_order_of_their_questions(people: People) -> None:
    """MetaRequest waits for the store, echo does not, refusals come from elsewhere; none overtakes another."""
    with people().connect() as client:
        questions: list[bytes] = []
        expected: list[tuple[int, object]] = []
        for number in range(50):
            for event, answer in (
                ({"eventType": 9, "property": "count", "val": number}, (9, number)),
                ({"eventType": 10, "message": f"echo {number}"}, (10, f"echo {number}")),
                ({"eventType": 9, "property": "count"}, (9, number)),
                ({"eventType": 10, "message": f"all {number}", "broadcast": True}, (10, f"all {number}")),
                ({"eventType": 99}, (11, "unknown_event_type")),
                ({"eventType": 9, "username": "chief"}, (9, None)),
            ):
                questions.append(build_frame(TEXT, json.dumps(event).encode()))
                expected.append(answer)
        client.send(b"".join(questions))
        for event_type, value in expected:
            answer = client.read_event()
            found = answer.get("val", answer.get("message")) if event_type != 11 else answer["code"]
            assert (answer["eventType"], found) == (event_type, value)


def test_a_broadcast_to_many(any_server: ServerProcess, connect: Callable[..., RawClient]) -> None:
    clients = [connect() for _ in range(100)]
    for number in range(20):
        clients[number].send_event(eventType=10, broadcast=True, message=str(number))
    for client in clients:
        assert sorted(client.read_event()["message"] for _ in range(20)) == sorted(map(str, range(20)))
