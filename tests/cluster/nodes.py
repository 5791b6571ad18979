"""Several servers over one Redis, each behind a line of its own that a test can cut."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster.proxy import Line
from tests.raw_client import RawClient
from tests.redis_server import RedisServer, until
from tests.server_process import ServerProcess, make_config

APP = "arena"
KEPT, LOST = "kept:room", "lost:room"
"""A channel with history, and one without."""

CHANNELS = {
    "rules": [
        {"pattern": "kept:*", "historySize": 5000, "historySeconds": 300},
        {"pattern": "short:*", "historySize": 10, "historySeconds": 300},
        {"pattern": "chat:*", "historySize": 1000, "historySeconds": 300, "presence": True},
    ],
    "limits": {"recoveredPublications": 5000, "joiningPublications": 5000},
}
LEASE_SECONDS = 4.0
OUTAGE = r"(?i)redis|broker|line"
"""Log lines that a test which takes Redis away expects."""


class Node(ServerProcess):
    """One server of a cluster."""

    def __init__(self, config: dict[str, Any], directory: Path, line: Line) -> None:
        super().__init__(config, directory, arguments=())
        self.line = line

    def start(self) -> Node:
        super().start()
        return self

    def is_ready(self) -> bool:
        return self.http().get("/readyz").status == 200


class Cluster:
    """
    Nodes over ``redis`` and one SQLite file. The app :data:`APP` exists.

    ``api_key`` is the app's, ``secret`` signs tokens for it.
    """

    def __init__(self, directory: Path, redis: RedisServer, count: int, **sections: Any) -> None:
        self.redis = redis
        self.nodes: list[Node] = []
        try:
            for number in range(count):
                folder = directory / f"node{number}"
                folder.mkdir()
                line = Line(redis.port)
                config = make_config(
                    folder,
                    database={"url": f"sqlite:///{directory / 'users.db'}"},
                    broker={
                        "url": f"redis://127.0.0.1:{line.port}/0",
                        "leaseSeconds": LEASE_SECONDS,
                        "commandTimeoutSeconds": 1.5,
                        "maxReconnectSeconds": 0.5,
                        "prefix": "cluster-tests:",
                    },
                    channels=CHANNELS,
                    apps={"encryptionKeys": ["a-key-of-the-tests-that-seals-the-secrets-of-apps"]},
                    **sections,
                )
                self.nodes.append(Node(config, folder, line).start())
            made = self.nodes[0].admin().request("POST", "/apps", {"name": "Arena", "id": APP})
            assert made.status in (200, 201), made
            self.api_key: str = made.body["credentials"]["apiKey"]
            self.secret: str = made.body["credentials"]["secret"]
        except BaseException:
            self.kill()
            raise

    def watch(self, node: int, channel: str = KEPT, *, since: str | None = None) -> RawClient:
        """A watcher of ``channel`` on a node, before its first message."""
        query = f"app={APP}&channel={channel}" + (f"&since={since}" if since else "")
        return self.nodes[node].connect(f"/watch?{query}", origin=None, headers={"app-api-key": self.api_key})

    def publisher(self, node: int) -> Publisher:
        return Publisher(self.nodes[node].http_port, self.api_key)

    def publish(self, node: int, data: Any, channel: str = KEPT) -> None:
        """One publication through ``node``, which must be accepted."""
        publisher = self.publisher(node)
        publisher.publish(data, channel)
        publisher.close()

    def heal(self) -> None:
        """Mend every line, and return when every node is ready."""
        for node in self.nodes:
            node.line.mend()
        until(lambda: all(node.is_ready() for node in self.nodes), seconds=20)

    def stop(self) -> None:
        """In order; then fail for what a node did."""
        failures = []
        for node in self.nodes:
            try:
                node.stop()
            except AssertionError as error:
                failures.append(str(error))
            node.line.close()
        assert not failures, "\n".join(failures)

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
            node.line.close()


class Publisher:
    """Publishes over one HTTP connection with the app's API key. Use it in one thread."""

    def __init__(self, port: int, api_key: str) -> None:
        self._port, self._headers = port, {"app-api-key": api_key, "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def try_publish(self, data: Any, channel: str = KEPT, *, timeout: float = 20.0) -> dict[str, Any] | None:
        """The channel and position; :obj:`None` if the server did not say that it was published."""
        answered = self.post([{"channel": channel, "event": "message", "data": data}], timeout=timeout)
        return answered[0] if answered else None

    def publish(self, data: Any, channel: str = KEPT) -> dict[str, Any]:
        made = self.try_publish(data, channel)
        assert made is not None, "it was not published"
        return made

    def post(self, events: Sequence[dict[str, Any]], *, timeout: float = 20.0) -> list[dict[str, Any]] | None:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("localhost", self._port, timeout=timeout)
        try:
            self._connection.request("POST", f"/apps/{APP}/events", json.dumps(events), self._headers)
            response = self._connection.getresponse()
            body = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        if response.status == 503:
            return None
        assert response.status == 200, body
        data: list[dict[str, Any]] = body["data"]
        return data

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
