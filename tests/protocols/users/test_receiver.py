"""The Users Socket API without a socket: messages in, frames out, over the real node and the real user service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.protocols.users.bench import ADMIN, Bench, Client
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import (
    BackendError,
    ClientError,
    Disconnect,
    PermissionDenied,
    Shutdown,
    UsersServerError,
)
from users_server.protocols.users.emitter import EventEmitter
from users_server.protocols.users.errors import CLOSE_CODES, ERROR_CODES
from users_server.protocols.users.events import BY_TYPE

TRUSTED = Identity(is_trusted=True)
FILE = {
    "_id": "f1",
    "name": "a.txt",
    "user": "ann",
    "identifier": "x1",
    "bucketId": "b1",
    "bucketName": "ann-bucket",
    "publicURL": None,
    "created": 1,
    "size": 2,
    "mimeType": "text/plain",
    "isPublic": True,
    "numDownloads": 0,
}


@pytest.mark.gen_test
async def test_echo_answers_the_sender_alone(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        sender, other = Client(bench, ANONYMOUS), Client(bench, ANONYMOUS)
        answer = await sender.say({"eventType": 10, "message": "hello", "broadcast": False, "more": 1})
        assert answer == [{"eventType": 10, "message": "hello"}]
        assert other.sent == []


@pytest.mark.gen_test
async def test_a_broadcast_echo_reaches_everybody_once(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        sender, other = Client(bench, ANONYMOUS), Client(bench, ANONYMOUS)
        await sender.say({"eventType": 10, "message": "hello", "broadcast": True})
        assert sender.sent == other.sent == [{"eventType": 10, "message": "hello"}]


@pytest.mark.parametrize(
    ("message", "code", "received"),
    [
        (b"{", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b"[]", "not_an_object", None),
        ({}, "unknown_event_type", None),
        ({"eventType": 0}, "unknown_event_type", 0),
        ({"eventType": 99}, "unknown_event_type", 99),
        ({"eventType": "10", "message": "x"}, "unknown_event_type", "10"),
        ({"eventType": 10.0, "message": "x"}, "unknown_event_type", 10.0),
        ({"eventType": True}, "unknown_event_type", True),
        ({"eventType": [1]}, "unknown_event_type", None),
        ({"eventType": 10}, "validation_failed", 10),
        ({"eventType": 10, "message": 5}, "validation_failed", 10),
        ({"eventType": 10, "message": "x", "broadcast": "yes"}, "validation_failed", 10),
        ({"eventType": 1, "username": "ann"}, "not_permitted", 1),
        ({"eventType": 11, "code": "x", "message": "y"}, "not_permitted", 11),
    ],
)
@pytest.mark.gen_test
async def test_bad_input_is_answered_to_its_sender(tmp_path: Path, message: Any, code: str, received: Any) -> None:
    async with Bench(tmp_path) as bench:
        client, other = Client(bench, ANONYMOUS), Client(bench, ANONYMOUS)
        (answer,) = await client.say(message)
        assert (answer["eventType"], answer["code"], answer.get("received")) == (11, code, received)
        assert answer["message"]
        assert ("errors" in answer) is (code == "validation_failed")
        assert other.sent == []
        assert client.closed is None
        assert await client.say({"eventType": 10, "message": "still here"})


@pytest.mark.gen_test
async def test_validation_errors_are_marshmallows_own(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        (answer,) = await Client(bench, ANONYMOUS).say({"eventType": 10, "message": 5})
        assert answer["errors"] == {"message": ["Not a valid string."]}


@pytest.mark.gen_test
async def test_a_trusted_connection_emits_events_1_to_8(tmp_path: Path) -> None:
    bucket = {"_id": "b1", "name": "n", "identifier": "i", "user": "ann", "created": 1, "memoryUsed": 0}
    fields_of = {
        **{event_type: {"username": "ann"} for event_type in (1, 2, 3, 4)},
        5: {"username": "ann", "files": [FILE]},
        6: {"files": [FILE]},
        7: {"username": "ann", "bucket": bucket},
        8: {"bucket": bucket},
    }
    async with Bench(tmp_path) as bench:
        service, listener = Client(bench, TRUSTED), Client(bench, ANONYMOUS)
        for event_type, fields in fields_of.items():
            listener.sent.clear()
            await service.say({"eventType": event_type, **fields, "unknown": 1})
            assert listener.sent == service.sent == [{"eventType": event_type, **fields}]


@pytest.mark.gen_test
async def test_the_emitter_of_http_follows_the_same_rules(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        listener, emitter = Client(bench, ANONYMOUS), EventEmitter(bench.node)
        await emitter.emit(TRUSTED, {"eventType": 4, "username": "ann"})
        bench.tick()
        assert listener.sent == [{"eventType": 4, "username": "ann"}]
        with pytest.raises(PermissionDenied):
            await emitter.emit(ADMIN, {"eventType": 4, "username": "ann"})
        with pytest.raises(PermissionDenied):
            await emitter.emit(TRUSTED, {"eventType": 10, "message": "x"})
        with pytest.raises(ClientError):
            await emitter.emit(TRUSTED, {"eventType": 4})


@pytest.mark.parametrize(
    ("audience", "hearers"),
    [
        ("all", "anonymous regular admin trusted"),
        ("authenticated", "regular admin trusted"),
        ("admins", "admin trusted"),
    ],
)
@pytest.mark.gen_test
async def test_who_hears_user_events(tmp_path: Path, audience: str, hearers: str) -> None:
    async with Bench(tmp_path, audience=audience) as bench:
        clients = {
            "anonymous": Client(bench, ANONYMOUS),
            "regular": Client(bench, Identity(user_id="1" * 24, username="ann")),
            "admin": Client(bench, ADMIN),
            "trusted": Client(bench, TRUSTED),
        }
        await EventEmitter(bench.node).emit(TRUSTED, {"eventType": 1, "username": "ann"})
        bench.tick()
        assert {name for name, client in clients.items() if client.sent} == set(hearers.split())
        for client in clients.values():
            assert await client.say({"eventType": 10, "message": "x", "broadcast": True})


@pytest.mark.gen_test
async def test_meta_of_oneself(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = Client(bench, await bench.account("ann"))
        said = [
            ({"property": "colour", "val": "red"}, {"property": "colour", "val": "red"}),
            ({"property": "colour"}, {"property": "colour", "val": "red"}),
            ({"username": "ANN"}, {"username": "ANN", "val": {"colour": "red"}}),
            ({"val": {"a.b": 1, "$c": None}}, {"val": {"a.b": 1, "$c": None}}),
            ({}, {"val": {"a.b": 1, "$c": None}}),
        ]
        for request, answer in said:
            assert await client.say({"eventType": 9, **request}) == [{"eventType": 9, **answer}]


@pytest.mark.gen_test
async def test_meta_of_others(tmp_path: Path) -> None:
    refused = {"error": "You do not have permission to make this request"}
    async with Bench(tmp_path) as bench:
        await bench.account("ann")
        bob = await bench.account("bob")
        for identity in (bob, ANONYMOUS):
            client = Client(bench, identity)
            for request in (
                {"username": "ann"},
                {"username": "ann", "val": {}},
                {"username": "nobody", "property": "x"},
            ):
                (answer,) = await client.say({"eventType": 9, **request})
                assert answer["error"] == refused["error"]
                assert "val" not in answer
        assert await Client(bench, ANONYMOUS).say({"eventType": 9}) == [{"eventType": 9, **refused}]
        for identity in (ADMIN, TRUSTED):
            client = Client(bench, identity)
            assert await client.say({"eventType": 9, "username": "ann", "property": "x", "val": [1]}) == [
                {"eventType": 9, "username": "ann", "property": "x", "val": [1]}
            ]


@pytest.mark.gen_test
async def test_meta_that_cannot_be_kept_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = Client(bench, await bench.account("ann"))
        for value in ("x" * 2000,):
            (answer,) = await client.say({"eventType": 9, "property": "big", "val": value})
            assert answer["error"]
        assert await client.say({"eventType": 9}) == [{"eventType": 9, "val": {}}]


@pytest.mark.gen_test
async def test_a_database_that_is_away_is_said_to_the_sender(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = Client(bench, await bench.account("ann"))
        await bench.store.close()
        (answer,) = await client.say({"eventType": 9})
        assert answer["eventType"] == 9
        assert answer["error"]
        assert client.closed is None


@pytest.mark.gen_test
async def test_a_broker_that_is_away_is_said_to_the_sender(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = Client(bench, ANONYMOUS)
        await bench.node.stop()
        (answer,) = await client.say({"eventType": 10, "message": "x", "broadcast": True})
        assert (answer["eventType"], answer["code"]) == (11, "unavailable")


@pytest.mark.gen_test
async def test_over_the_rate_the_client_is_told_and_then_closed(tmp_path: Path) -> None:
    async with Bench(tmp_path, messages_per_second=5.0) as bench:
        client = Client(bench, ANONYMOUS)
        answers = [(await client.say({"eventType": 10, "message": "x"}))[:1] for _ in range(10)]
        codes = [answer[0].get("code") for answer in answers]
        assert codes[:5] == [None] * 5
        assert set(codes[5:]) == {"rate_limited"}
        for _ in range(30):
            await client.say({"eventType": 10, "message": "x"})
        assert client.closed is not None
        assert client.closed[0] == 1008


@pytest.mark.gen_test
async def test_a_closed_client_hears_nothing_more(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client, other = Client(bench, ANONYMOUS), Client(bench, ANONYMOUS)
        client.receiver.disconnect(Shutdown())
        client.receiver.lost()
        await other.say({"eventType": 10, "message": "x", "broadcast": True})
        assert client.closed == (1001, "The server is shutting down")
        assert client.sent == []


@pytest.mark.gen_test
async def test_messages_are_counted_by_event_and_result(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = Client(bench, ANONYMOUS)
        await client.say({"eventType": 10, "message": "x"})
        await client.say({"eventType": 10})
        await client.say(b"{")
        assert bench.node.statistics.messages == {
            ("Echo", "ok"): 1,
            ("Echo", "validation_failed"): 1,
            ("unknown", "invalid_json"): 1,
        }


def subclasses(base: type[UsersServerError]) -> set[type[UsersServerError]]:
    """The errors of the tree; other layers may have some of their own, which do not come here."""
    own = [child for child in base.__subclasses__() if child.__module__ == base.__module__]
    return {base}.union(*(subclasses(child) for child in own))


def test_every_disconnect_has_a_close_code() -> None:
    assert {error.reason for error in subclasses(Disconnect)} == set(CLOSE_CODES)


def test_every_error_of_a_message_has_a_code() -> None:
    reasons = {error.reason for base in (ClientError, BackendError) for error in subclasses(base)}
    assert reasons - set(ERROR_CODES) == set()


def test_the_table_is_the_catalogue_of_the_spec() -> None:
    assert {event.type: event.name for event in BY_TYPE.values()} == {
        1: "Login",
        2: "Logout",
        3: "Activated",
        4: "Removed",
        5: "FilesUploaded",
        6: "FilesRemoved",
        7: "BucketUploaded",
        8: "BucketRemoved",
        9: "MetaRequest",
        10: "Echo",
        11: "Error",
    }
