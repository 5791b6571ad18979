"""Clusters of real processes over a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.nodes import Cluster
from tests.redis_server import RedisServer, find_redis


@pytest.fixture
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own; ``indirect`` parameter True: one that keeps everything on disk."""
    server = RedisServer(find_redis(), tmp_path / "redis", is_durable=getattr(request, "param", False)).start()
    yield server
    server.kill()


@pytest.fixture
def start(redis: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Starts a cluster with so many nodes, which is stopped in order after the test."""
    clusters: list[Cluster] = []

    def make(count: int, **sections: Any) -> Cluster:
        clusters.append(Cluster(tmp_path, redis, count, **sections))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.stop()
