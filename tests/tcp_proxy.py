"""A line that a test may cut, block, or make one-way: TCP, from a free port to another one of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType


class TCPProxy:
    """``async with TCPProxy(port) as proxy``: clients connect to ``proxy.port``."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._answers = asyncio.Event()
        self._is_cut = False
        self.port = 0
        self.connections = 0

    async def __aenter__(self) -> TCPProxy:
        self._flows.set()
        self._answers.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Drop every connection, and let nobody in."""
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Everything goes through again."""
        self._is_cut = False
        self._flows.set()
        self._answers.set()

    def block(self) -> None:
        """Connections stay, and nothing goes through."""
        self._flows.clear()

    def swallow_answers(self) -> None:
        """What clients send goes through, and nothing comes back; it is lost at the next :meth:`cut`."""
        self._answers.clear()

    @contextlib.asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Cut the line for the time of a block."""
        self.cut()
        try:
            yield
        finally:
            self.mend()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        ways = [self._pump(reader, there_writer, self._flows), self._pump(there_reader, writer, self._answers)]
        for way in ways:
            task = asyncio.ensure_future(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_go: asyncio.Event) -> None:
        try:
            while data := await reader.read(65536):
                await may_go.wait()
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except (OSError, RuntimeError):
            pass  # uvloop raises the latter for a transport that was aborted
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
