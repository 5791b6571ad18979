"""A stock phoenix.js of some version, in a Node process that is driven through its pipes."""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from pathlib import Path
from typing import Any

from tests.raw_client import DEFAULT_TIMEOUT_SECONDS
from tests.server_process import ServerProcess
from tests.wire.jwp import Game
from tests.wire.node_client import NodeProcess, command

VERSIONS = ("1.4", "1.5", "1.6", "1.7", "1.8")
NEWEST = VERSIONS[-1]
FIRST_WITH_BINARY = "1.5"

FIRST_FORMAT, SECOND_FORMAT = "1.0.0", "2.0.0"

Report = dict[str, Any]


class PhoenixClient(NodeProcess):
    """
    One socket of phoenix.js ``version``, which connects at once and again whenever it was cut.

    What it reports is kept apart by kind (see ``phoenix.mjs``): :meth:`expect` takes the next one of a kind.

    Args:
        port: Of a line to the server; by default its own.
        settings: As in ``phoenix.mjs``.
    """

    def __init__(
        self,
        node: str,
        version: str,
        server: ServerProcess,
        game: Game,
        socket_id: str,
        *,
        wire_format: str = SECOND_FORMAT,
        authority: Path | None = None,
        port: int = 0,
        **settings: Any,
    ) -> None:
        url = f"{server.websocket_scheme}://localhost:{port or server.websocket_port}/socket"
        told = {"url": url, "appId": game.id, "secret": game.secret, "socketId": socket_id, "vsn": wire_format}
        arguments = [f"phoenix-{version}", json.dumps({**told, **settings})]
        super().__init__(command(node, "phoenix.mjs", *arguments), authority=authority)
        self.socket_id = socket_id
        self._game = game
        self._kept: deque[Report] = deque()

    def expect(self, kind: str, *, seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Report:
        """The next report with the key ``kind``; others that come before are kept."""
        for report in self._kept:
            if kind in report:
                self._kept.remove(report)
                return report
        deadline = time.monotonic() + seconds
        while True:
            try:
                report = self.read(max(0.01, deadline - time.monotonic()))
            except AssertionError as error:
                raise AssertionError(f"{error}: no {kind!r}, but {list(self._kept)}") from None
            if kind in report:
                return report
            self._kept.append(report)

    def kept(self, kind: str) -> list[Report]:
        """What came of this kind on the way to what was expected, and was not taken."""
        return [report for report in self._kept if kind in report]

    def join(self, channel: str, **command: Any) -> Any:
        """Join; what the server answered. ``command`` as in ``phoenix.mjs``."""
        self._say(join=channel, **command)
        report = self.expect("joined")
        assert report["joined"] == channel, report
        return report["response"]

    def join_and_fail(self, channel: str, **command: Any) -> Any:
        """A join that is refused; why."""
        self._say(join=channel, **command)
        return self.expect("refused")["response"]

    def join_present(self, channel: str, meta: Any = None, **options: bool) -> dict[str, list[dict[str, Any]]]:
        """Join as one who is listed and hears of presence; who was there before or is now."""
        wanted = {"presence_track": True, "presence_diffs": True, **options}
        self.join(channel, options=wanted, meta=meta, hasPresence=True)
        return self.read_presence()

    def read_presence(self) -> dict[str, list[dict[str, Any]]]:
        """Keys to metas, at the next sync."""
        present: dict[str, list[dict[str, Any]]] = self.expect("present")["present"]
        return present

    def wait_until_present(self, *socket_ids: str, seconds: float = DEFAULT_TIMEOUT_SECONDS) -> dict[str, Any]:
        """Until these are listed, each as often as it is named; the keys and their metas."""
        deadline = time.monotonic() + seconds
        while True:
            present: dict[str, Any] = self.expect("present", seconds=deadline - time.monotonic())["present"]
            if sorted(key for key, metas in present.items() for _ in metas) == sorted(socket_ids):
                return present

    def leave(self, channel: str) -> None:
        """Leave, and wait until the server has closed the channel."""
        self._say(leave=channel)
        assert self.expect("left")["left"] == self._game.topic(channel)

    def flicker(self, channel: str) -> None:
        """Leave and join again, listed, without a look at the answers."""
        self._say(leave=channel)
        self._say(join=channel, options={"presence_track": True})

    def push(self, channel: str, event: str, payload: Any) -> None:
        """Send an event; do not wait for an answer."""
        self._say(push=channel, event=event, payload=payload)

    def push_binary(self, channel: str, event: str, payload: bytes) -> None:
        self._say(push=channel, event=event, base64=base64.b64encode(payload).decode())

    def read_event(self, *, seconds: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[str, Any]:
        """Name and payload of the next event that it listens to; bytes for a binary one."""
        report = self.expect("event", seconds=seconds)
        return report["event"], base64.b64decode(report["base64"]) if "base64" in report else report["payload"]

    def disconnect(self) -> None:
        """In order, for good."""
        self._say(disconnect=True)
        self.expect("disconnected")
