"""Every port that something listens on is known before anything is started, and is wanted once."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from users_server.app import check_ports as check_that_they_are_free
from users_server.cli import main
from users_server.config.loading import build_config
from users_server.config.mistakes import ConfigErrors
from users_server.config.ports import ListeningPorts, check_ports, listening_ports, worker_count
from users_server.config.protocols import PROTOCOLS
from users_server.config.settings import Config, WorkerSettings
from users_server.core.messages import JSON
from users_server.errors import StartupError

REDIS = {"url": "redis://localhost"}


def build(**sections: JSON) -> Config:
    return build_config(sections, {}, Path())


def told(**sections: JSON) -> list[tuple[str, str]]:
    """Where each mistake is, and what was expected there."""
    with pytest.raises(ConfigErrors) as caught:
        build(**sections)
    return [(mistake.path, mistake.expected) for mistake in caught.value.mistakes]


def test_all_of_them() -> None:
    config = build(protocols={"relay": {"port": 9000}}, workers={"count": 3, "statusPort": 9100}, broker=REDIS)
    assert listening_ports(config) == [
        ListeningPorts("http.port", 8000),
        ListeningPorts("websocket.port", 8080),
        ListeningPorts("protocols.relay.port", 9000),
        ListeningPorts("workers.statusPort", 9100, 3),
    ]


def test_a_port_of_a_protocol_is_a_setting_of_its_section() -> None:
    """Whatever a folder exports: the mistake must lead to a line of config.json."""
    for folder in PROTOCOLS:
        keys = {field.data_key or name for name, field in folder.section().fields.items()}
        ports = [name for name in ("port",) if name in keys]
        settings = folder.section().load(dict.fromkeys(ports, 9000))
        points = folder.mount_points(settings)
        assert {point.port_setting for point in points if point.port} == set(ports)


def test_what_is_off_or_any_free_port_is_none_of_them() -> None:
    config = build(http={"port": 0}, websocket={"port": 0}, protocols={"relay": {"port": 9000, "enabled": False}})
    assert listening_ports(config) == []
    together = build(http={"port": 7000}, websocket={"port": 7000})
    assert list(check_ports(together)) == []


@pytest.mark.parametrize(
    ("sections", "path", "expected"),
    [
        ({"protocols": {"relay": {"port": 8000}}}, "protocols.relay.port", "other than http.port"),
        ({"protocols": {"relay": {"port": 8080}}}, "protocols.relay.port", "other than websocket.port"),
        (
            {"http": {"port": 8080}, "protocols": {"relay": {"port": 8080}}},
            "protocols.relay.port",
            "other than http.port and websocket.port",
        ),
        ({"workers": {"statusPort": 8080}}, "workers.statusPort", "a port of its own, other than websocket.port"),
        (
            {"workers": {"statusPort": 9000}, "protocols": {"relay": {"port": 9000}}},
            "workers.statusPort",
            "other than protocols.relay.port",
        ),
        (
            {"workers": {"statusPort": 8998, "count": 4}, "protocols": {"relay": {"port": 9001}}, "broker": REDIS},
            "workers.statusPort",
            "8998 to 9001 without protocols.relay.port",
        ),
        (
            {"workers": {"statusPort": 7999, "count": 100}, "broker": REDIS},
            "workers.statusPort",
            "7999 to 8098 without http.port and websocket.port",
        ),
        ({"workers": {"statusPort": 65534, "count": 3}, "broker": REDIS}, "workers.statusPort", "at most 65533"),
    ],
    ids=str,
)
def test_a_port_that_two_want(sections: dict[str, Any], path: str, expected: str) -> None:
    ((where, what),) = told(**sections)
    assert where == path
    assert expected in what


def test_next_to_each_other_is_no_mistake() -> None:
    build(workers={"statusPort": 7997, "count": 3}, protocols={"relay": {"port": 8001}}, broker=REDIS)


def test_a_worker_on_each_processor_has_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    assert worker_count(WorkerSettings(count=0)) == 6
    ((path, expected),) = told(workers={"statusPort": 7995, "count": 0}, broker=REDIS)
    assert (path, "7995 to 8000 without http.port" in expected) == ("workers.statusPort", True)


def test_the_option_of_serve_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"workers": {"statusPort": 7998}, "broker": REDIS}), encoding="utf-8")
    result = CliRunner().invoke(main, ["serve", "--config", str(file), "--workers", "3"])
    assert result.exit_code == 2
    assert "workers.statusPort: expected ports of its own, 7998 to 8000 without http.port, found 7998" in result.stderr


# Tornado leaves a socket that it cannot bind to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("setting", ["http.port", "websocket.port", "protocols.relay.port", "workers.statusPort"])
def test_a_port_of_another_program(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = build(http={"port": 0}, websocket={"port": 0})
        if setting == "protocols.relay.port":
            relay = dataclasses.replace(config.protocols["relay"], port=port)
            config = dataclasses.replace(config, protocols={**config.protocols, "relay": relay})
        else:
            section, field = {
                "http.port": ("http", "port"),
                "websocket.port": ("websocket", "port"),
                "workers.statusPort": ("workers", "status_port"),
            }[setting]
            changed = dataclasses.replace(getattr(config, section), **{field: port})
            config = dataclasses.replace(config, **{section: changed})
        with pytest.raises(StartupError, match=f"^{setting}: cannot listen on localhost port {port}"):
            check_that_they_are_free(config)
    check_that_they_are_free(config)
