"""
Several processes of one server: started, watched and ended by a parent that serves nothing itself.

Each worker is a fork of the parent, so that all have one configuration for as long as the parent lives. Two pipes join
it to the parent: on one it says that it serves; the other is its lifeline, whose end is the word to stop. The lifeline
ends with the parent, however that ends, so that no worker outlives it.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import structlog

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_AFTER_SECONDS = 60.0
"""A worker that has served so long is started at once when it dies."""

GRACE_SECONDS = 10.0
"""What workers may take beyond ``shutdownSeconds`` before they are killed."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CAUGHT = (*STOP_SIGNALS, signal.SIGCHLD)
_LONGEST_MESSAGE = 65_536


@dataclass(frozen=True, slots=True)
class Ready:
    """
    What a worker says when it serves.

    ``generated_password`` is as in :class:`users_server.app.Server`; ``app_credentials`` are those of a new default
    app: key, secret and API key.
    """

    http_port: int
    websocket_port: int
    generated_password: str | None = field(default=None, repr=False)
    app_credentials: Sequence[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """
    A worker's ends of the pipes to its parent.

    Attributes:
        index: 0 for the first worker.
        lifeline: A descriptor that can be read when the worker shall stop.
        first: What the first worker said; :obj:`None` in the first itself, until it was started again.
    """

    index: int
    lifeline: int
    first: Ready | None
    _status: int

    def tell(self, ready: Ready) -> None:
        """Say that the worker serves. Call once."""
        os.write(self._status, json.dumps(asdict(ready)).encode())
        os.close(self._status)


@dataclass(slots=True)
class _Worker:
    """What the parent knows of a worker. ``pid`` is 0 while there is none."""

    index: int
    pid: int = 0
    lifeline: int = -1
    status: int = -1
    is_ready: bool = False
    started_at: float = 0.0
    restart_at: float | None = None
    deaths: int = 0


class Supervisor:
    """
    Keeps ``count`` workers running until a signal comes.

    The first one is started alone, so that what is made at the first start is made once; the others follow when it
    serves. Until all serve, the death of one ends all. Later, one that dies is started again, after a pause that
    doubles with each death in a row. The first signal lets all end in order, the second kills them.

    Args:
        work: What a worker does; its exception or return ends the worker's process as it would any other.
        announce: Called once in the parent, when all serve, with what the first worker said.
        shutdown_seconds: What an orderly end may take.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[WorkerEnd], None],
        announce: Callable[[Ready], None],
        *,
        shutdown_seconds: float,
    ) -> None:
        self._workers = [_Worker(index) for index in range(count)]
        self._work = work
        self._announce = announce
        self._shutdown_seconds = shutdown_seconds
        self._selector = selectors.DefaultSelector()
        self._first: Ready | None = None
        self._is_announced = False
        self._kill_at: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        """The exit code for the parent, when all workers have ended. In a worker it does not return: it exits."""
        with _caught_signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            self._start(self._workers[0], signals)
            while any(worker.pid for worker in self._workers) or not self._is_stopping:
                for key, _ in self._selector.select(self._seconds_to_wait()):
                    if key.fileobj is signals:
                        self._obey(signals.recv(4096))
                    else:
                        self._hear(key.data)
                self._act(signals)
        return self._exit_code

    @property
    def _is_stopping(self) -> bool:
        return self._kill_at is not None

    def _seconds_to_wait(self) -> float | None:
        """Until something is due; :obj:`None` if nothing is."""
        due = [worker.restart_at for worker in self._workers if worker.restart_at is not None]
        if self._kill_at is not None:
            due = [self._kill_at]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _obey(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._reap()
            elif self._is_stopping:
                self._kill()
                os._exit(128 + number)
            else:
                self._stop()

    def _act(self, signals: socket.socket) -> None:
        """Do what has become due."""
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                log.error("workers killed: they did not end in time", after_seconds=self._shutdown_seconds)
                self._kill()
                self._kill_at = now + GRACE_SECONDS
            return
        for worker in self._workers:
            is_new = self._first is not None and not worker.pid and not worker.started_at
            if is_new or (worker.restart_at is not None and now >= worker.restart_at):
                self._start(worker, signals)
        if not self._is_announced and self._first is not None and all(worker.is_ready for worker in self._workers):
            self._is_announced = True
            self._announce(self._first)

    def _start(self, worker: _Worker, signals: socket.socket) -> None:
        lifeline, lifeline_end = os.pipe()
        status, status_end = os.pipe()
        # a signal between the fork and the new handlers would be told to the parent as its own
        signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
        pid = os.fork()
        if pid == 0:
            os.close(lifeline_end)
            os.close(status)
            self._leave_parent(signals)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
            self._work(WorkerEnd(worker.index, lifeline, self._first, status_end))
            raise SystemExit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        os.close(lifeline)
        os.close(status_end)
        worker.pid, worker.lifeline, worker.status = pid, lifeline_end, status
        worker.is_ready, worker.restart_at, worker.started_at = False, None, time.monotonic()
        self._selector.register(status, selectors.EVENT_READ, worker)
        log.info("worker started", worker=worker.index, worker_pid=pid)

    def _leave_parent(self, signals: socket.socket) -> None:
        """
        In a worker: let go of what is the parent's, above all of the lifelines of the others.

        Ctrl-C goes to all processes of a terminal; it is for the parent alone.
        """
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.close()
        signals.close()
        for worker in self._workers:
            for descriptor in (worker.lifeline, worker.status):
                if descriptor >= 0:
                    os.close(descriptor)

    def _hear(self, worker: _Worker) -> None:
        """A worker says that it serves, or nothing any more."""
        text = os.read(worker.status, _LONGEST_MESSAGE)
        self._forget_status(worker)
        if not text:
            return  # it has died, which its signal tells
        worker.is_ready = True
        if self._first is None:
            self._first = Ready(**json.loads(text))

    def _forget_status(self, worker: _Worker) -> None:
        if worker.status >= 0:
            self._selector.unregister(worker.status)
            os.close(worker.status)
            worker.status = -1

    def _cut_lifeline(self, worker: _Worker) -> None:
        if worker.lifeline >= 0:
            os.close(worker.lifeline)
            worker.lifeline = -1

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, code: int) -> None:
        """``code`` is negative for a signal."""
        pid, worker.pid, worker.is_ready = worker.pid, 0, False
        self._forget_status(worker)
        self._cut_lifeline(worker)
        if self._is_stopping:
            if code and not self._exit_code:
                self._exit_code = 128 - code if code < 0 else code
            return
        what = {"signal": -code} if code < 0 else {"exit_code": code}
        if not self._is_announced:
            log.error("worker died before all served", worker=worker.index, worker_pid=pid, **what)
            self._exit_code = 128 - code if code < 0 else code or 1
            self._stop()
            return
        now = time.monotonic()
        worker.deaths = 0 if now - worker.started_at >= STABLE_AFTER_SECONDS else worker.deaths + 1
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** (worker.deaths - 1), LONGEST_PAUSE_SECONDS) if worker.deaths else 0.0
        worker.restart_at = now + pause
        log.error("worker died", worker=worker.index, worker_pid=pid, next_start_seconds=pause, **what)

    def _stop(self) -> None:
        """Let every worker end in order."""
        self._kill_at = time.monotonic() + self._shutdown_seconds + GRACE_SECONDS
        for worker in self._workers:
            worker.restart_at = None
            self._cut_lifeline(worker)

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)


@contextmanager
def _caught_signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of signals are read, a byte each."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    former = {number: signal.signal(number, lambda *_: None) for number in _CAUGHT}
    former_descriptor = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    owner = os.getpid()
    try:
        yield reading
    finally:
        if os.getpid() == owner:
            signal.set_wakeup_fd(former_descriptor)
            for number, handler in former.items():
                signal.signal(number, handler)
        reading.close()
        writing.close()
