"""The machine under the servers: cores, limits, and a description for the record."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, for this process and its children, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def usable_core(core: int) -> int | None:
    """``core`` if this process may run on it; else None, which means: not pinned."""
    return core if core in os.sched_getaffinity(0) else None


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This process runs on ``core`` alone meanwhile."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def process_ids(pid: int) -> list[int]:
    """The process ``pid`` and all its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found


def resident_kilobytes(pids: list[int]) -> int:
    """The resident memory of ``pids`` together; socket buffers are the kernel's and not in it."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * resource.getpagesize() // 1024


def cpu_nanoseconds(pids: list[int]) -> int:
    """The time that the kernel has given to all threads of ``pids`` so far; exact for those that do not run now."""
    total = 0
    for pid in pids:
        for statistics in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(statistics.read_text().split()[0])
    return total


def describe() -> dict[str, str]:
    """What a reader of the figures wants to know about the machine."""
    description = {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    node = shutil.which("node")
    if node:
        description["node"] = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    return description


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
