"""
What it costs that an event crosses nodes, what a second node gains, and whether many channels or apps cost anything.

Needs redis-server; starts one of its own. Ends with 0 if every run worked, whatever the figures; 1 if one failed; 2 if
nothing could be started. See README.md in this folder for what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from harness import machine
from harness.cluster_report import ONE, ONE_OVER_REDIS, SERVER, TWO, ClusterReport
from harness.nodes import (
    KEPT,
    RELAY_MESSAGE,
    SOCKET_MESSAGE,
    Cluster,
    Process,
    redis_program,
    running_nodes,
    running_redis,
)
from harness.report import Record, write_report
from harness.runs import Run, measure
from harness.servers import HERE, BenchmarkError
from harness.traffic import Place

PARTS = ("crossing", "scaling", "channels", "sockets")
FLIGHTS = ((1, 1), (16, 1), (16, 16))
"""Events in flight, and how many clients publish them in turn."""
SPARE_DESCRIPTORS = 300
NODE_SECONDS = 240.0

FULL = {"rounds": 5, "secs": 1.0}
SMOKE = {"rounds": 1, "secs": 0.1}
SUBSCRIBERS = {False: (1_000, 2_000), True: (20,)}
CHANNELS = {False: (10, 1_000, 100_000), True: (10, 100)}
SERVER_CHANNELS = {False: (10, 1_000, 10_000), True: (10, 50)}
SERVER_APPS = {False: (10, 1_000), True: (10, 20)}

WINDOWS = (1, 16)
"""Events in flight when subscribers are many; as many clients publish them in turn."""

ONE_APP, APP_EACH = "in one app", "an app each"


@dataclass(frozen=True)
class Work:
    """An event: what its clients say, and the relay channel that they are in; empty for the Users Socket API."""

    title: str
    message: str
    channel: str = ""

    def place(self, cluster: Cluster, node: int) -> Place:
        return cluster.relay(node, self.channel) if self.channel else cluster.place(node)


WORKS = (
    Work("Users Socket API broadcast", SOCKET_MESSAGE),
    Work("relay message", RELAY_MESSAGE, "plain:room"),
    Work("relay message, with history", RELAY_MESSAGE, f"{KEPT}:room"),
)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with defaults that depend on ``--smoke``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="check the harness in some seconds; measures nothing")
    parser.add_argument("--only", metavar="PARTS", help=f"of {', '.join(PARTS)}, separated by commas")
    parser.add_argument("--rounds", type=int, help="how often everything is run (5)")
    parser.add_argument("--secs", type=float, help="measured seconds of each run, at most 60 (1)")
    parser.add_argument("--output", type=Path, default=HERE / "results", metavar="DIR", help="where the results go")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs users-server (this one)")
    options = parser.parse_args(arguments)
    for name, value in (SMOKE if options.smoke else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.parts = options.only.split(",") if options.only else list(PARTS)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"--only: no part {unknown[0]}; there are {', '.join(PARTS)}")
    if options.rounds < 1 or not 0 < options.secs <= 60:
        parser.error("--rounds must be 1 or more, --secs at most 60")
    return options


class Bench:
    """All runs; ``descriptors`` is the limit of open files."""

    def __init__(self, options: argparse.Namespace, descriptors: int) -> None:
        self._options = options
        self._most_connections = descriptors - SPARE_DESCRIPTORS

    def runs(self) -> Iterator[Record]:
        """One record for each run, with its figures or an error."""
        makers = {
            "crossing": self._crossing,
            "scaling": self._scaling,
            "channels": self._channels,
            "sockets": self._sockets,
        }
        for part in self._options.parts:
            yield from makers[part]()

    def _crossing(self) -> Iterator[Record]:
        """Nodes on one core, Redis and the clients on the other."""
        nodes_core, other_core = machine.usable_core(0), machine.usable_core(1)
        with (
            machine.pinned(other_core),
            running_redis(other_core) as redis,
            running_nodes(self._options.python, [nodes_core], None) as alone,
            running_nodes(self._options.python, [nodes_core] * 2, redis) as joined,
        ):
            cases = ((ONE, alone, (0, 0)), (ONE_OVER_REDIS, joined, (0, 0)), (TWO, joined, (0, 1)))
            for number in self._rounds():
                for work in WORKS:
                    for window, publishers in FLIGHTS:
                        flight = f"{window} by one" if publishers == 1 else f"{window} by {publishers}"
                        for case, cluster, homes in cases:
                            places = [work.place(cluster, home) for home in (*homes[:1] * publishers, homes[1])]
                            yield self._record(
                                {"part": "crossing", "work": work.title, "flight": flight, "case": case},
                                number,
                                Run(cluster, sorted(set(homes)), places, work.message, window, publishers),
                            )

    def _scaling(self) -> Iterator[Record]:
        """
        Nodes on one core, Redis and the clients on the other: so a node's CPU time is its own work, and not that of a
        client beside it.
        """
        nodes_core, other_core = machine.usable_core(0), machine.usable_core(1)
        with (
            machine.pinned(other_core),
            running_redis(other_core) as redis,
            running_nodes(self._options.python, [nodes_core], None) as alone,
            running_nodes(self._options.python, [nodes_core] * 2, redis) as joined,
        ):
            cases = ((ONE, alone, [0]), (ONE_OVER_REDIS, joined, [0]), (TWO, joined, [0, 1]))
            for number, subscribers, window in product(self._rounds(), SUBSCRIBERS[self._options.smoke], WINDOWS):
                for case, cluster, homes in cases:
                    places = [cluster.place(homes[i % len(homes)]) for i in range(subscribers)]
                    yield self._record(
                        {"part": "scaling", "subscribers": subscribers, "window": window, "case": case},
                        number,
                        Run(cluster, homes, places, SOCKET_MESSAGE, window, window),
                    )

    def _channels(self) -> Iterator[Record]:
        """Many channels in one process, without sockets."""
        with running_redis(machine.usable_core(1)) as redis:
            for number in self._rounds():
                for where, arguments in (("in one process, memory://", []), ("in one process, redis://", [redis])):
                    for count in CHANNELS[self._options.smoke]:
                        yield self._in_process(where, count, 1, number, *arguments)
                        yield self._in_process(where, count, count, number, *arguments)

    def _sockets(self) -> Iterator[Record]:
        """As many channels of a real server as there are descriptors for."""
        nodes_core, other_core = machine.usable_core(0), machine.usable_core(1)
        with (
            machine.pinned(other_core),
            running_redis(other_core) as redis,
            running_nodes(self._options.python, [nodes_core], redis) as cluster,
        ):
            apps = cluster.make_apps(max(SERVER_APPS[self._options.smoke]))
            for number in self._rounds():
                yield from self._on_a_server(number, cluster, apps)

    def _on_a_server(self, number: int, cluster: Cluster, apps: Sequence[tuple[str, str]]) -> Iterator[Record]:
        """A client in each channel, and one of them sends."""
        for count in SERVER_CHANNELS[self._options.smoke]:
            places = [cluster.relay(0, f"plain:{i}") for i in range(min(count, self._most_connections))]
            yield self._one_of(number, cluster, ONE_APP, places)
        for count in SERVER_APPS[self._options.smoke]:
            places = [cluster.relay(0, "plain:room", app, secret) for app, secret in apps[:count]]
            yield self._one_of(number, cluster, APP_EACH, places)

    def _one_of(self, number: int, cluster: Cluster, spread: str, places: Sequence[Place]) -> Record:
        head = {"part": "channels", "where": SERVER, "spread": spread, "channels": len(places)}
        run = Run(cluster, [0], places[:1], RELAY_MESSAGE, 16, beside=places[1:])
        record = self._record(head, number, run)
        return record if "error" in record else {**record, "few": record["cpu_us"]}

    def _in_process(self, where: str, channels: int, apps: int, number: int, redis: Process | None = None) -> Record:
        spread = ONE_APP if apps == 1 else APP_EACH
        head = {"part": "channels", "where": where, "spread": spread, "channels": channels, "round": number}
        arguments = [str(channels), str(apps), str(self._options.secs)]
        if redis is not None:
            arguments += [f"redis://127.0.0.1:{redis.port}/0", f"bench-{channels}-{apps}-{number}:"]
        core = machine.usable_core(0)
        try:
            process = subprocess.run(
                [self._options.python, "-m", "harness.channels", *arguments],
                cwd=HERE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent)))},
                capture_output=True,
                text=True,
                timeout=NODE_SECONDS,
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
            )
        except subprocess.TimeoutExpired:
            return {**head, "error": f"it did not end within {NODE_SECONDS:.0f} s"}
        if process.returncode:
            return {**head, "error": process.stderr.strip()[-1000:]}
        return {**head, **json.loads(process.stdout), "load": os.getloadavg()[0]}

    def _rounds(self) -> range:
        return range(1, self._options.rounds + 1)

    def _record(self, head: Record, number: int, run: Run) -> Record:
        head = {**head, "round": number}
        try:
            return {**head, **asyncio.run(run.figures(self._options.secs)), "load": os.getloadavg()[0]}
        except (BenchmarkError, OSError) as error:  # a TimeoutError is an OSError
            return {**head, "error": str(error) or type(error).__name__}


def tell(record: Record, rounds: int) -> None:
    """Print one line about a run."""
    names = ("part", "work", "where", "spread", "channels", "subscribers", "flight", "window", "case")
    start = f"round {record['round']}/{rounds}  " + ", ".join(str(record[name]) for name in names if name in record)
    if "error" in record:
        print(f"{start}: FAILED: {record['error']}", flush=True)
        return
    keys = ("per_cpu_second",) if record["part"] == "scaling" else ("cpu_us", "few", "all")
    figures = "  ".join(f"{key} {record[key]:,.1f}" for key in keys if key in record)
    print(f"{start}: {figures}  (load {record['load']:.1f})", flush=True)


def write_results(options: argparse.Namespace, records: Sequence[Record], started: datetime) -> str:
    """Write cluster.json and cluster.md; return the Markdown."""
    report = ClusterReport(records)
    chosen = {name: getattr(options, name) for name in ("rounds", "secs", "smoke", "parts")}
    return write_report(options.output, "cluster", report, records, started=started, options=chosen)


def main(arguments: Sequence[str]) -> int:
    options = parse_arguments(arguments)
    if redis_program() is None:
        print("cluster.py: redis-server is needed (apt install redis-server)", file=sys.stderr)
        return 2
    started = datetime.now(UTC)
    return measure(
        "cluster.py",
        Bench(options, machine.raise_descriptor_limit()).runs(),
        tell=lambda record: tell(record, options.rounds),
        write=lambda records: f"{write_results(options, records, started)}\nwritten to {options.output}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
