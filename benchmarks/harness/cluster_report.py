"""
From rounds to tables, for cluster.py.

A record is one run: part, round, what was run, and either its figures or an error. Only figures of one round are
compared with each other: what slows the machine for a minute slows both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.report import Record, median, number, table

ONE, ONE_OVER_REDIS, TWO = "one node, memory://", "one node, redis://", "two nodes, redis://"
MOST_EXTRA_MICROSECONDS = 100.0
LEAST_GAIN = 1.8

FAILED = "failed"
SERVER = "the server with sockets, redis://"


class Spread:
    """The median of some figures, the least and the most."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = sorted(values)

    @property
    def median(self) -> float | None:
        return median(self.values)

    def summary(self) -> dict[str, float | None]:
        least, most = (self.values[0], self.values[-1]) if self.values else (None, None)
        return {"median": self.median, "least": least, "most": most}

    def __str__(self) -> str:
        if not self.values:
            return FAILED
        if len(self.values) == 1:
            return number(self.values[0])
        return f"{number(self.median)} ({number(self.values[0])} to {number(self.values[-1])})"


class ClusterReport:
    """The figures of ``records``, as a summary for machines and as Markdown for people."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = [record for record in records if "error" not in record]

    def summary(self) -> dict[str, Any]:
        """The figures that have a target, and the target."""
        found: dict[str, Any] = {}
        for work, flight in self._keys("crossing", "work", "flight"):
            found[f"crossing, {work}, {flight}, extra us"] = {
                **self._extra(work, flight, TWO).summary(),
                "target": MOST_EXTRA_MICROSECONDS,
            }
        for subscribers, window in self._keys("scaling", "subscribers", "window"):
            found[f"scaling, {subscribers} subscribers, {window} in flight, gain"] = {
                **self._gain(subscribers, window).summary(),
                "target": LEAST_GAIN,
            }
        for where, spread in self._keys("channels", "where", "spread"):
            growth = self._growth(where, spread, "few").summary()
            found[f"channels, {where}, {spread}, most over fewest"] = {**growth, "target": 1.0}
        return found

    def markdown(self) -> str:
        """All tables; those without a run are left out."""
        parts = {record["part"] for record in self._records}
        makers = {"crossing": self._crossing, "scaling": self._scaling, "channels": self._channels}
        return "\n".join(make() for part, make in makers.items() if part in parts)

    def _crossing(self) -> str:
        heads = ["event", "in flight", ONE, ONE_OVER_REDIS, TWO, "**extra of two nodes over one**", "Redis itself"]
        rows = []
        for work, flight in self._keys("crossing", "work", "flight"):
            chosen = self._chosen("crossing", work=work, flight=flight)
            cells = [
                str(Spread(record["cpu_us"] for record in chosen if record["case"] == case))
                for case in (ONE, ONE_OVER_REDIS, TWO)
            ]
            extra = f"**{self._extra(work, flight, TWO)}**"
            redis = str(Spread(record["redis_us"] for record in chosen if record["case"] == TWO))
            rows.append([work, flight, *cells, extra, redis])
        return "CPU µs an event, of all nodes: median (least to most) of the rounds.\n\n" + table(heads, rows)

    def _scaling(self) -> str:
        heads = ["subscribers", "in flight", "case", "deliveries per CPU second of the busiest node", "times one node"]
        heads += ["its CPU µs an event", "deliveries a write"]
        rows = []
        for subscribers, window in self._keys("scaling", "subscribers", "window"):
            for case in (ONE, ONE_OVER_REDIS, TWO):
                chosen = self._chosen("scaling", subscribers=subscribers, window=window, case=case)
                figures = [str(Spread(r[key] for r in chosen)) for key in ("per_cpu_second", "busiest_us", "per_write")]
                gain = "1" if case == ONE else f"**{self._gain(subscribers, window, case)}**"
                rows.append([f"{subscribers:,}", str(window), case, figures[0], gain, *figures[1:]])
        return "Two nodes have half of the subscribers and of the publishers each.\n\n" + table(heads, rows)

    def _channels(self) -> str:
        counts = sorted({record["channels"] for record in self._records if record["part"] == "channels"})
        heads = ["where", "channels", "published in", *(f"{count:,}" for count in counts), "most over fewest"]
        rows = []
        for where, spread in self._keys("channels", "where", "spread"):
            for figure, title in (("few", "the same ones"), ("all", "all in turn")):
                chosen = [r for r in self._chosen("channels", where=where, spread=spread) if figure in r]
                if not chosen:
                    continue
                groups = [[r[figure] for r in chosen if r["channels"] == count] for count in counts]
                cells = [str(Spread(group)) if group else "–" for group in groups]
                rows.append([where, spread, title, *cells, f"**{self._growth(where, spread, figure)}**"])
        return "CPU µs a publish with one delivery, by the number of channels.\n\n" + table(heads, rows)

    def _extra(self, work: str, flight: str, case: str) -> Spread:
        """What ``case`` costs more than one node, in each round that has both."""
        return Spread(
            record["cpu_us"] - base["cpu_us"]
            for record in self._chosen("crossing", work=work, flight=flight, case=case)
            for base in self._chosen("crossing", work=work, flight=flight, case=ONE, round=record["round"])
        )

    def _gain(self, subscribers: int, window: int, case: str = TWO) -> Spread:
        """How many times one node's deliveries ``case`` carries, in each round that has both."""
        return Spread(
            record["per_cpu_second"] / base["per_cpu_second"]
            for record in self._chosen("scaling", subscribers=subscribers, window=window, case=case)
            for base in self._chosen("scaling", subscribers=subscribers, window=window, case=ONE, round=record["round"])
        )

    def _growth(self, where: str, spread: str, figure: str) -> Spread:
        """The figure with the most channels over that with the fewest."""
        chosen = [r for r in self._chosen("channels", where=where, spread=spread) if figure in r]
        if not chosen:
            return Spread(())
        counts = [r["channels"] for r in chosen]
        fewest, most = min(counts), max(counts)
        return Spread(
            last[figure] / first[figure]
            for first in chosen
            for last in chosen
            if first["round"] == last["round"] and (first["channels"], last["channels"]) == (fewest, most)
        )

    def _chosen(self, part: str, **values: object) -> list[Record]:
        return [
            record
            for record in self._records
            if record["part"] == part and all(record[name] == value for name, value in values.items())
        ]

    def _keys(self, part: str, *names: str) -> list[tuple[Any, ...]]:
        """The combinations of these that were run, in the order of their first run."""
        return list(dict.fromkeys(tuple(record[name] for name in names) for record in self._chosen(part)))
