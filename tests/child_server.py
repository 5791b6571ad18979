"""A server of another make: on a free port, with a folder of its own, and it dies with the test run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

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


class ChildServer(ABC):
    """
    A server with its files in ``directory``, which is made if it does not exist.

    Stopped or killed and started again, it has the same port.
    """

    def __init__(self, program: Path, directory: Path, *, port: int = 0) -> None:
        self.port = port
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self, port: int) -> Sequence[str]:
        """The command line."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Whether the server on ``port`` answers; returns soon, and not at once if it does not."""

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> Self:
        """Return when the server answers. Does nothing if it runs."""
        if self._process is not None:
            return self
        self._directory.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if self.port else _ATTEMPTS):
            port = self.port or free_ports()
            command = [sys.executable, "-c", _WITH_PARENT, str(os.getpid()), *self._command(port)]
            with (self._directory / "server.log").open("ab") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            if self._comes_up(port, process):
                self.port, self._process = port, process
                return self
        pytest.fail(f"{self._program} did not start:\n{(self._directory / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """End it orderly. Does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would. Does nothing if it does not run."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start, on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay and nothing answers. Returns when it does."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server does not run"
        return self._process

    def _comes_up(self, port: int, process: subprocess.Popen[bytes]) -> bool:
        """Whether the server answers before ``process`` ends, and in time."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._answers(port):
                return process.poll() is None
        if process.poll() is None:
            process.kill()
        process.wait()
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
