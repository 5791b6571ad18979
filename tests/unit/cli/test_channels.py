"""``publish`` and ``watch`` with a running server, which is killed and comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import Output, ServerProcess, make_config

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 60.0
RULES = {"rules": [{"pattern": "news*", "historySize": 5, "historySeconds": 300}]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """With histories in the database, so that they outlive it."""
    server = ServerProcess(
        make_config(tmp_path, channels=RULES, broker={"history": "database"}), tmp_path / "server", arguments=()
    ).start()
    # it comes back where it was
    server.config["http"], server.config["websocket"] = (
        {**server.config["http"], "port": server.http_port},
        {**server.config["websocket"], "port": server.websocket_port},
    )
    (tmp_path / "config.json").write_text(json.dumps(server.config), encoding="utf-8")
    yield server
    server.stop()


def command(server: ServerProcess, *arguments: str) -> list[str]:
    path = server.directory.parent / "config.json"
    return [sys.executable, "-m", "users_server", *arguments, "--config", str(path)]


def environ(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **extra}


def call(server: ServerProcess, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *arguments),
        env=environ(**extra),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def publish(server: ServerProcess, channel: str, event: str, data: Any, **extra: str) -> None:
    result = call(server, "publish", "default", channel, event, json.dumps(data), **extra)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"Published in {channel}: {event}\n"


class Watch:
    """A ``watch`` that runs, and what it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        assert process.stderr
        self.process = process
        self.output, self.errors = Output(process.stdout), Output(process.stderr)

    def wait_for(self, pattern: str) -> None:
        assert self.output.wait_for(pattern, TIMEOUT_SECONDS), f"{self.output.text}{self.errors.text}"

    def messages(self) -> list[dict[str, Any]]:
        """Of ``--json``."""
        return [json.loads(line) for line in self.output.text.splitlines()]


@contextmanager
def watching(server: ServerProcess, *arguments: str, **extra: str) -> Iterator[Watch]:
    process = subprocess.Popen(
        command(server, "watch", *arguments),
        env=environ(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = Watch(process)
    try:
        watch.wait_for("subscribed|watching")
        yield watch
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_SECONDS) == 0, watch.errors.text
    finally:
        process.kill()
        process.wait()
        watch.output.close()
        watch.errors.close()


def test_what_is_published_is_watched(server: ServerProcess) -> None:
    with watching(server, "default") as everything, watching(server, "default", "news", "--json") as news:
        publish(server, "chat", "said", {"text": "hello \x1b[2J"})
        publish(server, "news", "headline", [1, "é"])
        everything.wait_for("headline")
        news.wait_for("headline")
        lines = everything.output.text.splitlines()
        assert [line[10:].split("  ")[:3] for line in lines[1:]] == [
            ["chat", "said", '{"text":"hello \\u001b[2J"}'],
            ["news", "headline", '[1,"é"]'],
        ]
        assert lines[0].endswith("watching all channels")
        assert "\x1b[2J" not in everything.output.text
        assert [message.get("data") for message in news.messages()] == [None, [1, "é"]]


def test_the_apps_own_key_is_enough(server: ServerProcess) -> None:
    made = json.loads(call(server, "app", "create", "Shop", "--id", "shop", "--json").stdout)
    key = {"USERS_SERVER_API_KEY": made["apiKey"]}
    with watching(server, "shop", "orders", **key) as watch:
        assert call(server, "publish", "shop", "orders", "paid", '{"by": "card"}', **key).returncode == 0
        watch.wait_for("paid")
    for arguments in (("publish", "default", "orders", "paid", "{}"), ("watch", "default")):
        refused = call(server, *arguments, **key)
        assert refused.returncode == 1, refused
        assert len(refused.stderr.splitlines()) == 1
        assert made["apiKey"] not in refused.stderr


def test_nothing_is_missed_while_the_server_is_away(server: ServerProcess) -> None:
    with watching(server, "default", "news", "--json") as watch:
        publish(server, "news", "one", 1)
        watch.wait_for('"one"')
        server.kill()
        assert watch.errors.wait_for("connecting again", TIMEOUT_SECONDS)
        server.start()
        publish(server, "news", "two", 2)
        watch.wait_for('"two"')
        assert [message["event"] for message in watch.messages() if message["type"] == "publication"] == ["one", "two"]
        assert [message["recovered"] for message in watch.messages() if message["type"] == "subscribed"] == [None, True]


def test_what_is_lost_is_told(server: ServerProcess) -> None:
    with watching(server, "default", "news") as first:
        publish(server, "news", "one", 1)
        first.wait_for("one")
        position = first.output.text.split()[-1]
    for number in range(8):
        answer = server.http().request(
            "POST",
            "/apps/default/events",
            {"channel": "news", "event": "more", "data": number},
            headers={"users-api-key": server.config["websocket"]["socketApiKey"]},
        )
        assert answer.status == 200
    with watching(server, "default", "news", "--since", position) as again:
        again.wait_for("what was missed cannot be recovered")


def test_mistakes_are_one_line(server: ServerProcess) -> None:
    for arguments, code, told in (
        (("publish", "default", "users", "Login", "{}"), 1, "This channel belongs to the server"),
        (("publish", "default", "news", "x", "{"), 2, "not JSON"),
        (("publish", "nowhere", "news", "x", "1"), 1, "The app does not exist"),
        (("watch", "default", "users"), 1, "not for subscribers"),
        (("watch", "nowhere"), 1, "The app does not exist"),
        (("watch", "default", "--since", "e:1"), 2, "--since needs a CHANNEL"),
        (("watch", "default", "news", "--since", "e"), 1, "EPOCH:OFFSET"),
    ):
        result = call(server, *arguments)
        assert result.returncode == code, result
        assert told in result.stderr
        assert "Traceback" not in result.stderr
