"""
Let thousands of clients connect at the same moment, and watch what a hundred who are connected feel of it.

Ends with 0 if no delivery was lost and every client got in; 1 if not; 2 if it could not start.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import machine, servers
from harness.client import build
from harness.servers import HERE, ORIGIN, OURS, SERVERS, BenchmarkError, RunningServer, Server, Toolchain
from harness.subscriber import Subscriber, Tally, open_subscribers

DRAIN_SECONDS = 20.0
REPORT_SECONDS = 30.0
SPARE_DESCRIPTORS = 200
# The server pings after 30 seconds, and closes 20 seconds later whoever has not answered, which the crowd does not.
MOST_SECONDS_IN_A_CROWD = 45.0


@dataclass
class TimedTally(Tally):
    """A tally that keeps when each delivery was published, and when it came: nanoseconds of the monotonic clock."""

    deliveries: list[tuple[int, int]] = field(default_factory=list)

    def count(self, *, is_in_order: bool, sent_nanoseconds: int) -> None:
        self.deliveries.append((sent_nanoseconds, time.monotonic_ns()))
        super().count(is_in_order=is_in_order, sent_nanoseconds=sent_nanoseconds)


@dataclass
class Publishing:
    """Broadcasts of one subscriber. ``late_seconds``: by how much each missed its time, which no server can help."""

    interval: float
    published: int = 0
    late_seconds: list[tuple[int, float]] = field(default_factory=list)

    async def run(self, publisher: Subscriber) -> None:
        """Publish at the interval until cancelled."""
        start = time.monotonic()
        while True:
            due = start + self.published * self.interval
            await asyncio.sleep(due - time.monotonic())
            publisher.publish(self.published)
            self.published += 1
            self.late_seconds.append((time.monotonic_ns(), time.monotonic() - due))


@dataclass(frozen=True)
class Order:
    """
    Whether clients were answered in the order in which they called.

    ``most_overtaken``: by how many later ones the unluckiest was overtaken; ``overtaken``: how many were at all.
    """

    clients: int
    rank_correlation: float
    overtaken: int
    most_overtaken: int

    @classmethod
    def of(cls, answers: Sequence[int]) -> Order:
        """``answers`` are the places in the order of the calls, in the order of the answers."""
        seen: list[int] = []
        overtakers = []
        for number in answers:
            overtakers.append(len(seen) - bisect.bisect(seen, number))
            bisect.insort(seen, number)
        ranks = [bisect.bisect_left(seen, number) for number in answers]
        correlation = statistics.correlation(ranks, range(len(ranks))) if len(ranks) > 1 else 1.0
        return cls(len(answers), correlation, sum(map(bool, overtakers)), max(overtakers, default=0))


@dataclass
class Outcome:
    """What a storm has done. ``moments`` are its begin and end, ``crowd`` is the report of ``harness/crowd.py``."""

    clients: int
    subscribers: int
    publishing: Publishing
    tally: TimedTally
    closed: int
    moments: tuple[int, int]
    crowd: dict[str, Any]

    @property
    def expected(self) -> int:
        return self.publishing.published * self.subscribers

    @property
    def lost(self) -> int:
        return self.expected - self.tally.received

    @property
    def missing(self) -> int:
        """How many clients never got in."""
        return self.clients - len(self.crowd["answers"])

    def phases(self) -> dict[str, tuple[list[float], float]]:
        """
        For each phase the latencies in seconds, sorted, and the publisher's greatest delay.

        What was on its way when the storm began belongs to the storm.
        """
        began, ended = self.moments
        latencies: dict[str, list[float]] = {"at rest": [], "in the storm": [], "all connected": []}
        late = dict.fromkeys(latencies, 0.0)
        for sent, came in self.tally.deliveries:
            latencies[_phase(sent, came, began, ended)].append((came - sent) / 1e9)
        for moment, seconds in self.publishing.late_seconds:
            phase = _phase(moment, moment, began, ended)
            late[phase] = max(late[phase], seconds)
        return {phase: (sorted(values), late[phase]) for phase, values in latencies.items()}

    def failures(self) -> list[str]:
        """What is wrong; empty if all is well."""
        found = list(self.tally.problems)
        if self.lost or self.tally.out_of_order:
            found.append(f"{self.lost:,} deliveries lost, {self.tally.out_of_order:,} out of order")
        if self.closed:
            found.append(f"{self.closed:,} of the connected closed by the server")
        if self.missing:
            found.append(f"{self.missing:,} clients never got in")
        if self.crowd["closed"]:
            found.append(f"{self.crowd['closed']:,} clients closed after they had got in")
        return found


def _phase(sent: int, came: int, began: int, ended: int) -> str:
    if came < began:
        return "at rest"
    return "in the storm" if sent <= ended else "all connected"


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=OURS, choices=[s.name for s in SERVERS if not s.is_socketio])
    parser.add_argument("--python", default=sys.executable, help="the Python that runs users-server (this one)")
    parser.add_argument("--node-modules", type=Path, default=HERE / "node_modules", metavar="DIR")
    parser.add_argument("--build", type=Path, default=HERE / "build", metavar="DIR", help="for the compiled C programs")
    parser.add_argument("--clients", type=int, default=10_000, help="how many connect at once (10000)")
    parser.add_argument("--subscribers", type=int, default=100, help="how many are connected before (100)")
    parser.add_argument("--interval", type=float, default=0.05, help="seconds between two broadcasts (0.05)")
    parser.add_argument("--secs", type=float, default=5.0, help="how long before the storm, and after it (5)")
    parser.add_argument("--limit", type=float, default=30.0, help="how long the storm may last (30)")
    parser.add_argument("--server-core", type=int, default=0, help="the core of the server (0)")
    options = parser.parse_args(arguments)
    if min(options.clients, options.subscribers) < 1 or min(options.interval, options.secs, options.limit) <= 0:
        parser.error("--clients, --subscribers, --interval, --secs and --limit must be above 0")
    if options.secs + options.limit > MOST_SECONDS_IN_A_CROWD:
        parser.error(f"--secs and --limit together may be {MOST_SECONDS_IN_A_CROWD:.0f} at most")
    return options


@asynccontextmanager
async def crowd(port: int, options: argparse.Namespace) -> AsyncIterator[Process]:
    """Start ``harness/crowd.py``, wait until it has its sockets, and see that it ends."""
    arguments = ("-m", "harness.crowd", str(port), str(options.clients), ORIGIN, str(options.limit))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=HERE, stdin=PIPE, stdout=PIPE)
    try:
        await read_line(process, REPORT_SECONDS)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_line(process: Process, seconds: float) -> bytes:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), seconds)
    if not line:
        raise BenchmarkError("the process of the new clients has ended")
    return line


async def storm(running: RunningServer, options: argparse.Namespace) -> Outcome:
    """Broadcast at rest, in the storm, and when all are connected; wait for what is still in flight."""
    tally = TimedTally()
    async with crowd(running.port, options) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        subscribers = await open_subscribers(options.subscribers, running.port, ORIGIN, tally)
        publishing = Publishing(options.interval)
        broadcasts = asyncio.create_task(publishing.run(subscribers[0]))
        await asyncio.sleep(options.secs)
        process.stdin.write(b"go\n")
        moments = json.loads(await read_line(process, options.limit + REPORT_SECONDS))
        await asyncio.sleep(options.secs)
        broadcasts.cancel()
        if not tally.closed:
            await tally.wait_for(publishing.published * options.subscribers, DRAIN_SECONDS)
        process.stdin.close()
        report = json.loads(await asyncio.wait_for(process.stdout.read(), REPORT_SECONDS))
    closed = tally.closed
    for subscriber in subscribers:
        subscriber.abort()
    await asyncio.sleep(0)  # so that the sockets are closed before the loop is
    times = (moments["began_at"], moments["ended_at"])
    return Outcome(options.clients, options.subscribers, publishing, tally, closed, times, report)


def share(values: Sequence[float], part: float) -> str:
    """The value below which that part of the sorted ``values`` lies, in milliseconds."""
    return f"{values[min(len(values) - 1, int(len(values) * part))] * 1e3:,.1f}" if values else "–"


def tell(outcome: Outcome, failures: Sequence[str]) -> None:
    """Print the summary."""
    print(f"{outcome.subscribers:,} subscribers, a broadcast every {outcome.publishing.interval * 1e3:g} ms\n")
    print(f"{'latency, ms':<16}{'p50':>9}{'p99':>9}{'max':>9}{'deliveries':>12}{'publisher late':>16}")
    for phase, (values, late) in outcome.phases().items():
        cells = "".join(f"{share(values, part):>9}" for part in (0.5, 0.99, 1.0))
        print(f"{phase:<16}{cells}{len(values):>12,}{late * 1e3:>16,.1f}")
    print(f"\ndeliveries      {outcome.tally.received:,} of {outcome.expected:,}, lost {outcome.lost:,}")
    tell_crowd(outcome)
    for failure in failures:
        print(f"FAILED: {failure}")


def tell_crowd(outcome: Outcome) -> None:
    """Print what became of the new clients."""
    report, (began, ended) = outcome.crowd, outcome.moments
    answers, tries, held_up = report["answers"], report["tries"], report["held_up"]
    waits = sorted((report["answered"][number] - report["calls"][number]) / 1e9 for number in answers)
    at_once = sum(tries[number] == 1 and not held_up[number] for number in answers)
    print(f"new clients     {outcome.clients:,}, calls within {(report['called_at'] - began) / 1e9:.2f} s")
    print(f"in              {len(answers):,} after {(ended - began) / 1e9:.2f} s, {at_once:,} of them without a retry")
    print(f"waited, ms      p50 {share(waits, 0.5)}, p99 {share(waits, 0.99)}, max {share(waits, 1.0)}")
    print(f"retried         {sum(count > 1 for count in tries):,} clients; the kernel for {sum(held_up):,}")
    for setback, count in report["setbacks"].items():
        print(f"refused         {count:,} times: {setback}")
    tell_order("order", Order.of(answers))
    if any(held_up) or max(tries) > 1:
        tell_order("without retries", Order.of([n for n in answers if tries[n] == 1 and not held_up[n]]))


def tell_order(name: str, order: Order) -> None:
    print(
        f"{name:<16}rank correlation {order.rank_correlation:.5f}; {order.overtaken:,} of {order.clients:,} were "
        f"overtaken, by {order.most_overtaken:,} at most"
    )


def prepare(server: Server, tools: Toolchain, connections: int) -> None:
    """Raise :class:`BenchmarkError` if this machine cannot run the storm."""
    if machine.raise_descriptor_limit() < connections + SPARE_DESCRIPTORS:
        raise BenchmarkError("the limit of open files is too low for --clients and --subscribers")
    if lack := servers.missing(server, tools):
        raise BenchmarkError(f"{server.title} needs {lack}; README.md says how")
    if server.runtime == "c":
        build(tools.build)


def leave_core(core: int | None) -> None:
    """Run this process, and the crowd that it starts, on the other cores, if there are any."""
    if others := os.sched_getaffinity(0) - {core}:
        os.sched_setaffinity(0, others)


def main(arguments: Sequence[str]) -> int:
    options = parse_arguments(arguments)
    tools = Toolchain(options.python, sys.executable, options.node_modules.resolve(), options.build.resolve())
    server = next(server for server in SERVERS if server.name == options.server)
    try:
        prepare(server, tools, options.clients + options.subscribers)
        core = machine.usable_core(options.server_core)
        leave_core(core)
        with servers.running(server, tools, core) as running:
            outcome = asyncio.run(storm(running, options))
            if outcome.closed:
                outcome.tally.note(f"the end of the server's log: {running.end_of_log()}")
    except (BenchmarkError, OSError) as error:  # a TimeoutError is an OSError
        print(f"storm.py: {error}", file=sys.stderr)
        return 2
    failures = outcome.failures()
    tell(outcome, failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
