"""
A Tornado stream as an asyncio transport: how a link runs over TLS.

A TLS session cannot be handed from Tornado to asyncio in the middle, so Tornado's stream stays and is driven by the
same protocol class as a detached socket. Frames, limits and close codes are therefore the same on both.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from tornado.iostream import IOStream, StreamClosedError

log = structlog.stdlib.get_logger(__name__)

READ_BYTES = 65_536


class StreamTransport(asyncio.Transport):
    """:class:`asyncio.Transport` over ``stream``, of which nothing may be in progress."""

    def __init__(self, stream: IOStream, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._stream = stream
        self._protocol = protocol
        self._loop = loop
        self._can_read = asyncio.Event()
        self._can_read.set()
        self._unsent_bytes = 0
        self._high, self._low = 65_536, 16_384
        self._is_protocol_paused = False
        self._is_closing = False
        self._is_lost = False
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect the protocol and begin to read."""
        self._stream.set_close_callback(self._lost)
        self._protocol.connection_made(self)
        self._reader = self._loop.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                await self._can_read.wait()
                data = await self._stream.read_bytes(READ_BYTES, partial=True)
                self._protocol.data_received(data)
        except StreamClosedError:
            self._lost()
        except Exception:
            log.exception("websocket dropped")  # as asyncio does with what its protocols raise
            self.abort()

    def _lost(self) -> None:
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()
        error = self._stream.error
        self._loop.call_soon(self._protocol.connection_lost, error if isinstance(error, Exception) else None)

    def write(self, data: Any) -> None:
        if self._is_lost or not data:
            return
        try:
            sent = self._stream.write(data)
        except StreamClosedError:
            return
        count = len(data)
        self._unsent_bytes += count
        sent.add_done_callback(lambda _: self._sent(count))
        if self._unsent_bytes > self._high and not self._is_protocol_paused:
            self._is_protocol_paused = True
            self._protocol.pause_writing()

    def _sent(self, count: int) -> None:
        self._unsent_bytes -= count
        if self._is_protocol_paused and self._unsent_bytes <= self._low and not self._is_lost:
            self._is_protocol_paused = False
            self._protocol.resume_writing()
        if self._is_closing and self._unsent_bytes == 0:
            self._stream.close()

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if self._unsent_bytes == 0:
                self._stream.close()

    def abort(self) -> None:
        self._is_closing = True
        self._stream.close()

    def is_closing(self) -> bool:
        return self._is_closing

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._can_read.clear()

    def resume_reading(self) -> None:
        self._can_read.set()

    def is_reading(self) -> bool:
        return self._can_read.is_set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes
