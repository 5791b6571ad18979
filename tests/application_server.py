"""An application's HTTP end: a real server whose answers a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets

Answer = tuple[int, bytes]


@dataclass
class Application:
    """
    Listens on a free port and keeps what it was asked.

    ``answer`` makes the answer; :meth:`hold` makes all wait until :meth:`release`.
    """

    answer: Callable[[bytes], Answer] = lambda body: (200, b"")
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._gate = asyncio.Event()
        self._gate.set()
        self._came = asyncio.Condition()
        self._server = HTTPServer(self._serve)
        (self._socket,) = bind_sockets(0, "127.0.0.1")
        self.port = self._socket.getsockname()[1]
        self._server.add_sockets([self._socket])
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/relay"

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def wait_for(self, count: int) -> None:
        """Until so many requests have come."""
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(lambda: len(self.requests) >= count), 10)

    def _serve(self, request: HTTPServerRequest) -> None:
        task = asyncio.ensure_future(self._reply(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, request: HTTPServerRequest) -> None:
        async with self._came:
            self.requests.append((request.path, dict(request.headers.items()), request.body))
            self._came.notify_all()
        await self._gate.wait()
        status, body = self.answer(request.body)
        head = f"HTTP/1.1 {status} Answer\r\nContent-Length: {len(body)}\r\nLocation: {self.url}\r\n\r\n"
        connection = request.connection
        if connection is not None:
            stream = connection.detach()
            try:
                await stream.write(head.encode() + body)
            finally:
                stream.close()

    async def __aenter__(self) -> Application:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await self.close()

    async def close(self) -> None:
        """Listen no more; a call is refused then."""
        self._server.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.close_all_connections()
