"""One measurement on a running cluster: traffic, and what the nodes used for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.nodes import Cluster
from harness.traffic import Place, Sample, Traffic

WARM_SHARE = 0.25


@dataclass(frozen=True)
class Run:
    """
    One measurement on a running cluster.

    ``homes`` are the nodes whose CPU counts. Clients at ``beside`` are connected, and nothing is sent to them.
    """

    cluster: Cluster
    homes: Sequence[int]
    places: Sequence[Place]
    message: str
    window: int
    publishers: int = 1
    beside: Sequence[Place] = ()

    async def figures(self, seconds: float) -> dict[str, Any]:
        """Raises :class:`BenchmarkError` and :class:`OSError`."""
        others = Traffic(self.beside, self.message)
        traffic = Traffic(self.places, self.message, publishers=self.publishers)
        try:
            await others.open()
            await traffic.open()
            await traffic.run(seconds * WARM_SHARE, self.window)
            writes, before = self._writes(), self._cpu()
            sample = await traffic.run(seconds, self.window)
            used = [(after - start) / 1000 for after, start in zip(self._cpu(), before, strict=True)]
            writes = self._writes() - writes
            self.cluster.check()
        finally:
            traffic.close()
            others.close()
        return {**self._per_event(sample, *used), "per_write": sample.deliveries / max(1, writes)}

    def _per_event(self, sample: Sample, redis: float, *nodes: float) -> dict[str, Any]:
        return {
            "events": sample.events,
            "seconds": sample.seconds,
            "cpu_us": sum(nodes) / sample.events,
            "nodes_us": [used / sample.events for used in nodes],
            "busiest_us": max(nodes) / sample.events,
            "redis_us": redis / sample.events,
            "per_cpu_second": sample.deliveries / max(nodes) * 1e6,
        }

    def _writes(self) -> int:
        return sum(self.cluster.nodes[home].writes() for home in self.homes)

    def _cpu(self) -> list[int]:
        """Of Redis and of each node; nothing is in flight now."""
        redis = self.cluster.redis
        nodes = [self.cluster.nodes[home].cpu_nanoseconds() for home in self.homes]
        return [redis.cpu_nanoseconds() if redis else 0, *nodes]
