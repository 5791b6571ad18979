"""A WebSocket client of another make: a Node process that is driven through its pipes."""

from __future__ import annotations

import base64
import functools
import json
import os
import queue
import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.raw_client import DEFAULT_TIMEOUT_SECONDS

FOLDER = Path(__file__).parent / "node"
FIRST_WITH_WEBSOCKET = 22


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


class NodeClient:
    """
    A client made with ``library``: ``ws``, ``undici`` (a browser's WebSocket, with headers) or ``node`` (its own).

    Use it as a context manager.
    """

    def __init__(
        self, node: str, library: str, url: str, headers: Mapping[str, str], *, authority: Path | None = None
    ) -> None:
        self._reports: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._process = subprocess.Popen(
            command(node, "client.mjs", library, url, json.dumps(dict(headers))),
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

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(self, *exception: object) -> None:
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

    def send(self, text: str) -> None:
        self._say(send=text)

    def send_event(self, **event: Any) -> None:
        self.send(json.dumps(event))

    def send_binary(self, payload: bytes) -> None:
        self._say(sendBase64=base64.b64encode(payload).decode())

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        self._say(close=[code, reason])

    def read(self) -> dict[str, Any]:
        """The next thing that the library reported."""
        try:
            found = self._reports.get(timeout=DEFAULT_TIMEOUT_SECONDS)
        except queue.Empty:
            raise AssertionError("the Node client reported nothing in time") from None
        assert found is not None, "the Node client has ended"
        return found

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
