"""People for the tests of the Users Socket API, and Node for those of clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.server_process import ServerProcess
from tests.wire.node_client import FOLDER
from tests.wire.people import People


@pytest.fixture(scope="module")
def people(any_server: ServerProcess) -> People:
    """Makes accounts on ``any_server``."""
    return People(any_server)


def missing(reason: str) -> None:
    """On somebody's machine a skip, in CI a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages installed that package.json pins."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        missing("Node.js and npm are not installed")
    assert program
    assert npm
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    if {name: installed(name) for name in wanted} != wanted:
        result = subprocess.run([npm, "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=300)
        if result.returncode:
            missing(f"npm ci failed: {result.stderr.strip()[-500:]}")
    return program


def installed(name: str) -> str | None:
    try:
        package = (FOLDER / "node_modules" / name / "package.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return str(json.loads(package)["version"])
