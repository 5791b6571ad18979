"""
What a delivery to a Phoenix client costs beside the same delivery to a plain subscriber: one of the Users Socket API,
and one of the relay in the same channel.

Ends with 0 if every run worked, whatever the figures; 1 if one failed; 2 if nothing could be started. See README.md in
this folder for what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import machine
from harness.cluster_report import Spread
from harness.nodes import KEPT, RELAY_MESSAGE, SOCKET_MESSAGE, Cluster, running_nodes
from harness.report import Record, table, write_report
from harness.runs import Run, measure
from harness.servers import HERE, BenchmarkError
from harness.traffic import Place

FULL = {"rounds": 7, "secs": 1.0}
SMOKE = {"rounds": 1, "secs": 0.1}
SUBSCRIBERS = {False: 1_000, True: 20}
WINDOWS = (1, 16)
"""Events in flight."""

MOST_RATIO = 1.2
FIRST_FORMAT = "1.0.0"
ROOM, KEPT_ROOM = "plain:room", f"{KEPT}:room"

Maker = Callable[[Cluster, str, str], Place]


@dataclass(frozen=True)
class Case:
    """Subscribers of one kind, and one more client beside them that publishes and hears, too."""

    title: str
    message: str
    publisher: Maker
    subscriber: Maker
    has_history: bool = False
    is_plain: bool = False


def _socket(cluster: Cluster, app: str, secret: str) -> Place:
    return cluster.place(0)


def _relay(channel: str) -> Maker:
    return lambda cluster, app, secret: cluster.relay(0, channel, app, secret)


def _phoenix(channel: str, wire_format: str = "2.0.0") -> Maker:
    return lambda cluster, app, secret: cluster.phoenix(0, channel, app, secret, wire_format=wire_format)


SOCKET_CASE = Case("Users Socket API", SOCKET_MESSAGE, _socket, _socket, is_plain=True)
RELAY_CASES = {
    False: Case("relay", RELAY_MESSAGE, _relay(ROOM), _relay(ROOM), is_plain=True),
    True: Case("relay, with history", RELAY_MESSAGE, _relay(KEPT_ROOM), _relay(KEPT_ROOM), True, is_plain=True),
}
CASES = (
    SOCKET_CASE,
    RELAY_CASES[False],
    Case("Phoenix V2", RELAY_MESSAGE, _relay(ROOM), _phoenix(ROOM)),
    Case("Phoenix V1", RELAY_MESSAGE, _relay(ROOM), _phoenix(ROOM, FIRST_FORMAT)),
    RELAY_CASES[True],
    Case("Phoenix V2, with history", RELAY_MESSAGE, _relay(KEPT_ROOM), _phoenix(KEPT_ROOM), True),
)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with defaults that depend on ``--smoke``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="check the harness in some seconds; measures nothing")
    parser.add_argument("--rounds", type=int, help="how often everything is run (7)")
    parser.add_argument("--secs", type=float, help="measured seconds of each run, at most 20 (1)")
    parser.add_argument("--output", type=Path, default=HERE / "results", metavar="DIR", help="where the results go")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs users-server (this one)")
    options = parser.parse_args(arguments)
    for name, value in (SMOKE if options.smoke else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.rounds < 1 or not 0 < options.secs <= 20:
        parser.error("--rounds must be 1 or more, --secs at most 20")
    return options


def runs(options: argparse.Namespace) -> Iterator[Record]:
    """One record for each run, with its figures or an error: the server on one core, its clients on the other."""
    count = SUBSCRIBERS[options.smoke]
    with (
        machine.pinned(machine.usable_core(1)),
        running_nodes(options.python, [machine.usable_core(0)], None) as cluster,
    ):
        ((app, secret),) = cluster.make_apps(1)
        for number in range(1, options.rounds + 1):
            for window in WINDOWS:
                # every second round backwards: what warms up in a round is nobody's advantage
                for case in CASES if number % 2 else CASES[::-1]:
                    subscribers = [case.subscriber(cluster, app, secret) for _ in range(count)]
                    places = [case.publisher(cluster, app, secret), *subscribers]
                    head: Record = {"round": number, "window": window, "case": case.title, "subscribers": count}
                    yield _record(head, Run(cluster, [0], places, case.message, window), options.secs)


def _record(head: Record, run: Run, seconds: float) -> Record:
    try:
        figures = asyncio.run(run.figures(seconds))
    except (BenchmarkError, OSError) as error:  # a TimeoutError is an OSError
        return {**head, "error": str(error) or type(error).__name__}
    return {**head, **figures, "cpu_ns": figures["cpu_us"] * 1000 / len(run.places), "load": os.getloadavg()[0]}


class Report:
    """The figures of ``records``. Only those of one round are compared."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = [record for record in records if "error" not in record]

    def summary(self) -> dict[str, Any]:
        """Each ratio that has a target, and the target."""
        return {
            f"{case.title} over {plain.title}, {window} in flight": {
                **self._ratio(case, plain, window).summary(),
                "target": MOST_RATIO,
            }
            for window in WINDOWS
            for case in CASES
            for plain in _plain_of(case)
        }

    def markdown(self) -> str:
        heads = ["in flight", "subscribers", "CPU ns a delivery", "deliveries a write"]
        heads += ["times the Users Socket API", "**times the relay**"]
        rows = [self._row(case, window) for window in WINDOWS for case in CASES]
        return "Median (least to most) of the rounds.\n\n" + table(heads, rows)

    def _row(self, case: Case, window: int) -> list[str]:
        chosen = self._chosen(case, window)
        figures = [str(Spread(record[key] for record in chosen)) for key in ("cpu_ns", "per_write")]
        return [
            str(window),
            case.title,
            *figures,
            *(self._cell(case, plain, window) for plain in (SOCKET_CASE, _relay_of(case))),
        ]

    def _cell(self, case: Case, plain: Case, window: int) -> str:
        return "1" if case is plain else str(self._ratio(case, plain, window))

    def _chosen(self, case: Case, window: int) -> list[Record]:
        return [record for record in self._records if (record["case"], record["window"]) == (case.title, window)]

    def _ratio(self, case: Case, plain: Case, window: int) -> Spread:
        return Spread(
            record["cpu_ns"] / base["cpu_ns"]
            for record in self._chosen(case, window)
            for base in self._chosen(plain, window)
            if record["round"] == base["round"]
        )


def _plain_of(case: Case) -> list[Case]:
    """Those to which it is compared."""
    return [] if case.is_plain else [SOCKET_CASE, _relay_of(case)]


def _relay_of(case: Case) -> Case:
    return RELAY_CASES[case.has_history]


def tell(record: Record, rounds: int) -> None:
    """Print one line about a run."""
    start = f"round {record['round']}/{rounds}  {record['window']:>2} in flight, {record['case']}"
    if "error" in record:
        print(f"{start}: FAILED: {record['error']}", flush=True)
    else:
        print(f"{start}: {record['cpu_ns']:,.0f} ns a delivery  (load {record['load']:.1f})", flush=True)


def write_results(options: argparse.Namespace, records: Sequence[Record], started: datetime) -> str:
    """Write phoenix.json and phoenix.md; return the Markdown."""
    report = Report(records)
    chosen = {name: getattr(options, name) for name in ("rounds", "secs", "smoke")}
    return write_report(options.output, "phoenix", report, records, started=started, options=chosen)


def main(arguments: Sequence[str]) -> int:
    options = parse_arguments(arguments)
    machine.raise_descriptor_limit()
    started = datetime.now(UTC)
    return measure(
        "phoenix.py",
        runs(options),
        tell=lambda record: tell(record, options.rounds),
        write=lambda records: f"{write_results(options, records, started)}\nwritten to {options.output}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
