"""The application's say in what is delivered, over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from tests.application_server import Application
from tests.protocols.relay.bench import ADMIN, Bench, Client
from users_server.protocols.relay.settings import CallbackSettings, KindSettings
from users_server.services.apps import AppDraft

SENDED = {"type": "sended", "ok": True}
KEY = "the-key-of-the-web-hooks"


def bench_for(directory: Path, application: Application, **callback: Any) -> Bench:
    return Bench(directory, callback=CallbackSettings(application.url, **{"timeout_seconds": 5.0, **callback}))


def answer(value: Any, status: int = 200) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda _: (status, body)


async def outcome(client: Client, data: Any) -> Any:
    """The data that is delivered, or the refusal's error."""
    first, *rest = await client.say({"data": data})
    if first != SENDED:
        assert rest == []
        return first["error"]
    assert len(rest) == 1
    return rest[0]["data"]


@pytest.mark.gen_test
async def test_what_is_posted(tmp_path: Path) -> None:
    async with Application() as application, bench_for(tmp_path, application) as bench:
        await bench.apps.change(ADMIN, "default", AppDraft(webhook_key=KEY))
        client = await bench.connect()
        data = {"message": "hi ñ", "name": "Ann", "target_user_id": 7, "more": 1}
        client.take()
        assert await outcome(client, data) == {"message": "hi ñ", "name": "Ann"}
        _, headers, body = application.requests[0]
        assert json.loads(body) == {
            "app": "default",
            "channel": "chat:room1",
            "sender": {"id": 7, "name": "Ann"},
            "data": data,
        }
        assert headers["X-Relay-Signature"] == hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
        assert headers["Content-Type"] == "application/json"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", {"a": 1}),
        (204, b"", {"a": 1}),
        (200, {}, {"a": 1}),
        (200, {"ok": True}, {"a": 1}),
        (200, {"data": {"b": 2}}, {"b": 2}),
        (200, {"ok": False, "error": {"message": "No."}}, {"code": "refused", "message": "No."}),
        (200, {"ok": False, "error": "No."}, {"code": "refused", "message": "No."}),
        (200, {"ok": False}, {"code": "refused", "message": "The message was refused"}),
        (
            403,
            {"message": "This action is unauthorized."},
            {"code": "refused", "message": "This action is unauthorized."},
        ),
        (404, b"<html>", {"code": "refused", "message": "The message was refused"}),
        (422, {"message": "y" * 900}, {"code": "refused", "message": "y" * 500}),
    ],
)
async def test_answers(tmp_path: Path, status: int, body: Any, expected: Any) -> None:
    async with Application(answer(body, status)) as application, bench_for(tmp_path, application) as bench:
        client = await bench.connect(channel="plain")
        assert await outcome(client, {"a": 1}) == expected


@pytest.mark.gen_test
@pytest.mark.parametrize("policy", ["deliver", "refuse"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (503, {"data": {}}),
        (302, b""),
        (429, b""),
        (200, b"<html>"),
        (200, {"data": []}),
        (200, b"x" * 300_000),
    ],
)
async def test_no_answer(tmp_path: Path, policy: str, status: int, body: Any) -> None:
    async with Application(answer(body, status)) as application:
        async with bench_for(tmp_path, application, policy=policy) as bench:
            client = await bench.connect(channel="plain")
            found = await outcome(client, {"a": 1})
            assert found == {"a": 1} if policy == "deliver" else found["code"] == "callback_failed"
            assert len(application.requests) == 1


@pytest.mark.gen_test
async def test_replaced_data_goes_by_the_rules_of_the_kind(tmp_path: Path) -> None:
    async with Application() as application, bench_for(tmp_path, application, policy="refuse") as bench:
        ann, bob = await bench.connect(7, "Ann"), await bench.connect(8, "Bob")
        bob.take()
        data = {"message": "m***y", "name": "Ann"}
        application.answer = answer({"data": {**data, "target_user_id": 8, "more": 1}})
        assert await ann.say({"data": {"message": "money", "name": "Ann"}}) == [SENDED]
        assert [message["data"] for message in bob.take()] == [data]
        application.answer = answer({"data": {"message": 1}})
        assert (await outcome(ann, data))["code"] == "callback_failed"


@pytest.mark.gen_test
@pytest.mark.parametrize("policy", ["deliver", "refuse"])
async def test_a_slow_callback(tmp_path: Path, policy: str) -> None:
    async with Application() as application:
        async with bench_for(tmp_path, application, policy=policy, timeout_seconds=0.05) as bench:
            application.hold()
            client = await bench.connect(channel="plain")
            found = await outcome(client, {"a": 1})
            assert found == {"a": 1} if policy == "deliver" else found["code"] == "callback_failed"


@pytest.mark.gen_test
async def test_too_many_calls(tmp_path: Path) -> None:
    async with Application() as application, bench_for(tmp_path, application, max_waiting=1, policy="refuse") as bench:
        application.hold()
        first, second = await bench.connect(channel="plain"), await bench.connect(channel="plain")
        waiting = first.start({"data": {"a": 1}})
        assert waiting is not None
        await application.wait_for(1)
        assert (await outcome(second, {"a": 2}))["code"] == "callback_failed"
        application.release()
        await waiting
        assert first.take()[0] == SENDED
        assert await outcome(second, {"a": 3}) == {"a": 3}


@pytest.mark.gen_test
async def test_nothing_is_posted_that_is_refused_anyway(tmp_path: Path) -> None:
    async with Application() as application:
        settings = CallbackSettings(application.url)
        async with Bench(tmp_path, callback=settings, kinds=(KindSettings("news", clients_may_send=False),)) as bench:
            assert (await outcome(await bench.connect(channel="news:1"), {}))["code"] == "not_permitted"
            assert (await outcome(await bench.connect(), {}))["code"] == "validation_failed"
            assert application.requests == []


@pytest.mark.gen_test
async def test_messages_of_other_apps_are_not_posted(tmp_path: Path) -> None:
    async with Application(answer({"ok": False})) as application, bench_for(tmp_path, application) as bench:
        token = bench.token(channel="plain", secret=bench.other.secret)
        client = await bench.connect(token=token, app="other")
        assert await outcome(client, {"a": 1}) == {"a": 1}
        own = bench.token(channel="plain", secret=bench.apps.secrets(await bench.apps.get("default"))[0])
        client = await bench.connect(token=own, app="default")
        assert (await outcome(client, {"a": 1})) == {"a": 1}
        assert application.requests == []


@pytest.mark.gen_test
async def test_a_client_that_goes_meanwhile(tmp_path: Path) -> None:
    async with Application() as application, bench_for(tmp_path, application) as bench:
        application.hold()
        client, witness = await bench.connect(channel="plain"), await bench.connect(channel="plain")
        pending = client.start({"data": {"a": 1}})
        assert pending is not None
        await application.wait_for(1)
        client.leave()
        application.release()
        await asyncio.wait_for(pending, 5)
        assert [message["data"] for message in witness.take()] == [{"a": 1}]
