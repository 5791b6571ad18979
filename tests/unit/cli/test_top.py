"""``top``: rates between two looks, the lines of a screen, and the command with a running server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tests.launcher import Launcher
from tests.server_process import API_KEY, ServerProcess
from users_server.cli.top import Look, Report, render, shortened, with_rates

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 60.0

NODE = {
    "uptimeSeconds": 100.0,
    "connections": 2,
    "connectionsTotal": 1234,
    "slowReadersClosed": 1,
    "messages": 10,
    "publications": 20,
    "deliveries": 3000,
    "writes": 40,
    "flushes": 5,
    "bytesQueued": 60_000,
    "queueBytes": 1500,
    "loopLag": {"bounds": [0.001, 0.1], "counts": [50, 5, 1]},
}


def connection(name: str, **fields: Any) -> Look:
    return {
        "id": name,
        "address": "::1",
        "username": None,
        "messagesIn": 0,
        "queueBytes": 0,
        "connectedSeconds": 50.0,
        "channels": ["echo", "users"],
        **fields,
    }


def channel(name: str, **fields: Any) -> Look:
    return {"app": "default", "name": name, "subscribers": 1, "publications": 0, "deliveries": 0, **fields}


def look(*entries: Look, **node: Any) -> Look:
    return {
        "node": {**NODE, **node},
        "connections": [entry for entry in entries if "id" in entry],
        "channels": [entry for entry in entries if "app" in entry],
    }


def names(report: Report, kind: str, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(entry[field] for field in fields) for entry in report[kind]]


# Rates


def test_the_nodes_rates_go_by_the_servers_own_clock() -> None:
    done = {"uptimeSeconds": 102.5, "messages": 15, "deliveries": 5500, "bytesQueued": 60_001}
    report = with_rates(look(), look(**done))
    assert report["seconds"] == 2.5
    node = report["node"]
    assert node.items() >= done.items()
    assert {name: rate for name, rate in node.items() if name.endswith("PerSecond")} == {
        "messagesPerSecond": 2.0,
        "publicationsPerSecond": 0.0,
        "deliveriesPerSecond": 1000.0,
        "writesPerSecond": 0.0,
        "flushesPerSecond": 0.0,
        "bytesQueuedPerSecond": 0.4,
    }


def test_the_lag_is_that_of_the_time_between() -> None:
    after = look(uptimeSeconds=101.0, loopLag={"bounds": [0.001, 0.1], "counts": [53, 6, 1]})
    assert with_rates(look(), after)["node"]["recentLoopLag"] == {"bounds": [0.001, 0.1], "counts": [3, 1, 0]}


def test_connections_come_by_what_waits_then_by_what_they_sent_lately() -> None:
    before = look(
        connection("long ago", messagesIn=1_000_000),
        connection("busy", messagesIn=10),
        connection("stalls", messagesIn=1),
    )
    after = look(
        connection("stalls", messagesIn=1, queueBytes=5),
        connection("long ago", messagesIn=1_000_000),
        connection("busy", messagesIn=30),
        uptimeSeconds=102.0,
    )
    report = with_rates(before, after)
    assert names(report, "connections", "id", "messagesInPerSecond") == [
        ("stalls", 0.0),
        ("busy", 10.0),
        ("long ago", 0.0),
    ]


def test_a_connection_that_has_come_since_has_a_rate_and_one_that_was_not_listed_has_none() -> None:
    after = look(
        connection("new", messagesIn=4, connectedSeconds=1.5),
        connection("old", messagesIn=4, connectedSeconds=50.0),
        uptimeSeconds=102.0,
    )
    assert names(with_rates(look(), after), "connections", "id", "messagesInPerSecond") == [("new", 2.0), ("old", None)]


def test_channels_come_by_what_was_delivered_lately() -> None:
    before = look(
        channel("old", deliveries=900),
        channel("lively", deliveries=1),
        channel("forgotten", deliveries=70, publications=7),
        channel("lively", app="other", deliveries=5),
    )
    after = look(
        channel("old", deliveries=900),
        channel("lively", deliveries=41, publications=4),
        channel("lively", app="other", deliveries=5),
        channel("forgotten", deliveries=10, publications=1),
        channel("unlisted", deliveries=3),
        uptimeSeconds=102.0,
    )
    fields = ("app", "name", "deliveriesPerSecond", "publicationsPerSecond")
    assert names(with_rates(before, after), "channels", *fields) == [
        ("default", "lively", 20.0, 2.0),
        ("default", "old", 0.0, 0.0),
        ("default", "forgotten", None, None),
        ("other", "lively", 0.0, 0.0),
        ("default", "unlisted", None, None),
    ]


@pytest.mark.parametrize("uptime", [0.5, 100.0, 130.0])
def test_a_server_that_was_started_anew_has_no_rates_yet(uptime: float) -> None:
    zeros = dict.fromkeys(["messages", "publications", "deliveries", "writes", "flushes", "bytesQueued"], 0)
    after = look(**zeros, uptimeSeconds=uptime, loopLag={"bounds": [0.001, 0.1], "counts": [2, 0, 0]})
    node = with_rates(look(), after)["node"]
    assert {node[f"{name}PerSecond"] for name in zeros} == {None}
    assert node["recentLoopLag"]["counts"] == [2, 0, 0]
    assert "a second: messages -  publications -  deliveries - in - writes, -" in render(with_rates(look(), after))


def test_no_more_than_the_limit_is_kept() -> None:
    entries = [connection(str(n), messagesIn=n) for n in range(5)] + [channel(str(n), deliveries=n) for n in range(5)]
    report = shortened(with_rates(look(*entries), look(*entries, uptimeSeconds=101.0)), 2)
    assert names(report, "connections", "id") == [("4",), ("3",)]
    assert names(report, "channels", "name") == [("4",), ("3",)]


# Lines


def screen(*entries: Look, width: int | None = None, height: int | None = None, **node: Any) -> list[str]:
    report = with_rates(look(*entries), look(*entries, **{"uptimeSeconds": 101.0, **node}))
    return [click.unstyle(line) for line in render(report, width, height)]


def test_the_screen() -> None:
    before = look(
        connection("f8d5-4", username="alice", messagesIn=6),
        connection("f8d5-31", messagesIn=1200),
        channel("echo", deliveries=90, publications=20),
    )
    after = look(
        connection("f8d5-4", username="alice", messagesIn=1206, queueBytes=2_500_000, connectedSeconds=93784.9),
        connection("f8d5-31", messagesIn=1203, address="198.51.100.7"),
        channel("echo", subscribers=2, deliveries=96, publications=23),
        uptimeSeconds=102.0,
        deliveries=29_000,
        loopLag={"bounds": [0.001, 0.1], "counts": [52, 7, 1]},
    )
    assert [click.unstyle(line) for line in render(with_rates(before, after))] == [
        "up 00:01:42  connections 2 (1,234 so far)  slow readers closed 1",
        "a second: messages 0.0  publications 0.0  deliveries 13,000 in 0.0 writes, 0 B",
        "waiting 1.5 kB  loop lag p50 ≤ 1 ms, p99 ≤ 100 ms",
        "",
        "CONNECTION  ADDRESS       USER   WAITING  MESSAGES/S  MESSAGES    CONNECTED  CHANNELS",
        "f8d5-4      ::1           alice   2.5 MB         600     1,206  1d 02:03:04  echo users",
        "f8d5-31     198.51.100.7  -          0 B         1.5     1,203     00:00:50  echo users",
        "",
        "CHANNEL  APP      SUBSCRIBERS  DELIVERED/S  DELIVERED  PUBLISHED/S  PUBLISHED",
        "echo     default            2          3.0         96          1.5         23",
    ]


def test_a_server_without_clients() -> None:
    assert [line.split()[0] for line in screen()[4:] if line] == ["CONNECTION", "CHANNEL"]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([50, 5, 1], "p50 -, p99 -"),
        ([51, 5, 1], "p50 ≤ 1 ms, p99 ≤ 1 ms"),
        ([51, 6, 2], "p50 ≤ 100 ms, p99 > 100 ms"),
        ([50, 5, 2], "p50 > 100 ms, p99 > 100 ms"),
    ],
)
def test_quantiles_of_the_lag(counts: list[int], text: str) -> None:
    assert screen(loopLag={"bounds": [0.001, 0.1], "counts": counts})[2].endswith(text)


@pytest.mark.parametrize("height", [1, 9, 10, 24, 50])
@pytest.mark.parametrize("amounts", [(0, 0), (1, 1), (30, 1), (1, 30), (30, 30)])
def test_a_screen_is_no_larger_than_its_terminal_and_is_used(height: int, amounts: tuple[int, int]) -> None:
    connections, channels = amounts
    entries = [connection(f"id {n}") for n in range(connections)] + [channel(f"name {n}") for n in range(channels)]
    lines = screen(*entries, width=40, height=height)
    assert len(lines) == min(height, 7 + connections + channels)
    assert max(map(len, lines)) <= 40
    if height >= 9:
        assert sum(line.startswith("id ") for line in lines) >= min(connections, 1)
        assert sum(line.startswith("name ") for line in lines) >= min(channels, 1)


def test_names_of_clients_move_no_cursor() -> None:
    lines = screen(
        connection("c", username="\x1b[2J\nroot", address="\u202e", channels=["a\x9b"]), channel("\x07", app="\r")
    )
    assert len(lines) == 9
    assert not set("".join(lines)) & set("\x1b\n\r\x07\x9b\u202e")


# With a server


@pytest.fixture
def command(any_server: ServerProcess, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line for the server's configuration, with its real ports."""

    def make(*arguments: str, **sections: Any) -> list[str]:
        config = {**any_server.config, "http": {"port": any_server.http_port}}
        for name, value in sections.items():
            config[name] = {**config[name], **value}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        return [sys.executable, "-m", "users_server", "top", "--interval", "0.2", *arguments, "--config", str(path)]

    return make


def environ(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **extra}


def call(line: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, env=environ(**extra), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


def test_once(any_server: ServerProcess, command: Callable[..., list[str]]) -> None:
    with any_server.connect() as client:
        client.ask(eventType=10, message="hello", broadcast=True)
        result = call(command("--once"))
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(r"^CONNECTION .*\n\S+ +(127\.0\.0\.1|::1) +- ", result.stdout, re.MULTILINE)
    assert re.search(r"^echo +default +1 ", result.stdout, re.MULTILINE)
    assert "\x1b" not in result.stdout


def test_once_as_json(any_server: ServerProcess, command: Callable[..., list[str]]) -> None:
    with any_server.connect() as client:
        client.ask(eventType=10, message="hello", broadcast=True)
        result = call(command("--once", "--json", "--limit", "1"))
    assert (result.returncode, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    report = json.loads(line)
    assert report["seconds"] >= 0.2
    assert report["node"]["connections"] == 1
    assert [entry["messagesIn"] for entry in report["connections"]] == [1]
    (busiest,) = report["channels"]
    assert (busiest["name"], busiest["publications"], busiest["deliveriesPerSecond"]) == ("echo", 1, 0.0)


def test_with_a_token(any_server: ServerProcess, command: Callable[..., list[str]]) -> None:
    admin = any_server.admin()
    token = admin.request("POST", "/tokens").body["token"]
    without_key = command("--once", websocket={"socketApiKey": ""})
    assert call(without_key, USERS_SERVER_TOKEN=token).returncode == 0
    refused = call(without_key, USERS_SERVER_TOKEN="no.such.token")
    assert refused.returncode == 1
    assert "(401)" in refused.stderr
    assert "no.such.token" not in refused.stderr


def test_without_a_key(any_server: ServerProcess, command: Callable[..., list[str]]) -> None:
    missing = call(command("--once", websocket={"socketApiKey": ""}))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "websocket.socketApiKey" in missing.stderr
    wrong = call(command("--once", websocket={"socketApiKey": API_KEY[::-1]}))
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert len(wrong.stderr.splitlines()) == 1


def test_nothing_listens(any_server: ServerProcess, command: Callable[..., list[str]]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        result = call(command("--once", http={"port": closed.getsockname()[1]}))
    assert (result.returncode, result.stdout) == (1, "")
    assert "users-server serve" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_leaves_the_terminal_as_it_was(launch: Launcher, tmp_path: Path) -> None:
    server = launch()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**server.config, "http": {"port": server.http_port}}), encoding="utf-8")
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "users_server", "top", "--interval", "0.1", "--config", str(path)],
        env=environ(COLUMNS="80", LINES="24"),
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    try:
        seen = b""
        while seen.count(b"CHANNEL ") < 2:
            seen += os.read(master, 65_536)
        process.send_signal(signal.SIGINT)
        seen += read_rest(master)
        assert process.wait(TIMEOUT_SECONDS) == 0
        assert process.stderr
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        os.close(master)
        if process.stderr:
            process.stderr.close()
    assert seen.startswith(b"\x1b[?1049h")
    assert seen.endswith(b"\x1b[?1049l")
    assert seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h") == 1


def read_rest(terminal: int) -> bytes:
    """All until the other side is closed, which Linux tells by an error."""
    rest = b""
    try:
        while part := os.read(terminal, 65_536):
            rest += part
    except OSError:
        pass
    return rest
