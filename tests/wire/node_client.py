"""A WebSocket client of another make: a Node process that is driven through its pipes."""

from __future__ import annotations

import base64
import functools
import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.missing import missing
from tests.raw_client import DEFAULT_TIMEOUT_SECONDS

FOLDER = Path(__file__).parent / "node"
FIRST_WITH_WEBSOCKET = 22


def find_node() -> str:
    """Node, with the packages installed that package.json pins. Skips the test where there is none; on CI it fails."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        missing("Node.js and npm are not installed")
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    # an alias is written npm:PACKAGE@VERSION
    if any(_installed(name) != version.rpartition("@")[2] for name, version in wanted.items()):
        result = subprocess.run([npm, "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=300)
        if result.returncode:
            missing(f"npm ci failed: {result.stderr.strip()[-500:]}")
    return program


def _installed(name: str) -> str | None:
    try:
        package = (FOLDER / "node_modules" / name / "package.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return str(json.loads(package)["version"])


@functools.cache
def node_version(node: str) -> int:
    """The major version of the program ``node``."""
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30)
    match = re.match(r"v(\d+)\.", found.stdout)
    assert match, found.stdout
    return int(match[1])


def command(node: str, script: str, *arguments: str) -> list[str]:
    """The command line for one of our scripts, with Node's own WebSocket where it still is behind a flag."""
    flags = [] if node_version(node) >= FIRST_WITH_WEBSOCKET else ["--experimental-websocket", "--no-warnings"]
    return [node, *flags, str(FOLDER / script), *arguments]


def environment(authority: Path | None) -> dict[str, str]:
    """The environment for Node; ``authority`` is a certificate that it shall trust."""
    return {**os.environ, **({"NODE_EXTRA_CA_CERTS": str(authority)} if authority else {})}


class NodeProcess:
    """
    A script that takes JSON commands line by line and reports in the same way.

    Use it as a context manager.
    """

    def __init__(self, command_line: Sequence[str], *, authority: Path | None = None) -> None:
        self._reports: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._process = subprocess.Popen(
            command_line,
            env=environment(authority),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._reports.put(json.loads(line))
        self._reports.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as a crash would: its connections are cut."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._process.stdout.close()
        self._process.stdin.close()

    def _say(self, **what: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def read(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> dict[str, Any]:
        """The next thing that was reported."""
        try:
            found = self._reports.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("the Node client reported nothing in time") from None
        assert found is not None, "the Node client has ended"
        return found


class NodeClient(NodeProcess):
    """A client of ``library``: ``ws``, ``undici`` (a browser's WebSocket, with headers) or ``node`` (its own)."""

    def __init__(
        self, node: str, library: str, url: str, headers: Mapping[str, str], *, authority: Path | None = None
    ) -> None:
        super().__init__(
            command(node, "client.mjs", library, url, json.dumps(dict(headers))),
            authority=authority,
        )

    def send(self, text: str) -> None:
        self._say(send=text)

    def send_event(self, **event: Any) -> None:
        self.send(json.dumps(event))

    def send_binary(self, payload: bytes) -> None:
        self._say(sendBase64=base64.b64encode(payload).decode())

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        self._say(close=[code, reason])

    def wait_open(self) -> str:
        """The extensions that were agreed."""
        found = self.read()
        assert "open" in found, found
        return str(found["open"])

    def read_event(self) -> dict[str, Any]:
        found = self.read()
        assert "message" in found, found
        event = json.loads(found["message"])
        assert isinstance(event, dict)
        return event

    def read_close(self) -> tuple[int, str]:
        """Code and reason of the close that must come now, as the library tells them, maybe after an error."""
        found = self.read()
        if "error" in found:
            found = self.read()
        assert "close" in found, found
        code, reason = found["close"]
        return code, reason
