"""The command line in this process, in a folder of its own, and servers that it talks to."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from tests.server_process import make_config
from users_server.cli import main

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands configure the logging of the process, which here is pytest's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("tornado.access").disabled = False
    logging.getLogger("python_multipart").setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a config.json."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Run ``users-server`` with these arguments; an exception that is no exit is raised here."""

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner(catch_exceptions=False).invoke(main, list(arguments), **options)

    return invoke


def write_config(folder: Path, **sections: Any) -> None:
    (folder / "config.json").write_text(json.dumps(make_config(folder, **sections)), encoding="utf-8")
