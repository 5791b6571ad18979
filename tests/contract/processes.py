"""Programs of the tests that run in a process of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(program: str, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the program's ``main()``, until the block ends."""
    command = [sys.executable, "-c", f"{program}\nasyncio.run(main())", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> str:
    """All that a process prints that must succeed."""
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    return out
