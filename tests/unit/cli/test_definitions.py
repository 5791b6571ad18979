"""``definitions``: writes what is missing or stale, and checks without writing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from users_server.config import configuration_document, example_config

Run = Callable[..., Result]


def test_write_then_check(run: Run, folder: Path) -> None:
    written = run("definitions")
    assert written.exit_code == 0
    assert (folder / "definitions" / "events.schema.json").is_file()
    assert (folder / "config.example.json").read_text(encoding="utf-8") == example_config()
    assert (folder / "docs" / "configuration.md").read_text(encoding="utf-8") == configuration_document()
    assert run("definitions", "--check").exit_code == 0
    assert "Wrote" not in run("definitions").stdout


def test_a_stale_file_is_named(run: Run, folder: Path) -> None:
    run("definitions")
    stale = folder / "definitions" / "events.d.ts"
    stale.write_text("// changed by hand")
    (folder / "docs" / "configuration.md").unlink()
    result = run("definitions", "--check")
    assert result.exit_code == 1
    assert "definitions/events.d.ts, docs/configuration.md" in result.stderr
    assert stale.read_text() == "// changed by hand", "checking writes nothing"
    assert run("definitions").exit_code == 0
    assert run("definitions", "--check").exit_code == 0


def test_another_folder_has_the_definitions_alone(run: Run, folder: Path) -> None:
    assert run("definitions", "--output", "generated").exit_code == 0
    assert (folder / "generated" / "openapi.json").is_file()
    assert not (folder / "config.example.json").exists()


def test_a_folder_that_cannot_be_written(run: Run, folder: Path) -> None:
    (folder / "generated").mkdir()
    (folder / "generated" / "events.d.ts").mkdir()
    result = run("definitions", "--output", "generated")
    assert result.exit_code == 1
    assert "Cannot write generated/events.d.ts" in result.stderr
