"""Clients that have gone silent."""

from __future__ import annotations

import asyncio
from typing import Protocol

from users_server.core.clock import Clock
from users_server.errors import Disconnect, StaleConnection

LOOKS_PER_TIMEOUT = 10
"""A silent client is closed this part of the time later at most."""


class Watched(Protocol):
    """
    A client's end of a link.

    Attributes:
        heard_at: When the client said something last, by the monotonic clock.
    """

    heard_at: float

    def disconnect(self, reason: Disconnect) -> None: ...


class IdleWatch:
    """
    Closes clients that have sent no message for ``timeout_seconds``. :class:`users_server.protocols.base.Part`.

    Looking at all from time to time costs less than a timer for each that every message would move.
    """

    def __init__(self, clock: Clock, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._receivers: dict[Watched, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._wait()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self, receiver: Watched) -> None:
        """Until :meth:`forget`."""
        self._receivers[receiver] = None

    def forget(self, receiver: Watched) -> None:
        """It is gone. Idempotent."""
        self._receivers.pop(receiver, None)

    def look(self) -> None:
        """Close who has been silent for too long."""
        latest = self._clock.monotonic() - self._timeout_seconds
        for receiver in [receiver for receiver in self._receivers if receiver.heard_at <= latest]:
            receiver.disconnect(StaleConnection("The client has sent no heartbeat in time"))

    def _wait(self) -> None:
        delay = self._timeout_seconds / LOOKS_PER_TIMEOUT
        self._timer = asyncio.get_running_loop().call_later(delay, self._look_and_wait)

    def _look_and_wait(self) -> None:
        self._wait()
        self.look()
