"""``user …`` on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.unit.cli.conftest import write_config

Run = Callable[..., Result]


def create(run: Run, name: str, *arguments: str) -> Result:
    return run("user", "create", name, f"{name}@example.com", "--password-stdin", *arguments, input="correct horse\n")


def test_create_and_list(run: Run) -> None:
    assert create(run, "ann").stdout == "Created ann\n"
    assert create(run, "bob", "--privileges", "admin").exit_code == 0
    lines = run("user", "list").stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["ann", "ann@example.com", "regular"],
        ["bob", "bob@example.com", "admin"],
    ]
    entries = [json.loads(line) for line in run("user", "list", "--json").stdout.splitlines()]
    assert [entry["privileges"] for entry in entries] == [3, 2]
    assert all(entry["isActive"] for entry in entries)
    assert run("user", "list", "--search", "bob@").stdout.startswith("bob ")


def test_no_output_has_a_password_or_a_hash(run: Run) -> None:
    outputs = [create(run, "ann").output, run("user", "list").output, run("user", "list", "--json").output]
    assert not any("correct horse" in output or "argon2" in output for output in outputs)


def test_a_list_of_several_pages(run: Run, monkeypatch: object) -> None:
    from users_server.cli import users

    monkeypatch.setattr(users, "PAGE", 2)  # type: ignore[attr-defined]
    names = [f"user{index}" for index in range(5)]
    for name in names:
        create(run, name)
    assert [line.split()[0] for line in run("user", "list").stdout.splitlines()] == names


def test_a_password_is_asked_for_twice_without_echo(run: Run) -> None:
    result = run("user", "create", "ann", "ann@example.com", input="correct horse\ncorrect horse\n")
    assert result.exit_code == 0
    assert "correct horse" not in result.output
    different = run("user", "create", "bob", "bob@example.com", input="one\ntwo\nthree\nthree\n")
    assert "do not match" in different.output
    assert different.exit_code == 0


def test_an_empty_password_is_a_usage_error(run: Run) -> None:
    result = run("user", "create", "ann", "ann@example.com", "--password-stdin", input="\n")
    assert result.exit_code == 2
    assert "password is empty" in result.stderr


def test_refusals_are_one_line(run: Run) -> None:
    create(run, "ann")
    taken = create(run, "ANN")
    assert (taken.exit_code, taken.stderr) == (1, "Error: A user with that name or email already exists\n")
    unknown = run("user", "remove", "--yes", "nobody")
    assert (unknown.exit_code, len(unknown.stderr.splitlines())) == (1, 1)
    active = run("user", "activate", "ann")
    assert (active.exit_code, len(active.stderr.splitlines())) == (1, 1)


def test_remove_asks(run: Run) -> None:
    create(run, "ann")
    assert run("user", "remove", "ann", input="n\n").exit_code == 1
    assert run("user", "list").stdout
    assert run("user", "remove", "ann", input="y\n").stdout.endswith("Removed ann\n")
    assert run("user", "list").stdout == ""


def test_passwd(run: Run) -> None:
    create(run, "ann")
    result = run("user", "passwd", "ann@example.com", "--password-stdin", input="battery staple\n")
    assert result.exit_code == 0
    assert "battery staple" not in result.output
    assert run("user", "passwd", "nobody", "--password-stdin", input="x\n").exit_code == 1


def test_a_database_that_cannot_be_opened_is_one_line(run: Run, folder: Path) -> None:
    write_config(folder, database={"url": "sqlite:///no/such/folder/users.db"})
    result = run("user", "list")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
