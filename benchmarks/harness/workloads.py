"""
The workloads. Each is what the load client is told, and which of its figures is the one to compare.

A group is what its workloads have in common: ``fanout``, ``sweep``, ``echo``, ``idle``, ``connect``, ``stalled``.
"""

from __future__ import annotations

from dataclasses import dataclass

SWEEP = (10, 30, 100, 300, 1000, 3000, 10000)
SMOKE_SWEEP = (10, 30)

DELIVERY, MEMORY, CONNECTION, LATENCY = "cpu_us_per_delivery", "kb_per_connection", "cpu_us_per_connection", "p99_us"
UNITS = {DELIVERY: "µs", MEMORY: "kB", CONNECTION: "µs", LATENCY: "µs"}


@dataclass(frozen=True)
class Workload:
    """
    One workload.

    ``figure`` names the result's key that is compared. ``arguments`` come last on the client's command line, and so
    override what every run is told. ``has_traffic`` tells whether messages are delivered.
    """

    name: str
    group: str
    title: str
    connections: int
    arguments: tuple[str, ...]
    figure: str = DELIVERY

    @property
    def has_traffic(self) -> bool:
        return self.group not in ("idle", "connect")


def fanout(name: str, group: str, connections: int, window: int) -> Workload:
    flight = "one event" if window == 1 else f"{window} events"
    title = f"{connections:,} subscribers, {flight} in flight"
    return Workload(name, group, title, connections, ("--mode", "fanout", "--window", str(window)))


def stalled(name: str, connections: int, count: int, rate: int, *more: str) -> Workload:
    title = f"{count} of {connections} stalled, {rate:,} messages of 4 kB a second"
    arguments = ("--mode", "fanout", "--size", "4096", "--rate", str(rate), "--stalled", str(count))
    return Workload(name, "stalled", title, connections, (*arguments, "--drain-secs", "5", *more), LATENCY)


def idle(connections: int) -> Workload:
    title = f"memory of an idle connection, {connections:,} connected"
    return Workload("idle", "idle", title, connections, ("--mode", "idle", "--concurrency", "128"), MEMORY)


def connect(connections: int, warm: int) -> Workload:
    arguments = ("--mode", "connect", "--warm-connections", str(warm))
    return Workload("connect", "connect", "CPU to accept a connection", connections, arguments, CONNECTION)


def echo(connections: int) -> Workload:
    return Workload("echo", "echo", f"echo, {connections} connections", connections, ("--mode", "echo"))


def all_workloads(*, smoke: bool) -> list[Workload]:
    """Every workload; for a smoke run the same ones with few connections, and the stalled ones last."""
    if smoke:
        return [
            fanout("fanout-100", "fanout", 10, 1),
            fanout("fanout-1000", "fanout", 30, 16),
            *(fanout(f"sweep-{count}", "sweep", count, 16) for count in SMOKE_SWEEP),
            echo(5),
            idle(40),
            connect(40, 10),
            stalled("unstalled", 8, 0, 100),
            stalled("stalled", 8, 2, 100),
        ]
    return [
        fanout("fanout-100", "fanout", 100, 1),
        fanout("fanout-1000", "fanout", 1000, 16),
        *(fanout(f"sweep-{count}", "sweep", count, 16) for count in SWEEP),
        echo(50),
        idle(10_000),
        connect(2000, 500),
        # The kernel takes some megabytes for each stalled reader, a second's worth or two, before the server feels it.
        stalled("unstalled", 60, 0, 1000, "--secs", "6"),
        stalled("stalled", 60, 10, 1000, "--secs", "6"),
    ]
