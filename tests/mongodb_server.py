"""
A real server that speaks MongoDB's protocol, for tests.

``USERS_SERVER_TEST_MONGODB`` is the URL of one that runs already. Else one is started: the FerretDB program that
``USERS_SERVER_TEST_FERRETDB`` names, or ``mongod`` or ``ferretdb`` from ``PATH``. ``.ci/install-ferretdb.sh`` builds a
FerretDB.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymongo
import pytest
from pymongo.errors import PyMongoError

from tests.ports import free_ports

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0

_ATTEMPTS = 5
"""Another program may take the free port before the server does."""

_WITH_PARENT = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGKILL = 1, 9
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the tests have ended already")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the server, and dies with the test run. A program, because Python code between fork and exec may deadlock."""


class MongoServer:
    """
    A server with its data in ``directory``. Stopped or killed and started again, it has the same port and data.

    Args:
        program: The path of ``mongod`` or ``ferretdb``.
        directory: Is made if it does not exist.
    """

    def __init__(self, program: Path, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Without a database; see :meth:`database_url`."""
        return f"mongodb://127.0.0.1:{self._port}/"

    def database_url(self, name: str | None = None) -> str:
        """The URL of the database ``name``, by default of one that nobody used before."""
        return _with_database(self.url, name)

    def start(self) -> None:
        """Return when the server answers. Does nothing if it runs."""
        if self._process is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if self._port else _ATTEMPTS):
            port = self._port or free_ports()
            command = [sys.executable, "-c", _WITH_PARENT, str(os.getpid()), *self._command(port)]
            with (self._directory / "server.log").open("ab") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            if _answers(port, process):
                self._port, self._process = port, process
                return
        pytest.fail(f"{self._program} did not start:\n{(self._directory / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """End it orderly. Does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would. Does nothing if it does not run."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start, on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay and nothing answers. Returns when it does."""
        pid = self._running().pid
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server does not run"
        return self._process

    def _command(self, port: int) -> Sequence[str]:
        if self._program.name.startswith("mongod"):
            return [str(self._program), "--bind_ip=127.0.0.1", f"--port={port}", f"--dbpath={self._directory}"]
        return [
            str(self._program),
            "--handler=sqlite",
            f"--sqlite-url=file:{self._directory}/",
            "--telemetry=disable",
            f"--listen-addr=127.0.0.1:{port}",
            "--debug-addr=-",
            f"--state-dir={self._directory}",
        ]

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class RunningMongoServer:
    """The one of ``USERS_SERVER_TEST_MONGODB``: it is used, but neither started nor ended."""

    def __init__(self, url: str) -> None:
        self.url = url

    def database_url(self, name: str | None = None) -> str:
        return _with_database(self.url, name)

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


def find_mongodb(directory: Path) -> MongoServer | RunningMongoServer:
    """
    A server for tests that leave it alone; call ``start`` and ``stop``. Skips the test where there is none.

    On CI a missing server fails the test instead.
    """
    url = os.environ.get("USERS_SERVER_TEST_MONGODB")
    return RunningMongoServer(url) if url else find_own_mongodb(directory)


def find_own_mongodb(directory: Path) -> MongoServer:
    """As :func:`find_mongodb`, but always one of this test's own, which may be killed."""
    return MongoServer(_find_program(), directory)


def drop_database(url: str) -> None:
    """Remove the database that ``url`` names, and everything in it."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=5000)
    with client:
        client.drop_database(client.get_default_database().name)


def _find_program() -> Path:
    named = os.environ.get("USERS_SERVER_TEST_FERRETDB")
    found = named or shutil.which("mongod") or shutil.which("ferretdb")
    if found and shutil.which(found):
        return Path(found).absolute()
    reason = (
        f"USERS_SERVER_TEST_FERRETDB names {named}, which is not a program"
        if named
        else "no MongoDB: install mongod, or run .ci/install-ferretdb.sh and put ferretdb on PATH, "
        "or set USERS_SERVER_TEST_FERRETDB (a program) or USERS_SERVER_TEST_MONGODB (a URL)"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server on ``port`` comes up before ``process`` ends."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=500, heartbeatFrequencyMS=500
    )
    with client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.admin.command("ping")
            except PyMongoError:
                continue
            return process.poll() is None
    if process.poll() is None:
        process.kill()
    process.wait()
    return False


def _with_database(url: str, name: str | None) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name or f'users_test_{secrets.token_hex(6)}'}"))
