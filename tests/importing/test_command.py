"""``users-server import webinate`` as a process: what it says, and what a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.databases import Database, opened
from tests.importing.original import Original, make_user
from tests.server_process import make_config
from users_server.config import Config

ROOT = Path(__file__).resolve().parents[2]
BROKEN, LONG = 400, 250
"""Together the lines about them are more than a pipe holds (64 KiB)."""


class Command:
    """Runs the command with a configuration of the target."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._path = folder / "config.json"
        document = make_config(folder, database={"url": config.database.url}, files={"folder": config.files.folder})
        self._path.write_text(json.dumps(document), encoding="utf-8")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "users_server", "import", "webinate", "--config", str(self._path), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def command(tmp_path: Path, config: Config) -> Iterator[Command]:
    return Command(tmp_path, config)


def test_first_a_dry_run_then_the_import(command: Command, original: Original, tmp_path: Path) -> None:
    original.user("ann")
    original.user("broken", email="\x1b[31mnowhere")
    code, output, _ = command.run(original.url)
    assert code == 0
    assert output.endswith("Nothing was changed. With --apply this is imported.\n")
    rehearsed = output.splitlines()[:-1]
    assert [line.split() for line in rehearsed[:2]] == [
        ["read", "imported", "present", "skipped", "conflicts"],
        ["users", "2", "1", "0", "1", "0"],
    ]
    assert "users: 1 skipped: its email is no address" in rehearsed
    report = tmp_path / "report.jsonl"
    code, output, _ = command.run("--apply", "--report", str(report), USERS_SERVER_IMPORT_URL=original.url)
    assert (code, output.splitlines()[:-1], output.splitlines()[-1]) == (0, rehearsed, "Imported.")
    (line,) = [json.loads(line) for line in report.read_text().splitlines()]
    assert (line["collection"], line["what"], line["name"]) == ("users", "skipped", "broken")


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("http://localhost/users", 2, "must look like mongodb://"),
        ("mongodb://somebody:secretword@localhost:1", 2, "names no database"),
        ("mongodb://somebody:secretword@localhost:1/users?serverSelectionTimeoutMS=100", 1, "localhost:1/users"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line(command: Command, url: str, code: int, message: str) -> None:
    ended, output, errors = command.run(url)
    assert (ended, output) == (code, "")
    assert len(errors.splitlines()) == 1
    assert message in errors
    assert "secretword" not in errors


@pytest.mark.parametrize("database", ["mongodb"], indirect=True)
def test_the_target_is_no_source(command: Command, config: Config) -> None:
    code, _, errors = command.run(config.database.url)
    assert (code, "another database than the source" in errors) == (2, True)


@pytest.mark.gen_test(timeout=120)
async def test_what_kill_9_has_left_is_gone_on_with(
    command: Command, original: Original, database: Database, tmp_path: Path
) -> None:
    """The process is stopped for sure in the middle: its report goes to a pipe that nobody empties."""
    early = [make_user(f"early{number}") for number in range(210)]
    broken = [make_user(f"{number}".ljust(LONG, "x"), email="nowhere") for number in range(BROKEN)]
    late = [make_user(f"late{number}") for number in range(50)]
    original.database["users"].insert_many([*early, *broken, *late])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)  # also keeps the writer from waiting for a reader
    try:
        process = command.start("--apply", "--report", str(pipe), original.url)
        os.read(reader, 1)  # the first of the broken ones was read
        process.kill()
        process.communicate(timeout=20)
    finally:
        os.close(reader)
    async with opened(database) as store:
        half = {user.id for user in (await store.list_users(limit=1000)).items}
        state: Any = await store.get_import(f"webinate {original.url.removeprefix('mongodb://')}")
    assert half == {str(user["_id"]) for user in early}
    assert state["collections"]["users"]["read"] == 200

    code, output, _ = command.run("--apply", original.url)
    assert code == 0
    assert output.splitlines()[1].split() == ["users", str(260 + BROKEN), "250", "10", str(BROKEN), "0"]
    async with opened(database) as store:
        whole = {user.id for user in (await store.list_users(limit=1000)).items}
    assert whole == {str(user["_id"]) for user in [*early, *late]}
