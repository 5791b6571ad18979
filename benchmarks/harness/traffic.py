"""
Clients that publish with so many events in flight, and count what arrives: any protocol whose messages carry text.

Nothing is parsed: an event is a mark in the bytes. So one loop reads some hundred thousand deliveries a second, which
is enough where only the servers' CPU is of interest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.servers import BenchmarkError

MARK = b"@@event@@"
"""In every published event once, and in nothing else that a server sends."""

# The key and the answer to it are the example of RFC 6455, section 1.3.
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Origin: http://localhost\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_ANSWER = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OPEN_SECONDS = 30.0
HANDSHAKES_AT_ONCE = 100
DRAIN_SECONDS = 30.0


@dataclass(frozen=True)
class Place:
    """Where one client connects, what it says then, and what it is sent before its first event, if anything."""

    port: int
    path: str = "/"
    greeting: bytes = b""
    hello: str = ""


class Client(asyncio.Protocol):
    """One connection. ``opened`` is done when the handshake is, and the greeting has come."""

    def __init__(self, place: Place, traffic: Traffic) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        self._place = place
        self._traffic = traffic
        self._tail = b""
        self._has_said_hello = not place.hello
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HANDSHAKE.format(port=self._place.port, path=self._place.path).encode())

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        if not self.opened.done():
            self._tail = data
            self._open(data)
            return
        # shorter than the mark, so that none is counted twice
        self._tail = data[1 - len(MARK) :]
        count = data.count(MARK)
        if count:
            self._traffic.advance(self, count)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError(f"refused: {self._tail[:200]!r}"))
        else:
            self._traffic.fail(f"the server closed a connection: {self._tail[-60:]!r}")

    def send(self, frame: bytes) -> None:
        self._transport.write(frame)

    def abort(self) -> None:
        self._transport.abort()

    def _open(self, data: bytes) -> None:
        head, end, rest = data.partition(b"\r\n\r\n")
        if end and _ANSWER not in head:
            self.opened.set_exception(ConnectionError(f"handshake refused: {data[:200]!r}"))
        elif end and not self._has_said_hello:
            self._has_said_hello = True
            self._transport.write(frame_of(self._place.hello))
        elif end and self._place.greeting in rest:
            self._tail = b""
            self.opened.set_result(None)


def frame_of(text: str) -> bytes:
    """A text frame of a client; its masking key is 0, which leaves the text as it is."""
    payload = text.encode()
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2)
    return head + bytes(4) + payload


class Traffic:
    """
    Events in flight among ``places``: the next one is published when every one of them has the oldest.

    Args:
        publishers: How many of the first places take turns in publishing.
        message: What they send, with the mark in it.
    """

    def __init__(self, places: Sequence[Place], message: str, *, publishers: int = 1) -> None:
        assert MARK.decode() in message
        self._places = places
        self._frame = frame_of(message)
        self._publisher_count = publishers
        self._clients: list[Client] = []
        self._missing: list[int] = []
        self._window = 1
        self._published = 0
        self._until = 0.0
        self._is_idle = asyncio.Event()
        self._failure = ""

    async def open(self) -> None:
        """
        Connect everybody.

        Raises:
            OSError: If one is refused.
            TimeoutError: If a handshake takes longer than half a minute.
        """
        for start in range(0, len(self._places), HANDSHAKES_AT_ONCE):
            part = self._places[start : start + HANDSHAKES_AT_ONCE]
            self._clients += await asyncio.gather(*(self._open_one(place) for place in part))

    async def _open_one(self, place: Place) -> Client:
        async with asyncio.timeout(OPEN_SECONDS):
            loop = asyncio.get_running_loop()
            _, client = await loop.create_connection(lambda: Client(place, self), "127.0.0.1", place.port)
            await client.opened
            return client

    async def run(self, seconds: float, window: int) -> Sample:
        """
        Publish for so long, and return when everything has arrived: nothing is in flight before and after.

        Raises:
            BenchmarkError: If a connection was closed, or something did not arrive within half a minute.
        """
        began, before = time.perf_counter(), self._published
        self._window, self._missing = window, [0] * window
        self._until = began + seconds
        self._is_idle.clear()
        self._refill()
        try:
            await asyncio.wait_for(self._is_idle.wait(), seconds + DRAIN_SECONDS)
        except TimeoutError:
            raise BenchmarkError(f"{sum(self._missing):,} deliveries were lost") from None
        if self._failure:
            raise BenchmarkError(self._failure)
        events = self._published - before
        deliveries = events * len(self._clients)
        return Sample(events, deliveries, time.perf_counter() - began)

    def advance(self, client: Client, count: int) -> None:
        """``count`` more events have come to ``client``."""
        for number in range(client.received, client.received + count):
            self._missing[number % self._window] -= 1
        client.received += count
        if client.received > self._published:
            self.fail("more came than was published")
        else:
            self._refill()

    def fail(self, problem: str) -> None:
        self._failure = self._failure or problem
        self._is_idle.set()

    def close(self) -> None:
        for client in self._clients:
            client.abort()

    def _refill(self) -> None:
        """
        Publish what is due, each client's in one write: an event has the slot of the one that must have arrived before.
        """
        due: dict[Client, int] = {}
        while not self._missing[self._published % self._window]:
            if time.perf_counter() >= self._until:
                if not any(self._missing):
                    self._is_idle.set()
                break
            self._missing[self._published % self._window] = len(self._clients)
            client = self._clients[self._published % self._publisher_count]
            due[client] = due.get(client, 0) + 1
            self._published += 1
        for client, count in due.items():
            client.send(self._frame * count)


@dataclass(frozen=True)
class Sample:
    """What :meth:`Traffic.run` has seen."""

    events: int
    deliveries: int
    seconds: float
