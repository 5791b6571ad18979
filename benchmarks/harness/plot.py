"""The plot of CPU for each delivery against the number of subscribers."""

from __future__ import annotations

import statistics
from pathlib import Path

from harness.report import Report
from harness.servers import OURS, SERVERS

MARKERS = "osD^vPX"


def draw(report: Report, target: Path) -> bool:
    """Write the sweep as a PNG; return False, and write nothing, if there is no sweep or no matplotlib."""
    sweep = [workload for workload in report.workloads if workload.group == "sweep"]
    if not any(report.values(workload, server) for workload in sweep for server in report.servers):
        return False
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for server in report.servers:
        place = SERVERS.index(server)  # a server looks the same in every plot, whichever others are in it
        points = [(w.connections, values) for w in sweep if (values := report.values(w, server))]
        if points:
            axes.plot(
                [connections for connections, _ in points],
                [statistics.median(values) for _, values in points],
                color=f"C{place}",
                marker=MARKERS[place % len(MARKERS)],
                linewidth=3 if server.name == OURS else 1.5,
                label=server.title,
            )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="subscribers",
        ylabel="server CPU for each delivery, µs",
        title="A broadcast to many: 16 events in flight, 120 bytes each",
    )
    axes.set_xticks([w.connections for w in sweep], [f"{w.connections:,}" for w in sweep])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(target, dpi=150)
    pyplot.close(figure)
    return True
