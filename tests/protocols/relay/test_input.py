"""What the back end publishes on Redis: to the right channel, or logged and dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.protocols.relay.bench import ADMIN, Bench
from users_server.errors import ConfigError
from users_server.protocols.relay import PROTOCOL
from users_server.protocols.relay.settings import RelaySettings
from users_server.services.apps import AppDraft

SYSTEM = {"id": 0, "name": "System"}
REDIS = {"redis_url": "redis://there", "redis_prefix": "laravel_"}
CHAT = {"message": "x", "name": "System"}


@pytest.mark.gen_test
async def test_the_right_channel_only(tmp_path: Path) -> None:
    async with Bench(tmp_path, **REDIS) as bench:
        assert bench.source.channel == "laravel_broadcast"
        first, second = await bench.connect(channel="news:1"), await bench.connect(channel="news:2")
        stranger = await bench.connect(token=bench.token(channel="news:1", secret=bench.other.secret), app="other")
        await bench.source.bring({"channel": "news:1", "data": {"a": 1}})
        await bench.source.bring({"channel": "news:1", "data": {"a": 2}, "type": "message"})
        await bench.source.bring({"channel": "news:1", "data": {"a": 3}, "type": "updated"})
        assert [(m["type"], m["sender"], m["data"]["a"]) for m in first.take()] == [
            ("message", SYSTEM, 1),
            ("message", SYSTEM, 2),
            ("updated", SYSTEM, 3),
        ]
        assert second.take() == stranger.take() == []
    assert bench.source.is_closed


@pytest.mark.gen_test
async def test_the_rules_of_the_kind_hold(tmp_path: Path) -> None:
    async with Bench(tmp_path, **REDIS) as bench:
        ann, bob = await bench.connect(7, "Ann"), await bench.connect(8, "Bob")
        ann.take()
        bob.take()
        await bench.source.bring({"channel": "chat:room1", "data": {**CHAT, "target_user_id": 8, "more": 1}})
        assert ann.take() == []
        assert bob.take() == [{"type": "message", "sender": SYSTEM, "data": CHAT}]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "message",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b"[]",
        {},
        {"channel": "plain"},
        {"channel": 5, "data": {}},
        {"channel": "", "data": {}},
        {"channel": "x" * 300, "data": {}},
        {"channel": "plain", "data": []},
        {"channel": "plain", "data": None},
        {"channel": "plain", "data": {}, "type": "connected"},
        {"channel": "plain", "data": {}, "type": ""},
        {"channel": "plain", "data": {}, "type": None},
        {"channel": "users", "data": {"username": "x"}, "type": "Login"},
        {"channel": "echo", "data": {"message": "x"}, "type": "Echo"},
        {"channel": "chat:room1", "data": {"message": "no name"}},
        {"channel": "plain", "data": {"a": "x" * 2000}},
    ],
)
async def test_what_cannot_be_published_is_logged_and_dropped(tmp_path: Path, message: Any) -> None:
    async with Bench(tmp_path, max_input_bytes=1500, **REDIS) as bench:
        witness, plain = await bench.connect(), await bench.connect(channel="plain")
        witness.take()
        with structlog.testing.capture_logs() as logs:
            await bench.source.bring(message)
        assert [(line["event"], line["log_level"]) for line in logs] == [("relay input dropped", "warning")]
        assert "x" * 100 not in str(logs)
        await bench.source.bring({"channel": "plain", "data": {}})
        assert (len(plain.take()), witness.take()) == (1, [])


@pytest.mark.gen_test
async def test_a_flood_of_bad_messages_is_no_flood_of_lines(tmp_path: Path) -> None:
    async with Bench(tmp_path, **REDIS) as bench:
        with structlog.testing.capture_logs() as logs:
            for _ in range(1000):
                await bench.source.bring(b"{")
            assert len(logs) <= 20
            bench.clock.seconds += 1
            await bench.source.bring(b"{")
        assert logs[-1]["unlogged"] == 1000 - (len(logs) - 1)


@pytest.mark.gen_test
async def test_an_app_that_does_not_serve_the_relay(tmp_path: Path) -> None:
    async with Bench(tmp_path, **REDIS) as bench:
        await bench.change_app("default", AppDraft(protocols=["users"]))
        with structlog.testing.capture_logs() as logs:
            await bench.source.bring({"channel": "plain", "data": {}})
        assert [line["reason"] for line in logs] == ["app_gone"]


@pytest.mark.gen_test
async def test_an_app_that_was_removed(tmp_path: Path) -> None:
    async with Bench(tmp_path, app="other", **REDIS) as bench:
        await bench.apps.remove(ADMIN, "other")
        with structlog.testing.capture_logs() as logs:
            await bench.source.bring({"channel": "plain", "data": {}})
        assert [line["reason"] for line in logs] == ["not_found"]


@pytest.mark.gen_test
async def test_another_app(tmp_path: Path) -> None:
    async with Bench(tmp_path, app="other", **REDIS) as bench:
        main = await bench.connect(channel="plain")
        default = bench.token(channel="plain", secret=bench.apps.secrets(await bench.apps.get("default"))[0])
        stranger = await bench.connect(token=default, app="default")
        await bench.source.bring({"channel": "plain", "data": {}})
        assert (len(main.take()), stranger.take()) == (1, [])
        for name in ("users", "echo"):
            await bench.source.bring({"channel": name, "data": {}})


@pytest.mark.gen_test
async def test_without_redis_there_is_no_input(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        assert bench.parts == ()
        with pytest.raises(ConfigError):
            PROTOCOL.build(RelaySettings(redis_prefix="laravel_"), bench.foundation)
