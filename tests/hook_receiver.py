"""An endpoint of web hooks for tests, on a real socket: what it answers is up to the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""Keeps the connection."""


@dataclass(frozen=True)
class Hook:
    """A request that came. ``connection`` numbers the connections from 1."""

    path: str
    headers: dict[str, str]
    body: str
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Hook], "bytes | Awaitable[bytes | None] | None"]
"""What is sent back; :obj:`None`: the connection is closed without a word."""


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} Said\r\nContent-Length: 0\r\n\r\n".encode()


class HookReceiver:
    """Keeps in ``hooks`` what came, in order. A context manager; ``port`` is known inside."""

    def __init__(self, answer: Answer = lambda _: TAKEN, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answer = answer
        self.hooks: list[Hook] = []
        self.connections = 0
        self.most_at_once = 0
        self.port = port
        self._at_once = 0
        self._tls = tls
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/hook"

    async def __aenter__(self) -> HookReceiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_for(self, count: int, seconds: float = 10.0) -> list[Hook]:
        """The hooks, when there are ``count`` of them."""
        async with asyncio.timeout(seconds):
            while len(self.hooks) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.hooks

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (answer := await self._answer_one(reader, number)) is not None:
                    writer.write(answer)
                    await writer.drain()
                    if b"connection: close" in answer.lower() or b"content-length" not in answer.lower():
                        break
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _answer_one(self, reader: asyncio.StreamReader, number: int) -> bytes | None:
        hook = await read_request(reader, number)
        self.hooks.append(hook)
        self._changed.set()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = self.answer(hook)
            return await answer if isinstance(answer, Awaitable) else answer
        finally:
            self._at_once -= 1


async def read_request(reader: asyncio.StreamReader, number: int = 1) -> Hook:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(_pair(line) for line in head[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Hook(head[0].split(" ")[1], headers, body.decode(), number)


def _pair(line: str) -> tuple[str, str]:
    name, value = line.split(": ", 1)
    return name.lower(), value
