"""
Measure users-server and its peers side by side, and write the figures, a table and a plot.

Installs nothing: ``make bench`` does that before. See README.md in this folder for what each figure means.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import machine, plot, servers
from harness.client import LoadClient, build
from harness.report import Record, Report
from harness.servers import HERE, SERVERS, BenchmarkError, RunningServer, Server, Toolchain
from harness.workloads import UNITS, Workload, all_workloads

SPARE_DESCRIPTORS = 200
FULL = {"rounds": 3, "secs": 3.0, "warm_secs": 1.0}
SMOKE = {"rounds": 1, "secs": 0.25, "warm_secs": 0.05}

TRAFFIC_KEYS = {"deliveries", "lost", "cpu_us_per_delivery", "p50_us", "p99_us", "rss_growth_kb", "stalled_closed"}
CONNECTION_KEYS = {"cpu_us_per_connection", "kb_per_connection", "idle_cpu_percent"}


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with defaults that depend on ``--smoke``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="check the harness in about a minute; measures nothing")
    parser.add_argument("--only", metavar="NAMES", help="workloads or groups of them, separated by commas")
    parser.add_argument("--servers", metavar="NAMES", help=f"of {', '.join(s.name for s in SERVERS)}")
    parser.add_argument("--rounds", type=int, help="rounds, each with every server in turn (3)")
    parser.add_argument("--secs", type=float, help="measured seconds of each run, at most 60 (3)")
    parser.add_argument("--warm-secs", type=float, help="seconds of traffic before the measured ones (1)")
    parser.add_argument("--output", type=Path, default=HERE / "results", metavar="DIR", help="where the results go")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs users-server (this one)")
    parser.add_argument("--node-modules", type=Path, default=HERE / "node_modules", metavar="DIR")
    parser.add_argument("--build", type=Path, default=HERE / "build", metavar="DIR", help="for the compiled C programs")
    parser.add_argument("--server-core", type=int, default=0, help="the core of the servers (0)")
    parser.add_argument("--client-core", type=int, default=1, help="the core of the load client (1)")
    parser.add_argument("--skip-missing", action="store_true", help="leave out servers that are not installed")
    options = parser.parse_args(arguments)
    for name, value in (SMOKE if options.smoke else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.rounds < 1 or not 0 < options.secs <= 60 or not 0 <= options.warm_secs <= 60:
        parser.error("--rounds must be 1 or more, --secs and --warm-secs at most 60")
    return options


def choose_workloads(options: argparse.Namespace, descriptors: int) -> list[Workload]:
    """Those named, or all; without those for which there are not enough file descriptors."""
    workloads = all_workloads(smoke=options.smoke)
    if options.only:
        names = options.only.split(",")
        known = {name for workload in workloads for name in (workload.name, workload.group)}
        if unknown := [name for name in names if name not in known]:
            raise BenchmarkError(f"--only: no workload {unknown[0]}; there are {', '.join(sorted(known))}")
        workloads = [workload for workload in workloads if workload.name in names or workload.group in names]
    for workload in workloads:
        if workload.connections + SPARE_DESCRIPTORS > descriptors:
            print(f"left out: {workload.name}; the limit of open files is {descriptors:,}", flush=True)
    return [workload for workload in workloads if workload.connections + SPARE_DESCRIPTORS <= descriptors]


def choose_servers(options: argparse.Namespace, tools: Toolchain) -> list[Server]:
    """Those named, or all. One that is not installed is an error, unless it may be left out."""
    names = options.servers.split(",") if options.servers else [server.name for server in SERVERS]
    by_name = {server.name: server for server in SERVERS}
    if unknown := [name for name in names if name not in by_name]:
        raise BenchmarkError(f"--servers: no server {unknown[0]}; there are {', '.join(by_name)}")
    chosen = []
    for name in names:
        lack = servers.missing(by_name[name], tools)
        if lack is None:
            chosen.append(by_name[name])
        elif options.skip_missing:
            print(f"left out: {by_name[name].title}; there is no {lack}", flush=True)
        else:
            raise BenchmarkError(f"{by_name[name].title} needs {lack} (README.md says how); or give --skip-missing")
    return chosen


@dataclass(frozen=True)
class Bench:
    """Everything that the rounds need."""

    options: argparse.Namespace
    tools: Toolchain
    client: LoadClient
    servers: list[Server]
    workloads: list[Workload]

    def rounds(self) -> Iterator[Record]:
        """Run everything, one record for each run. In a round, the servers follow each other on each workload."""
        for number in range(1, self.options.rounds + 1):
            for workload in self.workloads:
                for server in self.servers:
                    if workload.group not in server.skips:
                        yield from self._on_a_new_server(number, server, [workload])

    def smoke(self) -> Iterator[Record]:
        """As ``rounds``, but each server is started once for all workloads, which saves most of the time."""
        for server in self.servers:
            workloads = [workload for workload in self.workloads if workload.group not in server.skips]
            yield from self._on_a_new_server(1, server, workloads)

    def _on_a_new_server(self, number: int, server: Server, workloads: list[Workload]) -> Iterator[Record]:
        core = machine.usable_core(self.options.server_core)
        with servers.running(server, self.tools, core) as running:
            for workload in workloads:
                yield self._run(number, running, workload)

    def _run(self, number: int, running: RunningServer, workload: Workload) -> Record:
        record: Record = {"round": number, "workload": workload.name, "server": running.server.name}
        try:
            result = self.client.run(running, workload)
            running.check()
        except BenchmarkError as error:
            return {**record, "error": str(error)}
        return {**record, "result": result}


def tell(record: Record, bench: Bench) -> None:
    """Print one line about a run."""
    workload = next(workload for workload in bench.workloads if workload.name == record["workload"])
    start = f"round {record['round']}/{bench.options.rounds}  {workload.name:<12} {record['server']:<16}"
    if "error" in record:
        print(f"{start} FAILED: {record['error']}", flush=True)
        return
    result = record["result"]
    lost = f"  lost {result['lost']:,}" if result.get("lost") else ""
    print(f"{start} {result[workload.figure]:>10,.2f} {UNITS[workload.figure]}{lost}", flush=True)


def harness_mistakes(records: Sequence[Record], workloads: Sequence[Workload]) -> list[str]:
    """What is wrong with a smoke run. Nothing here depends on time."""
    by_name = {workload.name: workload for workload in workloads}
    mistakes = []
    for record in records:
        where = f"{record['workload']} on {record['server']}"
        workload = by_name[record["workload"]]
        result = record.get("result")
        if result is None:
            mistakes.append(f"{where}: {record['error']}")
            continue
        if absent := (TRAFFIC_KEYS if workload.has_traffic else CONNECTION_KEYS) - result.keys():
            mistakes.append(f"{where}: the result has no {', '.join(sorted(absent))}")
        if result.get("ready") != workload.connections:
            mistakes.append(f"{where}: {result.get('ready')} connections of {workload.connections} were open")
        if workload.has_traffic and not result.get("deliveries"):
            mistakes.append(f"{where}: nothing was delivered")
        mistakes.extend(
            f"{where}: {result[key]} messages {key}"
            for key in ("lost", "unexpected", "out_of_order")
            if workload.has_traffic and result.get(key)
        )
    return mistakes


def write_results(bench: Bench, records: Sequence[Record], started: datetime) -> str:
    """Write results.json, results.md and sweep.png; return the Markdown."""
    output: Path = bench.options.output
    report = Report(records, bench.servers, bench.workloads)
    document: dict[str, Any] = {
        "started": started.isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "options": {name: getattr(bench.options, name) for name in ("rounds", "secs", "warm_secs", "smoke")},
        "workloads": {w.name: {"title": w.title, "arguments": w.arguments} for w in bench.workloads},
        "summary": report.summary(),
        "rounds": records,
    }
    (output / "results.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    markdown = report.markdown()
    (output / "results.md").write_text(markdown, encoding="utf-8")
    if not plot.draw(report, output / "sweep.png") and any(w.group == "sweep" for w in bench.workloads):
        print("no plot: there is nothing to draw, or no matplotlib", flush=True)
    return markdown


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; 0 if every run worked, 1 if one failed, 2 if it could not be started."""
    if platform.system() != "Linux":
        print("run.py: the figures come from Linux's /proc", file=sys.stderr)
        return 2
    options = parse_arguments(arguments)
    tools = Toolchain(options.python, sys.executable, options.node_modules.resolve(), options.build.resolve())
    started = datetime.now(UTC)
    try:
        workloads = choose_workloads(options, machine.raise_descriptor_limit())
        chosen = choose_servers(options, tools)
        client_core = machine.usable_core(options.client_core)
        client = LoadClient(build(tools.build), client_core, options.secs, options.warm_secs)
    except BenchmarkError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    if client_core is None or machine.usable_core(options.server_core) is None:
        print("not pinned: this process may not run on both cores; the figures will be noisy", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(options, tools, client, chosen, workloads)
    records: list[Record] = []
    try:
        for record in bench.smoke() if options.smoke else bench.rounds():
            records.append(record)
            tell(record, bench)
    except BenchmarkError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    finally:
        if records:
            print(f"\n{write_results(bench, records, started)}\nwritten to {options.output}", flush=True)
    mistakes = harness_mistakes(records, workloads) if options.smoke else []
    for mistake in mistakes:
        print(f"smoke: {mistake}", file=sys.stderr)
    return 1 if mistakes or any("error" in record for record in records) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
