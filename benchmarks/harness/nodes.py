"""Nodes of one cluster, the Redis between them, and the apps in it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness.machine import cpu_nanoseconds, process_ids
from harness.servers import HERE, START_SECONDS, BenchmarkError, end_of_log, free_ports, stop, wait_until_accepted
from harness.traffic import MARK, Place

ADMIN = {"username": "bench", "email": "bench@example.com", "password": "the password of the benchmark"}
RELAY_SECRET = "a secret of the benchmark, longer than 32 bytes"
KEPT = "kept"
"""The kind of relay channels that have a history."""

PHOENIX_SECONDS = 45
"""How long a socket token of a Phoenix client holds; a server takes no more than 60."""

SOCKET_MESSAGE = f'{{"eventType":10,"broadcast":true,"message":"{MARK.decode()}"}}'
RELAY_MESSAGE = f'{{"data":{{"text":"{MARK.decode()}"}}}}'


@dataclass(frozen=True)
class Process:
    """A program that was started, and listens."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    http_port: int = 0

    def cpu_nanoseconds(self) -> int:
        """What it and its children have used so far."""
        return cpu_nanoseconds(process_ids(self.process.pid))

    def writes(self) -> int:
        """How often it has written deliveries to a client, one or many at once, as its metrics say."""
        connection = http.client.HTTPConnection("localhost", self.http_port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/metrics")
            found = re.search(
                r"^users_server_delivery_writes_total (\S+)", connection.getresponse().read().decode(), re.M
            )
        finally:
            connection.close()
        if found is None:
            raise BenchmarkError("the server's metrics do not tell its writes")
        return int(float(found[1]))

    def check(self) -> None:
        """Raise :class:`BenchmarkError`, with the end of its log, if it has ended by itself."""
        if self.process.poll() is not None:
            raise BenchmarkError(f"a server ended with status {self.process.returncode}:\n{end_of_log(self.log)}")


@dataclass(frozen=True)
class Cluster:
    """What was started. ``redis`` is :obj:`None` for a node that needs none."""

    nodes: tuple[Process, ...]
    redis: Process | None

    def place(self, node: int) -> Place:
        """A client of the Users Socket API on that node: its broadcasts go to all others."""
        return Place(self.nodes[node].port)

    def relay(self, node: int, channel: str, app: str = "", secret: str = RELAY_SECRET) -> Place:
        """A client of the relay in one channel of ``app``, or of the default app."""
        path = f"/relay/{app}" if app else "/relay"
        # recover=1 makes the relay say when the subscription is live
        query = f"token={relay_token(channel, secret)}&recover=1"
        return Place(self.nodes[node].port, f"{path}?{query}", b'"type":"subscribed"')

    def phoenix(self, node: int, channel: str, app: str, secret: str, *, wire_format: str = "2.0.0") -> Place:
        """A Phoenix client in one channel of ``app``. It is let in for less than a minute from now."""
        signed = f"bench:{int(time.time()) + PHOENIX_SECONDS}"
        query = {"app_id": app, "auth": f"{signed}:{_signature(signed, secret)}", "vsn": wire_format}
        topic, join = f"jwp:{app}:{channel}", {"auth": _signature(f"bench:{channel}", secret)}
        message: Any = ["1", "1", topic, "phx_join", join]
        if wire_format < "2":
            message = {"topic": topic, "event": "phx_join", "payload": join, "ref": "1"}
        path = f"/socket/websocket?{urlencode(query)}"
        return Place(self.nodes[node].port, path, b'"status":"ok"', json.dumps(message))

    def check(self) -> None:
        """Raise :class:`BenchmarkError` if something of it has ended."""
        for process in (*self.nodes, *([self.redis] if self.redis else [])):
            process.check()

    def make_apps(self, count: int) -> list[tuple[str, str]]:
        """Make apps over HTTP; their ids and secrets."""
        made = []
        admin = http.client.HTTPConnection("localhost", self.nodes[0].http_port, timeout=START_SECONDS)
        try:
            _, headers = _ask(admin, "/users/login", {name: ADMIN[name] for name in ("username", "password")}, {})
            cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
            for number in range(count):
                answer, _ = _ask(admin, "/apps", {"name": f"Number {number}", "id": f"bench-{number}"}, cookie)
                made.append((f"bench-{number}", str(answer["credentials"]["secret"])))
        except (OSError, http.client.HTTPException, KeyError) as error:
            raise BenchmarkError(f"the server makes no apps: {error!r}") from error
        finally:
            admin.close()
        return made


def _ask(
    connection: http.client.HTTPConnection, path: str, body: object, headers: dict[str, str]
) -> tuple[Any, dict[str, str]]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status not in (200, 201):
        raise BenchmarkError(f"POST {path}: {response.status} {answer}")
    return answer, {name.lower(): value for name, value in response.getheaders()}


def relay_token(channel: str, secret: str) -> str:
    """A JWT that opens ``channel`` of the app with this secret, for a day."""
    now = int(time.time())
    claims = {"id": 1, "name": "bench", "channel": channel, "iat": now, "exp": now + 86_400}
    signed = b".".join(_part(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return b".".join((signed, _part(hmac.digest(secret.encode(), signed, hashlib.sha256)))).decode()


def _signature(text: str, secret: str) -> str:
    return hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex().upper()


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def redis_program() -> str | None:
    """The redis-server of this machine."""
    return shutil.which(os.environ.get("USERS_SERVER_TEST_REDIS", "redis-server"))


@contextmanager
def running_redis(core: int | None) -> Iterator[Process]:
    """
    A Redis of our own, which writes nothing to a disk.

    Raises:
        BenchmarkError: If there is none, or it does not start.
    """
    program = redis_program()
    if program is None:
        raise BenchmarkError("redis-server is needed (apt install redis-server)")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        (port,) = free_ports(1)
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly"]
        with _started([*command, "no"], Path(folder), core, port) as redis:
            yield redis


@contextmanager
def running_nodes(python: str, cores: Sequence[int | None], redis: Process | None) -> Iterator[Cluster]:
    """
    One node for each of ``cores``, pinned to it, over one database; joined by ``redis`` if there is one.

    Raises:
        BenchmarkError: If one does not start.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, ExitStack() as stack:
        nodes = []
        for number, core in enumerate(cores):
            port, http_port = free_ports(2)
            own = Path(folder, f"node{number}")
            own.mkdir()
            config = _config(Path(folder), port, http_port, redis)
            (own / "config.json").write_text(json.dumps(config), encoding="utf-8")
            command = [python, "-m", "users_server", "serve", "--config", str(own / "config.json")]
            nodes.append(stack.enter_context(_started(command, own, core, port, http_port)))
        yield Cluster(tuple(nodes), redis)


def _config(folder: Path, port: int, http_port: int, redis: Process | None) -> dict[str, Any]:
    return {
        "http": {"port": http_port},
        "websocket": {
            "port": port,
            "approvedSocketDomains": ["^https?://localhost(:[0-9]+)?$"],
            "messagesPerSecond": 0,
            "maxConnections": 0,
            "maxConnectionsPerAddress": 0,
            # no client here answers a ping, and no run is so long
            "pingIntervalSeconds": 600,
        },
        "database": {"url": f"sqlite:///{folder / 'users.db'}"},
        "broker": {
            "url": f"redis://127.0.0.1:{redis.port}/0" if redis else "memory://",
            # a cluster of an earlier run in this Redis is another one
            "prefix": f"bench-{folder.name}:",
        },
        "adminUser": ADMIN,
        "apps": {"encryptionKeys": ["a-key-of-the-benchmark-that-seals-the-secrets-of-its-apps"]},
        "channels": {"rules": [{"pattern": f"{KEPT}:*", "historySize": 100, "historySeconds": 300}]},
        "protocols": {"relay": {"secret": RELAY_SECRET}},
        "logging": {"level": "warning"},
    }


@contextmanager
def _started(
    command: Sequence[str], folder: Path, core: int | None, port: int, http_port: int = 0
) -> Iterator[Process]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
    try:
        started = Process(process, port, log, http_port)
        wait_until_accepted(port, started.check, log, "a server")
        yield started
    finally:
        stop(process)
