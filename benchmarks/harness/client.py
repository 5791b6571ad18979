"""The load client: compiled from load/, run against a server, its line of JSON read."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.servers import HERE, BenchmarkError, RunningServer
from harness.workloads import Workload

COMPILE = ["cc", "-O2", "-Wall", "-Wextra"]
LONGEST_RUN_SECONDS = 300.0


@dataclass(frozen=True)
class LoadClient:
    """
    How the load client is run.

    ``seconds`` is the measured part of each run, ``warm_seconds`` the traffic before it.
    """

    program: Path
    core: int | None
    seconds: float
    warm_seconds: float

    def arguments(self, running: RunningServer, workload: Workload) -> list[str]:
        """The command line for ``workload`` on ``running``, without the program."""
        return [
            *("--port", str(running.port)),
            *("--pid", ",".join(map(str, running.process_ids()))),
            *("--connections", str(workload.connections)),
            *("--secs", str(self.seconds)),
            *("--warm-secs", str(self.warm_seconds)),
            *running.server.client_arguments,
            *workload.arguments,
        ]

    def run(self, running: RunningServer, workload: Workload) -> dict[str, Any]:
        """
        Run ``workload`` and return the client's result.

        Raises:
            BenchmarkError: If the client failed, or the server closed one of its connections.
        """
        try:
            process = subprocess.run(
                [str(self.program), *self.arguments(running, workload)],
                capture_output=True,
                text=True,
                timeout=LONGEST_RUN_SECONDS,
                preexec_fn=None if self.core is None else self._pin,
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"the load client did not end within {LONGEST_RUN_SECONDS:.0f} s") from None
        if process.returncode:
            raise BenchmarkError(process.stderr.strip() or f"the load client ended with status {process.returncode}")
        result: dict[str, Any] = json.loads(process.stdout)
        return result

    def _pin(self) -> None:
        assert self.core is not None
        os.sched_setaffinity(0, {self.core})


def build(target: Path) -> Path:
    """
    Compile the load client and the floor server into the folder ``target``; return the client's path.

    Raises:
        BenchmarkError: If there is no C compiler, or it fails.
    """
    target.mkdir(parents=True, exist_ok=True)
    _compile(sorted((HERE / "load").glob("*.c")), target / "load")
    _compile([HERE / "servers" / "floor.c"], target / "floor")
    return target / "load"


def _compile(sources: list[Path], program: Path) -> None:
    try:
        process = subprocess.run([*COMPILE, "-o", program, *sources], capture_output=True, text=True)
    except FileNotFoundError:
        raise BenchmarkError("a C compiler named cc is needed for the load client") from None
    if process.returncode:
        raise BenchmarkError(f"{program.name} does not compile:\n{process.stderr}")
