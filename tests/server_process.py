"""The real server as a process of its own, and what a test says to it over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.raw_client import DEFAULT_TIMEOUT_SECONDS, RawClient

START_TIMEOUT_SECONDS = 40.0

API_KEY = "an-api-key-for-the-tests"
TOKEN_SECRET = "a secret of the tests, longer than thirty-two bytes"
ADMIN = {"username": "chief", "email": "chief@example.com", "password": "the chief's own password"}
ORIGIN = "http://localhost:3000"
EVIL_ORIGIN = "https://evil.example"

APPROVED_DOMAINS = [
    "localhost",
    "^ws://www.webinate.net:123$",
    "^webinate\\.net:80$",
    "^example\\.com$",
    "^.+\\.example\\.com$",
    "^example\\.org",
    "^.+\\.example\\.org",
]
"""The seed's own list."""

PROBLEM = re.compile(
    r'Traceback \(most recent|"level": ?"(?:error|critical)"|\[(?:error|critical)\s*\]|\b(?:ERROR|CRITICAL)\b'
    r"|was never awaited|was never retrieved|was destroyed but|ResourceWarning|RuntimeWarning"
)


def make_config(directory: Path, **sections: Any) -> dict[str, Any]:
    """A config for tests in ``directory``; a section given as an object is merged over the one here."""
    config: dict[str, Any] = {
        "host": "localhost",
        "http": {"port": 0},
        "websocket": {
            "port": 0,
            "approvedSocketDomains": APPROVED_DOMAINS,
            "socketApiKey": API_KEY,
            "messagesPerSecond": 0,
        },
        "database": {"url": f"sqlite:///{directory / 'users.db'}"},
        "adminUser": dict(ADMIN),
        "tokens": {"keys": [{"kid": "tests", "algorithm": "HS256", "secret": TOKEN_SECRET}]},
        "logging": {"level": "info", "format": "json"},
        "shutdownSeconds": 5,
    }
    for name, value in sections.items():
        if isinstance(value, dict) and isinstance(config.get(name), dict):
            config[name] = {**config[name], **value}
        else:
            config[name] = value
    return config


class Output:
    """The lines of a stream, collected by a thread of its own."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._stream = stream
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, pattern: str, timeout: float) -> re.Match[str] | None:
        """The first match in what has come and what will come; :obj:`None` if the stream ends or the time is over."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                match = re.search(pattern, "".join(self._lines), re.IGNORECASE | re.MULTILINE)
                left = deadline - time.monotonic()
                if match or self._is_over or left <= 0:
                    return match
                self._changed.wait(left)

    def close(self) -> None:
        self._thread.join()
        self._stream.close()


class ServerProcess:
    """
    ``users-server serve`` on free ports.

    Its log is watched: :meth:`check_log` fails for a record or warning that nobody expected. ``allowed_problems`` are
    patterns of lines that a test provokes.

    Args:
        directory: Where the config file goes, and the process runs.
        arguments: More arguments of ``serve``.
        authority: The certificate to trust; makes the clients speak TLS.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        directory: Path,
        *,
        arguments: Sequence[str] = ("--conformance",),
        authority: Path | None = None,
    ) -> None:
        self.config = dict(config)
        self.directory = directory
        self.arguments = tuple(arguments)
        self.tls = ssl.create_default_context(cafile=str(authority)) if authority else None
        self.allowed_problems: list[str] = []
        self._checked = 0
        self._has_ended = True
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> ServerProcess:
        """Start, or start again, and return when it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "config.json"
        path.write_text(json.dumps(self.config), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "users_server", "serve", "--config", str(path), *self.arguments],
            cwd=self.directory,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
                "PYTHONUNBUFFERED": "1",
                "PYTHONWARNINGS": "default::ResourceWarning",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert process.stdout
        assert process.stderr
        self._process, self._checked, self._has_ended = process, 0, False
        self._stdout, self._stderr = Output(process.stdout), Output(process.stderr)
        try:
            self._learn_ports()
        except BaseException:
            self.kill()
            raise
        return self

    def _learn_ports(self) -> None:
        websocket = self._stdout.wait_for(r"\b(wss?)://\S*?:(\d+)", START_TIMEOUT_SECONDS)
        web = websocket and self._stdout.wait_for(r"\b(https?)://\S*?:(\d+)", START_TIMEOUT_SECONDS)
        assert websocket, f"the server printed no WebSocket address:\n{self.log}"
        assert web, f"the server printed no HTTP address:\n{self.log}"
        self.websocket_scheme, self.websocket_port = websocket[1], int(websocket[2])
        self.http_scheme, self.http_port = web[1], int(web[2])
        health = self.http().get("/healthz")
        assert health.status == 200, f"/healthz answered {health}:\n{self.log}"

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return f"{self._stdout.text}{self._stderr.text}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_for_log(self, pattern: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> re.Match[str]:
        match = self._stderr.wait_for(pattern, timeout)
        assert match, f"nothing like {pattern!r} was logged:\n{self.log}"
        return match

    def wait_for_output(self, pattern: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> re.Match[str]:
        """In what it prints on standard output, such as the mails of the console transport."""
        match = self._stdout.wait_for(pattern, timeout)
        assert match, f"nothing like {pattern!r} was printed:\n{self.log}"
        return match

    def check_log(self) -> None:
        """Fail for problems in what was printed since the last check."""
        text = self.log
        lines = text[self._checked :].splitlines()
        self._checked = len(text)
        found = [
            line
            for line in lines
            if PROBLEM.search(line) and not any(re.search(pattern, line) for pattern in self.allowed_problems)
        ]
        assert not found, "the server logged:\n" + text

    def send_signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM and do not wait."""
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 20.0) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process
        code = self._process.wait(timeout)
        self._has_ended = True
        self._stdout.close()
        self._stderr.close()
        return code

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self._process:
            self._process.kill()
            self.wait()

    def stop(self) -> None:
        """End it as an operator does, unless the test has ended it, and check how it went."""
        if self._has_ended:
            return
        assert self.is_running, f"the server has ended by itself:\n{self.log}"
        self.terminate()
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end after SIGTERM:\n{self.log}") from None
        assert code == 0, f"exit code {code}:\n{self.log}"
        self.check_log()

    # Clients

    def dial(self, **options: Any) -> RawClient:
        """A socket to the WebSocket port, before its handshake."""
        return RawClient((options.pop("host", "localhost"), self.websocket_port), tls=self.tls, **options)

    def connect(
        self,
        path: str = "/",
        *,
        origin: str | None = ORIGIN,
        headers: Mapping[str, str | None] | None = None,
        cookie: str | None = None,
        trailing: bytes = b"",
        **options: Any,
    ) -> RawClient:
        """A client after its handshake, by default from an approved origin."""
        client = self.dial(**options)
        extra = {"Origin": origin, "Cookie": f"SID={cookie}" if cookie else None, **(headers or {})}
        try:
            client.handshake(path, headers=extra, trailing=trailing)
        except BaseException:
            client.close()
            raise
        return client

    def http(self) -> UsersClient:
        """A new HTTP client without a login."""
        return UsersClient(self.http_port, self.tls)

    def admin(self) -> UsersClient:
        """An HTTP client that is logged in as the super admin."""
        client = self.http()
        client.login(ADMIN["username"], ADMIN["password"])
        return client


@dataclass(frozen=True)
class Answer:
    """What HTTP answered. Header names are in lower case; ``body`` is JSON where the answer said so, else text."""

    status: int
    headers: Mapping[str, str]
    body: Any


class UsersClient:
    """One person's HTTP client: keeps the cookie ``SID``, speaks JSON, opens a connection for each request."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls
        self.cookie: str | None = None

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Answer:
        extra = dict(headers or {})
        if self.cookie:
            extra["Cookie"] = f"SID={self.cookie}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            extra["Content-Type"] = "application/json"
        with contextlib.closing(self._open(timeout)) as connection:
            connection.request(method, path, payload, extra)
            response = connection.getresponse()
            content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        match = re.search(r"(?:^|,\s*)SID=([^;]*)", found.get("set-cookie", ""))
        if match:
            self.cookie = match[1].strip('"') or None
        is_json = "json" in found.get("content-type", "")
        return Answer(response.status, found, json.loads(content) if is_json else content.decode("utf-8", "replace"))

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self.tls:
            return http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection("localhost", self.port, timeout=timeout)

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def login(self, username: str, password: str) -> Answer:
        answer = self.request("POST", "/users/login", {"username": username, "password": password})
        assert answer.status == 200, answer
        assert self.cookie, answer
        return answer

    def create(self, username: str, *, password: str = "a password", privileges: int = 3) -> Answer:
        """Make an account, as an admin."""
        body = {
            "username": username,
            "email": f"{username}@example.com",
            "password": password,
            "privileges": privileges,
        }
        answer = self.request("POST", "/users", body)
        assert answer.status in (200, 201), answer
        return answer
