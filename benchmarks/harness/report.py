"""
From rounds to tables.

A record is one run: round, workload, server, and either the load client's result or an error. The only figures that
are compared are ratios to npm ws within one round: what slows the machine for a minute slows both.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from harness import machine
from harness.servers import REFERENCE, Server
from harness.workloads import CONNECTION, DELIVERY, UNITS, Workload

Record = dict[str, Any]
NOTHING = "–"


class Report:
    """The figures of ``records``, as a summary for machines and as Markdown for people."""

    def __init__(self, records: Sequence[Record], servers: Sequence[Server], workloads: Sequence[Workload]) -> None:
        self.servers = servers
        self.workloads = workloads
        self._by_key = {(r["workload"], r["server"], r["round"]): r for r in records}
        self._rounds = sorted({record["round"] for record in records})

    def results(self, workload: str, server: str) -> list[dict[str, Any]]:
        """The results of all rounds that worked, in order."""
        return [result for number in self._rounds if (result := self._result(workload, server, number))]

    def values(self, workload: Workload, server: Server) -> list[float]:
        """The compared figure in each round that worked."""
        return [float(result[workload.figure]) for result in self.results(workload.name, server.name)]

    def ratios(self, workload: Workload, server: Server) -> list[float]:
        """The compared figure over that of npm ws, for each round in which both worked and are above nothing."""
        found = []
        for number in self._rounds:
            ours = self._result(workload.name, server.name, number)
            reference = self._result(workload.name, REFERENCE, number)
            if ours and reference and ours[workload.figure] > 0 and reference[workload.figure] > 0:
                found.append(ours[workload.figure] / reference[workload.figure])
        return found

    def growth(self, server: Server) -> float | None:
        """The sweep's cost of a delivery at its last point over that at its first: the median of the rounds."""
        sweep = [workload.name for workload in self.workloads if workload.group == "sweep"]
        pairs = [
            (self._result(sweep[0], server.name, number), self._result(sweep[-1], server.name, number))
            for number in self._rounds
            if len(sweep) > 1
        ]
        return median([last[DELIVERY] / first[DELIVERY] for first, last in pairs if first and last])

    def summary(self) -> dict[str, Any]:
        """For each workload and server: the medians of the figure and of its ratio, the ratios' spread, the losses."""
        return {
            workload.name: {
                "title": workload.title,
                "figure": workload.figure,
                "servers": {server.name: self._summary_of(workload, server) for server in self.servers},
            }
            for workload in self.workloads
        }

    def _summary_of(self, workload: Workload, server: Server) -> dict[str, Any]:
        ratios = self.ratios(workload, server)
        return {
            "median": median(self.values(workload, server)),
            "ratio": median(ratios),
            "ratio_least": min(ratios, default=None),
            "ratio_most": max(ratios, default=None),
            "lost": max((r.get("lost", 0) for r in self.results(workload.name, server.name)), default=None),
            "failures": self._failures(workload, server),
        }

    def markdown(self) -> str:
        """All tables; those without a run are left out."""
        groups = {workload.group for workload in self.workloads}
        parts = []
        if groups & {"fanout", "echo", "idle", "connect"}:
            parts.append(self._main_table())
        if "sweep" in groups:
            parts.append(self._sweep_table())
        if "stalled" in groups:
            parts.append(self._stalled_table())
        return "\n".join(parts)

    def _main_table(self) -> str:
        chosen = [w for w in self.workloads if w.group in ("fanout", "echo", "idle", "connect")]
        per = {DELIVERY: ", CPU a delivery", CONNECTION: ""}
        heads = [workload.title + per.get(workload.figure, "") for workload in chosen]
        rows = [[s.title, *(self._cell(workload, s) for workload in chosen)] for s in self.servers]
        intro = "Times the figure of npm ws in the same round: median (least to most), and the median itself.\n\n"
        return intro + table(["server", *heads], rows)

    def _cell(self, workload: Workload, server: Server) -> str:
        value = median(self.values(workload, server))
        if value is None:
            return "failed" if self._failures(workload, server) else NOTHING
        text = f"{number(value)} {UNITS[workload.figure]}"
        ratios = self.ratios(workload, server)
        if ratios:
            spread = f"({number(min(ratios))} to {number(max(ratios))})"
            text = f"**{number(statistics.median(ratios))}** {spread}, {text}"
        return text + self._blemishes(workload, server)

    def _sweep_table(self) -> str:
        chosen = [workload for workload in self.workloads if workload.group == "sweep"]
        heads = ["server", *(f"{workload.connections:,}" for workload in chosen), "last over first"]
        rows = [
            [server.title, *(self._short_cell(workload, server) for workload in chosen), number(self.growth(server))]
            for server in self.servers
        ]
        return "CPU µs a delivery by subscribers (and times npm ws).\n\n" + table(heads, rows)

    def _short_cell(self, workload: Workload, server: Server) -> str:
        value, ratio = median(self.values(workload, server)), median(self.ratios(workload, server))
        if value is None:
            return "failed" if self._failures(workload, server) else NOTHING
        return f"{number(value)} ({number(ratio)})" + self._blemishes(workload, server)

    def _stalled_table(self) -> str:
        columns: list[tuple[str, Callable[[dict[str, Any]], float]]] = [
            ("p99 ms", lambda result: result["p99_us"] / 1000),
            ("lost", lambda result: result["lost"]),
            ("memory growth kB", lambda result: result["rss_growth_kb"]),
        ]
        chosen = [workload for workload in self.workloads if workload.group == "stalled"]
        heads = ["server", *(f"{w.name}: {head}" for head, _ in columns for w in chosen), "stalled ones closed"]
        rows = []
        for server in self.servers:
            if all(workload.group in server.skips for workload in chosen):
                continue
            cells = [self._stalled_cell(w.name, server, figure) for _, figure in columns for w in chosen]
            closed = self._stalled_cell(chosen[-1].name, server, lambda result: result["stalled_closed"])
            rows.append([server.title, *cells, closed])
        return f"Stalled readers: {chosen[-1].title}; medians.\n\n" + table(heads, rows)

    def _stalled_cell(self, workload: str, server: Server, figure: Callable[[dict[str, Any]], float]) -> str:
        return number(median([figure(result) for result in self.results(workload, server.name)]))

    def _blemishes(self, workload: Workload, server: Server) -> str:
        lost = max((result.get("lost", 0) for result in self.results(workload.name, server.name)), default=0)
        failures = self._failures(workload, server)
        return (f", lost {lost:,}" if lost else "") + (f", {failures} failed" if failures else "")

    def _failures(self, workload: Workload, server: Server) -> int:
        records = [self._by_key.get((workload.name, server.name, number)) for number in self._rounds]
        return sum(1 for record in records if record and "error" in record)

    def _result(self, workload: str, server: str, number: int) -> dict[str, Any] | None:
        return self._by_key.get((workload, server, number), {}).get("result")


def median(values: Sequence[float]) -> float | None:
    """Of nothing: :obj:`None`."""
    return statistics.median(values) if values else None


def number(value: float | None) -> str:
    """Three digits that matter, no more."""
    if value is None:
        return NOTHING
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class Summarises(Protocol):
    """A report in its two forms."""

    def summary(self) -> Any: ...

    def markdown(self) -> str: ...


def write_report(
    folder: Path,
    name: str,
    report: Summarises,
    records: Sequence[Record],
    *,
    started: datetime,
    options: Mapping[str, Any],
) -> str:
    """Write ``<name>.json``, with all that was measured, and ``<name>.md`` into ``folder``; return the Markdown."""
    document = {
        "started": started.isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "options": options,
        "summary": report.summary(),
        "rounds": records,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    markdown = report.markdown()
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")
    return markdown
