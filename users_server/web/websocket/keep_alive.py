"""Pings for all links of a server from one timer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol


class Pingable(Protocol):
    """A link, as the keep-alive sees it."""

    is_gone: bool
    was_heard: bool
    """Set by the link with every byte that it receives, and reset here."""

    def ping(self) -> None:
        """Send a ping."""

    def give_up(self) -> None:
        """The peer did not answer in time."""


class KeepAlive:
    """
    Pings each link that was silent for ``interval_seconds``; gives it up ``timeout_seconds`` after an unanswered ping.

    Since all links wait equally long, two queues in order of their deadlines do the work of as many timers; the timer
    touches only what is due. Any byte from the peer counts as life. A link that was heard within its interval is looked
    at again an interval later, so the ping comes after one to two intervals of silence.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, interval_seconds: float, timeout_seconds: float) -> None:
        self._loop = loop
        self._interval = interval_seconds
        self._timeout = timeout_seconds
        self._tick = min(1.0, interval_seconds / 20, timeout_seconds / 4)
        self._idle: deque[tuple[float, Pingable]] = deque()
        self._pinged: deque[tuple[float, Pingable]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(self._tick, self._run)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()
        self._pinged.clear()

    def watch(self, link: Pingable) -> None:
        """Keep ``link`` alive until it is gone."""
        self._idle.append((self._loop.time() + self._interval, link))

    def _run(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(self._tick, self._run)
        while self._pinged and self._pinged[0][0] <= now:
            _, link = self._pinged.popleft()
            if link.is_gone:
                continue
            if link.was_heard:
                self._rest(link, now)
            else:
                link.give_up()
        while self._idle and self._idle[0][0] <= now:
            _, link = self._idle.popleft()
            if link.is_gone:
                continue
            if link.was_heard:
                self._rest(link, now)
            else:
                link.ping()
                self._pinged.append((now + self._timeout, link))

    def _rest(self, link: Pingable, now: float) -> None:
        link.was_heard = False
        self._idle.append((now + self._interval, link))
