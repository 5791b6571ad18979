"""The examples of the documents, run as somebody does who pastes them into a shell, from top to bottom."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.missing import missing
from tests.server_process import ADMIN, ServerProcess

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("users.md", "files.md", "account-safety.md")
END = "the block has ended"

REFUSED = ["Account has already been activated"]
"""What the documents say is refused."""

LINK = r"^(http://localhost:\d+/[a-z-]+\?user=\S+)$"
KEY = r"^(\S{43})$"


class Shell:
    """A shell in ``folder`` that takes one block after the other."""

    def __init__(self, program: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, block: str) -> str:
        """What the block prints."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{block}\necho\necho {END}\n")
        self._process.stdin.flush()
        return "".join(iter(self._process.stdout.readline, f"{END}\n"))

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    program = shutil.which("bash")
    if not program or not shutil.which("curl"):
        missing("bash or curl is not installed")
    shutil.copy(ROOT / "README.md", tmp_path)
    opened = Shell(program, tmp_path)
    yield opened
    opened.close()


class Reader:
    """Somebody who pastes blocks into ``shell`` and puts in what the server has printed."""

    def __init__(self, shell: Shell, server: ServerProcess, password: str) -> None:
        self._shell = shell
        self._server = server
        self._password = password
        self._taken = {LINK: 0, KEY: 0}

    def run(self, block: str) -> str:
        """What ``block`` prints."""
        block = block.replace("http://localhost:8000", f"http://localhost:{self._server.http_port}")
        block = block.replace("the password that the first start printed", self._password)
        place = re.search(r"the (link|key) that the server printed", block)
        if place is None:
            return self._shell.run(block)
        before, _, line = block[: place.start()].rpartition("\n")
        output = self._shell.run(before)
        printed = self._next(LINK if place[1] == "link" else KEY)
        return output + self.run(line + printed + block[place.end() :])

    def _next(self, pattern: str) -> str:
        """The first one that was not taken yet."""
        self._taken[pattern] += 1
        return self._server.wait_for_output(rf"(?:{pattern}(?s:.*?)){{{self._taken[pattern]}}}")[1]


def test_the_examples_for_the_shell(serve: Callable[..., ServerProcess], shell: Shell) -> None:
    admin = {**ADMIN, "username": "admin", "password": "no quote is in it"}
    reader = Reader(shell, serve(adminUser=admin), admin["password"])
    refused: list[str] = []
    for name in DOCUMENTS:
        blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / name).read_text(), re.DOTALL | re.MULTILINE)
        assert blocks
        for block in blocks:
            output = reader.run(block)
            assert not re.search(r"^(curl|bash|\S+: line \d+): ", output, re.MULTILINE), f"{block}\n{output}"
            refused += re.findall(r'\{"message":"((?:[^"\\]|\\.)*)","error":true', output)
    assert refused == REFUSED
