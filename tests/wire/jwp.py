"""A game on a server: its app, what its back end signs and pushes, and the page that receives its web hooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.redis_server import until
from tests.server_process import Answer, ServerProcess

SIGNED_FOR_SECONDS = 30


def sign(secret: str, text: str) -> str:
    return hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex().upper()


@dataclass(frozen=True)
class Game:
    """An app, and everything that its back end knows."""

    id: str
    secret: str = field(repr=False)
    api_key: str = field(repr=False)
    webhook_key: str = field(default="", repr=False)

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.id}:{self.api_key}".encode()).decode()}

    def topic(self, channel: str) -> str:
        return f"jwp:{self.id}:{channel}"

    def socket_token(self, socket_id: str, seconds: float = SIGNED_FOR_SECONDS) -> str:
        signed = f"{socket_id}:{int(time.time() + seconds)}"
        return f"{signed}:{sign(self.secret, signed)}"

    def channel_token(self, socket_id: str, channel: str, data: str | None = None) -> str:
        parts = (socket_id, channel) if data is None else (socket_id, channel, data)
        return sign(self.secret, ":".join(parts))

    def try_push(self, server: ServerProcess, channel: str, event: str, payload: Any) -> Answer:
        body = {"channel": channel, "event": event, "payload": payload}
        return server.http().request("POST", "/api/v1/push", body, headers=self.authorization)

    def push(self, server: ServerProcess, channel: str, event: str, payload: Any) -> None:
        """One message, which the server must have accepted."""
        answer = self.try_push(server, channel, event, payload)
        assert (answer.status, answer.body) == (201, {"status": "ok", "data": {}}), answer


def make_game(server: ServerProcess, name: str, **fields: Any) -> Game:
    """A new app, made by the super admin; ``fields`` as in ``POST /apps``."""
    answer = server.admin().request("POST", "/apps", {"name": name, "id": name, **fields})
    assert answer.status in (200, 201), answer
    made = answer.body["credentials"]
    return Game(name, made["secret"], made["apiKey"], made.get("webhookKey", ""))


Hook = tuple[str, str, str]
"""Event, channel and socket id."""


@dataclass(frozen=True)
class HookRequest:
    """Header names are in lower case; ``status`` is what it was answered."""

    headers: dict[str, str]
    body: bytes
    status: int


class HookPage:
    """
    A web server at the end of an app's web hooks, which keeps what it got.

    It answers everything with :attr:`status`. Use it as a context manager.
    """

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[HookRequest] = []
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = HookRequest(headers, body, page.status)
                with page._lock:
                    page.requests.append(request)
                self.send_response(request.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    @property
    def hooks(self) -> list[Hook]:
        """Those that were answered with 200, in the order in which they came, each as often as it came."""
        with self._lock:
            bodies = [json.loads(request.body) for request in self.requests if request.status == 200]
        return [(body["event"], body["channel"], body["socket_id"]) for body in bodies]

    def count(self) -> Counter[Hook]:
        return Counter(self.hooks)

    def wait_for(self, *expected: Hook, seconds: float = 10.0) -> None:
        """Until there were at least these, each as often as it is named."""
        wanted = Counter(expected)
        until(lambda: wanted <= self.count(), seconds=seconds)

    def __enter__(self) -> HookPage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def wait_until_settled(server: ServerProcess, *, seconds: float = 60.0) -> None:
    """Until the database knows that all web hooks were delivered: a server that dies before that sends them again."""
    command = [sys.executable, "-m", "users_server", "webhook", "list", "--config", "config.json"]

    def is_settled() -> bool:
        done = subprocess.run(
            command,
            cwd=server.directory,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return not done.stdout

    until(is_settled, seconds=seconds)
