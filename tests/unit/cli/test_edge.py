"""How the command line ends: exit codes, one line for an error, a traceback only when asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from users_server import __version__
from users_server.cli import main
from users_server.config import ConfigErrors

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]


def commands(group: click.Group, *names: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found += commands(command, *names, name) if isinstance(command, click.Group) else [(*names, name)]
    return found


@pytest.mark.parametrize("names", commands(main), ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, names: tuple[str, ...]) -> None:
    result = run(*names, "--help")
    assert result.exit_code == 0
    assert f"users-server {' '.join(names)}" in result.stdout
    assert "Example" in result.stdout


def test_version(run: Run) -> None:
    assert __version__ in run("--version").stdout


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    assert run("serv").exit_code == 2


@pytest.mark.parametrize("debug", [("--debug", {}), ("", {"USERS_SERVER_DEBUG": "1"})])
def test_debug_shows_the_traceback(run: Run, folder: Path, debug: tuple[str, dict[str, str]]) -> None:
    option, environ = debug
    (folder / "config.json").write_text("[]")
    with pytest.raises(ConfigErrors):
        run(*filter(None, [option]), "check-config", env=environ)


def test_python_m_is_the_same_program(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "users_server", "check-config"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: expected config.json in this folder")
    assert len(result.stderr.splitlines()) == 1
