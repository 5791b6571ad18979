"""
A WebSocket client small enough that one process holds ten thousand of them: it counts what arrives, and answers pings.

The load client in C ends after a minute at most; a soak takes longer, at a rate that Python can follow.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field

# The key and the answer to it are the example of RFC 6455, section 1.3.
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ANSWER = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MESSAGE = re.compile(rb'"soak (\d+) (\d+)"')
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
OPEN_SECONDS = 30.0
HANDSHAKES_AT_ONCE = 100


@dataclass
class Tally:
    """
    What all subscribers together have seen.

    ``received`` counts the broadcasts; ``out_of_order`` those that did not carry the number after the last one.
    """

    received: int = 0
    out_of_order: int = 0
    closed: int = 0
    problems: list[str] = field(default_factory=list)
    expected: int | None = None
    is_complete: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, *, is_in_order: bool, sent_nanoseconds: int) -> None:
        """One broadcast has arrived, which was published at that time of the monotonic clock."""
        self.received += 1
        self.out_of_order += not is_in_order
        if self.received == self.expected:
            self.is_complete.set()

    async def wait_for(self, expected: int, seconds: float) -> None:
        """Wait until ``expected`` broadcasts have arrived in all; so many seconds at most."""
        self.expected = expected
        if self.received < expected:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.is_complete.wait(), seconds)

    def note(self, problem: str) -> None:
        """Remember the first few problems."""
        if len(self.problems) < 5:
            self.problems.append(problem)


class Subscriber(asyncio.Protocol):
    """One connection. ``opened`` is done when the handshake is."""

    def __init__(self, tally: Tally, port: int, origin: str) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tally = tally
        self._request = HANDSHAKE.format(port=port, origin=origin).encode()
        self._pending = b""
        self._next_number = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)
        self._request = b""

    def data_received(self, data: bytes) -> None:
        data = self._pending + data
        if not self.opened.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._pending = head
                return
            if ANSWER not in head:
                self.opened.set_exception(ConnectionError(f"handshake refused: {head[:80]!r}"))
                return
            self.opened.set_result(None)
        while (size := frame_size(data)) is not None and len(data) >= size:
            self._take(data[0] & 0x0F, data[_head_size(data) : size])
            data = data[size:]
        self._pending = data

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.closed += 1
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed during the handshake"))

    def publish(self, number: int) -> None:
        """Broadcast message ``number``, with the time in it."""
        text = b'{"eventType":10,"broadcast":true,"message":"soak %d %d"}' % (number, time.monotonic_ns())
        self._send(TEXT, text)

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def _send(self, opcode: int, payload: bytes) -> None:
        assert len(payload) < 126
        mask = b"\x5a\x21\xc7\x93"
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._transport.write(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._send(PONG, payload)
        elif opcode == CLOSE:
            reason = payload[2:].decode(errors="replace")
            self._tally.note(f"closed by the server: {int.from_bytes(payload[:2])} {reason}")
        elif match := MESSAGE.search(payload):
            number = int(match[1])
            self._tally.count(is_in_order=number == self._next_number, sent_nanoseconds=int(match[2]))
            self._next_number = number + 1
        else:
            self._tally.note(f"another message: {payload[:100]!r}")


def _head_size(data: bytes) -> int:
    return {126: 4, 127: 10}.get(data[1] & 0x7F, 2)


def frame_size(data: bytes) -> int | None:
    """The size of the server's frame that ``data`` begins with; None if that cannot be told yet."""
    if len(data) < 2 or len(data) < _head_size(data):
        return None
    head = _head_size(data)
    return head + (int.from_bytes(data[2:head]) if head > 2 else data[1])


async def open_subscribers(count: int, port: int, origin: str, tally: Tally) -> list[Subscriber]:
    """
    Open ``count`` connections to this machine, a hundred at once.

    Raises:
        OSError: If one is refused.
        TimeoutError: If a handshake takes longer than half a minute.
    """
    loop = asyncio.get_running_loop()

    async def open_one() -> Subscriber:
        async with asyncio.timeout(OPEN_SECONDS):
            _, subscriber = await loop.create_connection(lambda: Subscriber(tally, port, origin), "127.0.0.1", port)
            await subscriber.opened
            return subscriber

    subscribers: list[Subscriber] = []
    while len(subscribers) < count:
        batch = min(HANDSHAKES_AT_ONCE, count - len(subscribers))
        subscribers += await asyncio.gather(*(open_one() for _ in range(batch)))
    return subscribers
