"""``check-config``: the effective configuration, warnings, and which pattern an origin matches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.server_process import API_KEY, APPROVED_DOMAINS, TOKEN_SECRET
from tests.unit.cli.conftest import write_config
from users_server.cli.origins import approved_origin
from users_server.config import Config
from users_server.web.settings import WebSocketSettings

Run = Callable[..., Result]


def test_it_prints_the_effective_configuration_without_secrets(run: Run) -> None:
    result = run("check-config", env={"USERS_SERVER__HTTP__PORT": "8123"})
    effective = json.loads(result.stdout)
    assert result.exit_code == 0
    assert effective["http"]["port"] == 8123
    assert effective["websocket"]["approvedSocketDomains"] == APPROVED_DOMAINS
    assert effective["websocket"]["socketApiKey"] == "********"
    for secret in (API_KEY, TOKEN_SECRET):
        assert secret not in result.output


def test_it_warns_of_patterns_without_an_end_anchor(run: Run) -> None:
    warnings = run("check-config").stderr.splitlines()
    assert [line.split('"')[1] for line in warnings] == ["localhost", "^example\\.org", "^.+\\.example\\.org"]
    assert all(line.startswith("Warning: websocket.approvedSocketDomains: ") for line in warnings)
    assert "localhost.evil.example" in warnings[0]


def test_it_warns_when_nobody_can_connect(run: Run, folder: Path) -> None:
    write_config(folder, websocket={"approvedSocketDomains": [], "socketApiKey": ""})
    assert "no client can connect" in run("check-config").stderr


def test_it_warns_of_a_short_api_key(run: Run, folder: Path) -> None:
    write_config(folder, websocket={"approvedSocketDomains": ["^a$"], "socketApiKey": "short"})
    (line,) = run("check-config").stderr.splitlines()
    assert "websocket.socketApiKey" in line
    assert "short" not in line


def test_an_origin_that_matches(run: Run) -> None:
    result = run("check-config", "--origin", "https://localhost:3000")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        'websocket.approvedSocketDomains: "localhost" matches',
        "http.approvedDomains: no pattern matches https://localhost:3000",
    ]


def test_an_origin_that_does_not_match_forges_nothing(run: Run) -> None:
    result = run("check-config", "--origin", "https://evil\x1b[2J\nwebsocket: matches")
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_nothing_is_started(run: Run, folder: Path) -> None:
    run("check-config")
    assert list(folder.iterdir()) == [folder / "config.json"]


@pytest.mark.parametrize(
    ("patterns", "origin"),
    [
        ([r"^https?://localhost(:[0-9]+)?$"], "http://localhost"),
        ([r"^https://127\.0\.0\.1$", r"^https://localhost$"], "https://localhost"),
        ([r"^https://www\.example\.com$"], "https://www.example.com"),
        ([r"^https://(www\.)?example\.com$"], None),
        ([], None),
    ],
)
def test_an_approved_origin_to_show(patterns: list[str], origin: str | None) -> None:
    config = Config(websocket=WebSocketSettings(approved_socket_domains=tuple(patterns)))
    assert approved_origin(config) == origin
