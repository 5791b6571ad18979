"""A line to an S3 server on which a test lets single requests go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import re
from types import TracebackType

HEAD_BYTES = 65_536
BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 73\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>\r\n"
)


class Fault(enum.Enum):
    """What happens to a request."""

    BUSY = "503, and the server does not see it"
    LOST = "the server does it, and its answer is lost"
    CUT = "the answer is cut off near its end"
    SILENT = "nobody answers, and the server does not see it"


class FaultyLine:
    """
    ``async with FaultyLine(port) as line``: clients use ``line.url``. Each connection carries one request, as moto
    closes it after its answer.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._faults: list[tuple[re.Pattern[str], Fault]] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests: list[str] = []
        self.met = asyncio.Event()
        """Set when a request has met a fault."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plan(self, request: str, fault: Fault, *, times: int = 1) -> None:
        """For the next requests in whose first line the expression ``request`` is found."""
        self._faults += [(re.compile(request), fault)] * times

    async def __aenter__(self) -> FaultyLine:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                line = head.partition(b"\r\n")[0].decode()
                self.requests.append(line)
                fault = self._fault_of(line)
                if fault is Fault.SILENT:
                    await reader.read()
                elif fault is Fault.BUSY:
                    writer.write(BUSY)
                    await writer.drain()
                else:
                    await self._forward(head, reader, writer, fault)
            finally:
                writer.close()

    def _fault_of(self, line: str) -> Fault | None:
        for planned in self._faults:
            if planned[0].search(line):
                self._faults.remove(planned)
                self.met.set()
                return planned[1]
        return None

    async def _forward(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        there_writer.write(head)
        asking = asyncio.ensure_future(_pump(reader, there_writer))
        try:
            if fault is None:
                await _pump(there_reader, writer)
                return
            answer = await there_reader.readuntil(b"\r\n\r\n")
            if answer.startswith(b"HTTP/1.1 100"):
                writer.write(answer)
                answer = b""
            answer += await there_reader.read()
            if fault is Fault.CUT:
                writer.write(answer[:-10])
                await writer.drain()
        finally:
            asking.cancel()
            there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
