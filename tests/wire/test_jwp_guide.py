"""The small game of docs/jwp.md, in each language: its PHP files, its commands, and two players' browsers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.launcher import Launcher
from tests.missing import missing
from tests.ports import free_ports, is_free
from tests.redis_server import until
from tests.server_process import ServerProcess
from tests.wire.browser import browsing
from tests.wire.node_client import FOLDER
from tests.wire.phoenix_client import NEWEST

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[2]
PHOENIX = FOLDER / "node_modules" / f"phoenix-{NEWEST}" / "priv" / "static" / "phoenix.mjs"
PAGE_SECONDS = 90.0
"""A browser's start on a machine with much else to do."""

PLAYERS = ("ann", "bob")

REPORT = """<script>
setInterval(() => fetch('report.php?player=<?= $player ?>', {method: 'POST', body: document.body.innerText}), 200);
</script>"""
"""Appended to the guide's page, so that a test can read what is on it."""

REPORT_PAGE = """<?php
file_put_contents("new-$_GET[player]", file_get_contents('php://input'));
rename("new-$_GET[player]", "seen-$_GET[player]");
"""


class Guide:
    """The parts of a guide that are to be run: ``files`` by the names that the text before them gives."""

    def __init__(self, document: Path) -> None:
        text = document.read_text(encoding="utf-8")
        found = re.finditer(r"`(\w+\.php)`[^`]*^```php\n(<\?php\n.*?)^```", text, re.M | re.S)
        self.files = {match[1]: match[2] for match in found}
        commands = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
        self.create = next(block for block in commands if " app create " in block)
        self.push = next(block for block in commands if "/api/v1/push" in block)


@contextmanager
def php_server(folder: Path, port: int) -> Iterator[Path]:
    """PHP's own web server in ``folder``, with workers as the guide says; its log."""
    program = shutil.which("php")
    if not program:
        missing("PHP is not installed")
    log = folder / "php.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-S", f"localhost:{port}"],
            cwd=folder,
            env={**os.environ, "PHP_CLI_SERVER_WORKERS": "4"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until(lambda: not is_free(port))
        yield log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def create_app(guide: Guide, server: ServerProcess, port: int) -> dict[str, str]:
    """Run the guide's command; the keys that it prints."""
    line = guide.create.replace("localhost:8090", f"localhost:{port}").replace("config.example.json", "config.json")
    program, *arguments = shlex.split(line)
    assert program.endswith("users-server")
    done = subprocess.run(
        [sys.executable, "-m", "users_server", *arguments, "--json"],
        cwd=server.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    made: dict[str, str] = json.loads(done.stdout)
    return made


def write_game(guide: Guide, folder: Path, server: ServerProcess, keys: dict[str, str]) -> None:
    """The guide's files, with the keys filled in, the ports of this server, and phoenix.js from this machine."""
    files = dict(guide.files)
    for constant, name in (("APP_SECRET", "secret"), ("API_KEY", "apiKey"), ("WEBHOOKS_KEY", "webhookKey")):
        files["keys.php"], count = re.subn(
            rf"^(const {constant} = ).*;$", rf"\g<1>'{keys[name]}';", files["keys.php"], flags=re.M
        )
        assert count == 1
    page = files["game.php"]
    assert "'./phoenix.js'" in page
    assert "localhost:8080" in page
    files["game.php"] = page.replace("localhost:8080", f"localhost:{server.websocket_port}") + REPORT
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "report.php").write_text(REPORT_PAGE)
    shutil.copy(PHOENIX, folder / "phoenix.js")


def seen_by(folder: Path, player: str) -> str:
    """What is on the player's page."""
    try:
        return (folder / f"seen-{player}").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def wait_until_seen(folder: Path, texts: Sequence[str], pages: dict[str, str]) -> None:
    """Until every one of ``texts`` is on both pages; ``pages`` gets what is on them, for whoever asks why not."""

    def is_seen() -> bool:
        pages.update({player: seen_by(folder, player) for player in PLAYERS})
        return all(text in page for text in texts for page in pages.values())

    deadline = time.monotonic() + PAGE_SECONDS
    while not is_seen():
        assert time.monotonic() < deadline, f"no {texts}, but {pages}"
        time.sleep(0.1)


def hooks_in(log: Path) -> Counter[str]:
    """What ``hooks.php`` logged, as ``user:ann: join lobby``."""
    return Counter(re.findall(r"user:\w+: (?:join|leave) lobby", log.read_text(errors="replace")))


@pytest.mark.parametrize("document", ["jwp.md", "jwp.fr.md"])
def test_the_guide(launch: Launcher, node: str, tmp_path: Path, document: str) -> None:
    guide = Guide(ROOT / "docs" / document)
    server = launch(fresh=True, webhooks={"allowPrivateAddresses": True})
    port = free_ports()
    folder = tmp_path / "game"
    folder.mkdir()
    keys = create_app(guide, server, port)
    write_game(guide, folder, server, keys)
    # both windows in one browser
    frames = "".join(f'<iframe src="http://localhost:{port}/game.php?player={player}"></iframe>' for player in PLAYERS)
    pages: dict[str, str] = {}
    with php_server(folder, port) as log:
        with browsing(f"<!doctype html>{frames}", tmp_path / "profile") as visit:
            visit("localhost")
            wait_until_seen(folder, PLAYERS, pages)
            command = guide.push.replace("localhost:8000", f"localhost:{server.http_port}")
            environment = {**os.environ, "API_KEY": keys["apiKey"]}
            done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, timeout=60, check=True)
            assert json.loads(done.stdout) == {"status": "ok", "data": {}}
            payload = re.search(r'"payload": \{"who": "(.*?)", "text": "(.*?)"', guide.push)
            assert payload
            wait_until_seen(folder, payload.groups(), pages)
        expected = Counter(f"user:{player}: {event} lobby" for player in PLAYERS for event in ("join", "leave"))
        until(lambda: hooks_in(log) >= expected, seconds=30)
        assert hooks_in(log) == expected
