"""Accepting in order and at a bounded pace, so that a storm of new clients does not starve the connected."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import structlog

log = structlog.stdlib.get_logger(__name__)

MOST_ACCEPTS_PER_TICK = 16
"""New connections taken in one turn of the event loop; the rest wait in order in the kernel's queue."""

TICKS_UNTIL_READ = 3
"""Turns that may pass until what a client sent at once with its connection has been read."""

OUT_OF_DESCRIPTORS_PAUSE_SECONDS = 0.5


class Listener:
    """
    Accepts from ``sockets`` and hands each connection to ``serve`` with its peer's address.

    Args:
        max_waiting: How many connections without a request ``serve`` keeps; so many are never accepted that a client
            which sends its request at once would be one too many.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        serve: Callable[[socket.socket, object], None],
        *,
        max_waiting: int,
    ) -> None:
        self._sockets = tuple(sockets)
        self._serve = serve
        self._accepts_per_tick = max(1, min(MOST_ACCEPTS_PER_TICK, max_waiting // TICKS_UNTIL_READ))
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        for sock in self._sockets:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def stop(self) -> None:
        """Accept no more; those that are accepted stay. Idempotent."""
        if self._resume is not None:
            self._resume.cancel()
        for sock in self._sockets:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock.fileno())
                sock.close()

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(self._accepts_per_tick):
            try:
                connection, address = sock.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._serve(connection, address)

    def _pause(self, error: OSError) -> None:
        """Most likely there are no file descriptors left: wait for some instead of trying as fast as the loop can."""
        log.error("cannot accept connections", error=str(error), hint="raise the limit of open files (ulimit -n)")
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
        self._resume = self._loop.call_later(OUT_OF_DESCRIPTORS_PAUSE_SECONDS, self.start)
