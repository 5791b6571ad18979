"""The server's own process, asked in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)


LIMIT = """
import resource
from users_server.cli.process import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
raise_descriptor_limit({connections})
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    done = run(LIMIT.format(soft=256, hard=1024, connections=500))
    assert done.stdout.split()[-1] == "1024"
    assert "maxConnections" not in done.stdout + done.stderr


def test_a_hard_limit_that_is_too_low_is_told() -> None:
    done = run(LIMIT.format(soft=256, hard=1024, connections=5000))
    assert "websocket.maxConnections" in done.stdout + done.stderr


def test_what_exists_after_the_start_is_left_out_of_collections() -> None:
    code = (
        "import gc; from users_server.cli.process import *; before = gc.get_freeze_count(); keep_out_of_collections();"
        "print(before, gc.get_freeze_count() > 1000, gc.get_threshold() == COLLECT_AFTER)"
    )
    assert run(code).stdout.split() == ["0", "True", "True"]
