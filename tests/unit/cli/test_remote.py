"""``emit`` and ``listen`` with a running server, on plain TCP and under TLS."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.launcher import Launcher
from tests.server_process import TOKEN_SECRET, Output, ServerProcess

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 60.0


@pytest.fixture
def cli(any_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The start of a command line for the server's configuration, with its real ports."""

    def command(*arguments: str, **sections: Any) -> list[str]:
        config = json.loads(json.dumps(any_server.config))
        config["http"]["port"], config["websocket"]["port"] = any_server.http_port, any_server.websocket_port
        for name, value in sections.items():
            config[name] = {**config[name], **value}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        return [sys.executable, "-m", "users_server", *arguments, "--config", str(path)]

    return command


def environ(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **extra}


def call(command: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ(**extra), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


@contextmanager
def listening(
    server: ServerProcess, command: list[str], **extra: str
) -> Iterator[tuple[subprocess.Popen[str], Output]]:
    """A ``listen`` that is connected, and what it prints; it is ended as by Ctrl-C."""
    process = subprocess.Popen(command, env=environ(**extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    output, errors = Output(process.stdout), Output(process.stderr)
    try:
        with server.connect() as client:
            # it is connected when an echo to everybody reaches it
            for mark in range(10_000):
                client.send_event(eventType=10, message=f"mark {mark}", broadcast=True)
                if output.wait_for("mark", 0.2) or process.poll() is not None:
                    break
        yield process, output
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_SECONDS) == 0, errors.text
        assert errors.text == ""
    finally:
        process.kill()
        process.wait()
        output.close()
        errors.close()


def test_what_is_emitted_is_heard(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    with listening(any_server, cli("listen")) as (_, output):
        result = call(cli("emit", "1", "--username", "ann"))
        assert (result.returncode, result.stdout) == (0, 'Sent: 1 Login username="ann"\n')
        match = output.wait_for(r"^\d\d:\d\d:\d\d  1 Login username=\"ann\"$", TIMEOUT_SECONDS)
        assert match, output.text


def test_listen_prints_json(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    with listening(any_server, cli("listen", "--json")) as (_, output):
        result = call(cli("emit", "removed", '{"username": "b\\u001b[2J\\u2028ob"}'))
        assert result.returncode == 0
        match = output.wait_for(r'^\{"eventType":4,.*\}$', TIMEOUT_SECONDS)
        assert match, output.text
        assert not set(match[0]) & {"\x1b", "\u2028"}


def test_listen_with_a_token_from_an_approved_origin(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    assert any_server.config["tokens"]["keys"][0]["secret"] == TOKEN_SECRET
    token = call(cli("token", "create", "--subject", "monitor", "--scope", "events:emit")).stdout.strip()
    with listening(any_server, cli("listen"), USERS_SERVER_TOKEN=token) as (_, output):
        call(cli("emit", "3", "--username", "ann"))
        assert output.wait_for("3 Activated", TIMEOUT_SECONDS), output.text


def test_an_origin_that_is_refused(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    command = cli("listen", "--origin", "https://evil.test", websocket={"socketApiKey": ""})
    result = call(command)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "(1008)" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_token_that_is_refused(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    result = call(cli("listen", "--token", "no.such.token"))
    assert result.returncode == 1
    assert "(4401)" in result.stderr
    assert "no.such.token" not in result.stderr


def test_the_servers_refusal_is_one_line(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    for arguments in (["emit", "1"], ["emit", "10", '{"message": "x"}']):
        result = call(cli(*arguments))
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
    wrong_key = call(cli("emit", "1", "--username", "ann", websocket={"socketApiKey": "another key of the tests"[:7]}))
    assert wrong_key.returncode == 1
    assert "another" not in wrong_key.stderr


def test_without_an_api_key_nothing_is_sent(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    result = call(cli("emit", "1", "--username", "ann", websocket={"socketApiKey": ""}))
    assert result.returncode == 2
    assert "websocket.socketApiKey" in result.stderr


@pytest.mark.parametrize("fields", ["[1]", "{", '"x"', "1"])
def test_fields_that_are_no_object(any_server: ServerProcess, cli: Callable[..., list[str]], fields: str) -> None:
    assert call(cli("emit", "1", fields)).returncode == 2


def test_a_server_that_ends_is_told(launch: Launcher, tmp_path: Path) -> None:
    server = launch(fresh=True)
    config = {**server.config, "websocket": {**server.config["websocket"], "port": server.websocket_port}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "users_server", "listen", "--config", str(tmp_path / "config.json")]
    process = subprocess.Popen(
        command, env=environ(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    output = Output(process.stdout)
    try:
        with server.connect() as client:
            for mark in range(10_000):
                client.send_event(eventType=10, message=f"mark {mark}", broadcast=True)
                if output.wait_for("mark", 0.2):
                    break
        server.stop()
        assert process.wait(TIMEOUT_SECONDS) == 1
        assert process.stderr
        assert process.stderr.read() == "Error: The server closed the connection: The server is shutting down (1001)\n"
    finally:
        process.kill()
        process.wait()
        output.close()
        if process.stderr:
            process.stderr.close()


def test_nothing_listens(cli: Callable[..., list[str]]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = {"port": closed.getsockname()[1]}
        for arguments in (["emit", "1", "--username", "ann"], ["listen"]):
            result = call(cli(*arguments, http=port, websocket=port))
            assert result.returncode == 1
            assert "users-server serve" in result.stderr
            assert len(result.stderr.splitlines()) == 1


def test_another_program_answers(any_server: ServerProcess, cli: Callable[..., list[str]]) -> None:
    """The port of the sockets answers HTTP, but it has no API."""
    scheme = any_server.http_scheme
    url = f"{scheme}://localhost:{any_server.websocket_port}"
    result = call(cli("emit", "1", "--username", "ann", "--url", url))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    result = call(cli("listen", "--url", f"{any_server.websocket_scheme}://localhost:{any_server.http_port}/"))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
