"""
Hold many connections for minutes, broadcast at a steady rate, and watch the server's memory and every delivery.

Ends with 0 if nothing was lost and memory did not grow more than allowed; 1 if it was, or did; 2 if it could not start.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import machine, servers
from harness.client import build
from harness.servers import HERE, ORIGIN, OURS, SERVERS, BenchmarkError, RunningServer, Server, Toolchain
from harness.subscriber import Subscriber, Tally, open_subscribers

DRAIN_SECONDS = 20.0
SPARE_DESCRIPTORS = 200
# The first samples are of a server that has just accepted everybody; what it grows then it would not grow again.
SETTLING_SHARE = 0.2


@dataclass
class Memory:
    """Samples of the server's resident memory: seconds since the start, kB."""

    start: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, int]] = field(default_factory=list)

    def take(self, running: RunningServer) -> tuple[float, int]:
        """Add a sample, and return it."""
        sample = (time.monotonic() - self.start, machine.resident_kilobytes(running.process_ids()))
        self.samples.append(sample)
        return sample

    @property
    def settled(self) -> list[tuple[float, int]]:
        """The samples without the first fifth."""
        return self.samples[int(len(self.samples) * SETTLING_SHARE) :]

    @property
    def growth_kilobytes(self) -> float:
        """The median of the last third of the settled samples less that of the first third."""
        sizes = [size for _, size in self.settled]
        third = max(1, len(sizes) // 3)
        return statistics.median(sizes[-third:]) - statistics.median(sizes[:third])

    @property
    def slope_kilobytes_per_minute(self) -> float:
        """The slope of the line that fits the settled samples best."""
        if len(self.settled) < 2:
            return 0.0
        moments, sizes = zip(*self.settled, strict=True)
        return statistics.linear_regression(moments, sizes).slope * 60


@dataclass
class Outcome:
    """What a soak has found."""

    published: int
    expected: int
    tally: Tally
    memory: Memory
    closed: int

    @property
    def lost(self) -> int:
        return self.expected - self.tally.received

    def failures(self, max_growth_kilobytes: float) -> list[str]:
        """What is wrong; empty if all is well."""
        found = list(self.tally.problems)
        if self.lost or self.tally.out_of_order:
            found.append(f"{self.lost:,} deliveries lost, {self.tally.out_of_order:,} out of order")
        if self.closed:
            found.append(f"{self.closed:,} connections closed by the server")
        if self.memory.growth_kilobytes > max_growth_kilobytes:
            growth = f"{self.memory.growth_kilobytes:,.0f} kB"
            found.append(f"memory grew by {growth}; allowed were {max_growth_kilobytes:,.0f} kB (--max-growth)")
        return found


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=OURS, choices=[s.name for s in SERVERS if not s.is_socketio])
    parser.add_argument("--python", default=sys.executable, help="the Python that runs users-server (this one)")
    parser.add_argument("--node-modules", type=Path, default=HERE / "node_modules", metavar="DIR")
    parser.add_argument("--build", type=Path, default=HERE / "build", metavar="DIR", help="for the compiled C programs")
    parser.add_argument("--connections", type=int, default=10_000, help="connections held open (10000)")
    parser.add_argument("--secs", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two broadcasts (1)")
    parser.add_argument("--sample", type=float, default=10.0, help="seconds between two looks at the memory (10)")
    parser.add_argument("--max-growth", type=float, default=4096, metavar="KB", help="growth that is no failure (4096)")
    parser.add_argument("--server-core", type=int, default=0, help="the core of the server (0)")
    options = parser.parse_args(arguments)
    if options.connections < 1 or min(options.secs, options.interval, options.sample) <= 0:
        parser.error("--connections, --secs, --interval and --sample must be above 0")
    return options


async def soak(running: RunningServer, options: argparse.Namespace) -> Outcome:
    """Open the connections, broadcast until the time is over, and wait for what is still in flight."""
    tally = Tally()
    started = time.monotonic()
    subscribers = await open_subscribers(options.connections, running.port, ORIGIN, tally)
    print(f"{len(subscribers):,} connections after {time.monotonic() - started:.1f} s", flush=True)
    memory = Memory()
    watching = asyncio.create_task(watch_memory(running, memory, tally, options.sample))
    published = await broadcast(subscribers, options, tally)
    expected = published * options.connections
    if not tally.closed:
        await tally.wait_for(expected, DRAIN_SECONDS)
    watching.cancel()
    memory.take(running)
    closed = tally.closed
    for subscriber in subscribers:
        subscriber.abort()
    await asyncio.sleep(0)  # so that the sockets are closed before the loop is
    return Outcome(published, expected, tally, memory, closed)


async def broadcast(subscribers: list[Subscriber], options: argparse.Namespace, tally: Tally) -> int:
    """Publish at the interval until the time is over, or until somebody was closed; return how many messages."""
    start = time.monotonic()
    published = 0
    while (due := published * options.interval) < options.secs and not tally.closed:
        await asyncio.sleep(start + due - time.monotonic())
        subscribers[0].publish(published)
        published += 1
    return published


async def watch_memory(running: RunningServer, memory: Memory, tally: Tally, interval: float) -> None:
    """Sample and print until cancelled."""
    while True:
        moment, kilobytes = memory.take(running)
        print(f"{moment:>6.0f} s  {kilobytes:>9,} kB  {tally.received:>12,} deliveries", flush=True)
        await asyncio.sleep(memory.start + len(memory.samples) * interval - time.monotonic())


def tell(outcome: Outcome, failures: Sequence[str]) -> None:
    """Print the summary."""
    memory = outcome.memory
    print(f"\npublished   {outcome.published:,}")
    print(f"deliveries  {outcome.tally.received:,} of {outcome.expected:,}, lost {outcome.lost:,}")
    print(f"memory      {memory.samples[0][1]:,} kB at first, {memory.samples[-1][1]:,} kB at last")
    print(f"growth      {memory.growth_kilobytes:,.0f} kB, {memory.slope_kilobytes_per_minute:,.1f} kB a minute")
    for failure in failures:
        print(f"FAILED: {failure}")


def prepare(server: Server, tools: Toolchain, connections: int) -> None:
    """Raise :class:`BenchmarkError` if this machine cannot run the soak."""
    if machine.raise_descriptor_limit() < connections + SPARE_DESCRIPTORS:
        raise BenchmarkError("the limit of open files is too low for --connections")
    if lack := servers.missing(server, tools):
        raise BenchmarkError(f"{server.title} needs {lack}; README.md says how")
    if server.runtime == "c":
        build(tools.build)


def main(arguments: Sequence[str]) -> int:
    options = parse_arguments(arguments)
    tools = Toolchain(options.python, sys.executable, options.node_modules.resolve(), options.build.resolve())
    server = next(server for server in SERVERS if server.name == options.server)
    try:
        prepare(server, tools, options.connections)
        with servers.running(server, tools, machine.usable_core(options.server_core)) as running:
            outcome = asyncio.run(soak(running, options))
            if outcome.closed:
                outcome.tally.note(f"the end of the server's log: {running.end_of_log()}")
    except (BenchmarkError, OSError) as error:  # a TimeoutError is an OSError
        print(f"soak.py: {error}", file=sys.stderr)
        return 2
    failures = outcome.failures(options.max_growth)
    tell(outcome, failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
