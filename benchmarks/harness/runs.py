"""Measurements on a running cluster: traffic, and what the nodes used for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.nodes import Cluster
from harness.report import Record
from harness.servers import BenchmarkError
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


def measure(
    program: str, runs: Iterable[Record], *, tell: Callable[[Record], None], write: Callable[[Sequence[Record]], str]
) -> int:
    """
    Make all ``runs``; what was measured is written and printed even if it ends early.

    The exit status: 0 if every run worked, 1 if one failed, 2 if nothing could be started.
    """
    records: list[Record] = []
    try:
        for record in runs:
            records.append(record)
            tell(record)
    except (BenchmarkError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1 if records else 2
    finally:
        if records:
            print(f"\n{write(records)}", flush=True)
    return 1 if any("error" in record for record in records) else 0
