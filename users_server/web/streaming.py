"""Bodies that are never whole in memory: what clients upload, and files on their way to clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from users_server.errors import BackendError, ClientError, NotFound, PayloadTooLarge
from users_server.web.body import DISCARD_FACTOR

log = structlog.stdlib.get_logger(__name__)


class BodyStream:
    """
    The chunks of a request's body, as they come. One waits at most; while it does, nothing is read from the client.

    Iterating raises :class:`PayloadTooLarge` over ``limit`` bytes, and :class:`ClientError` if the client sends nothing
    for ``idle_seconds``.
    """

    def __init__(self, limit: int, idle_seconds: float) -> None:
        self.limit = limit
        self.is_complete = False
        self.is_stalled = False
        self._idle_seconds = idle_seconds
        self._received = 0
        self._is_wanted = True
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

    async def put(self, chunk: bytes) -> None:
        """Hand a chunk over; returns when there is room for the next one. What nobody wants is dropped."""
        self._received += len(chunk)
        if self._is_wanted and self._received - len(chunk) <= self.limit:
            await self._chunks.put(chunk)

    async def end(self) -> None:
        """The body is complete."""
        self.is_complete = True
        if self._is_wanted:
            await self._chunks.put(b"")

    def close(self) -> None:
        """Nobody wants the rest."""
        self._is_wanted = False
        while not self._chunks.empty():
            self._chunks.get_nowait()

    def refusal(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The request is larger than {self.limit} bytes")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    chunk = await self._chunks.get()
            except TimeoutError:
                self.is_stalled = True
                raise ClientError("The rest of the request did not come in time") from None
            if not chunk:
                return
            if self._received > self.limit:
                raise self.refusal()
            yield chunk


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """
    A file, a part of it, or only what there is to say about it.

    ``content`` is :obj:`None` where the answer has no body. ``count`` is called when the content is at hand, before
    anything of it is sent, and may refuse.
    """

    status: int
    headers: Mapping[str, str]
    content: AsyncIterator[bytes] | None = None
    count: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)


class StreamingHandler(RequestHandler):
    """What a handler needs to take a body in chunks, and to send one."""

    _stream: BodyStream | None = None
    _work: asyncio.Future[Any] | None = None

    def _begin_stream(self, stream: BodyStream, work: Callable[[], Awaitable[Any]], *, timeout_seconds: float) -> None:
        """
        Begin ``work`` before the body has come, which then goes to ``stream``.

        It is cancelled if the connection is lost before the body is complete.
        """
        connection = self._connection
        connection.set_max_body_size(stream.limit * DISCARD_FACTOR)
        connection.set_body_timeout(timeout_seconds)
        self._stream = stream
        self._work = asyncio.ensure_future(work())
        self._work.add_done_callback(self._stop_reading)

    def _stop_reading(self, work: asyncio.Future[Any]) -> None:
        if self._stream is not None:
            self._stream.close()
            if self._stream.is_stalled:
                # who sends nothing would keep the connection without ever asking for the answer
                self._connection.stream.close()
        if not work.cancelled():
            work.exception()  # seen: if the client is gone, nobody else will ask

    async def _streamed(self) -> Any:
        """What the work gives, now that the body is complete."""
        if self._stream is None or self._work is None:
            raise RuntimeError("no stream was begun")
        await self._stream.end()
        return await self._work

    def on_connection_close(self) -> None:
        if self._stream is not None and self._work is not None and not self._stream.is_complete:
            self._work.cancel()
        super().on_connection_close()

    async def _send_file(self, answer: FileAnswer, *, idle_seconds: float) -> None:
        """
        Send ``answer``, with one chunk in memory, no faster than the client takes it.

        A client that takes nothing for ``idle_seconds`` is dropped. Raises what the first chunk does, and ``count``;
        after that nothing was sent.
        """
        if answer.content is None:
            self._set_head(answer)
            await self.finish()
            return
        async with contextlib.aclosing(cast("Any", answer.content)) as content:
            chunk = await anext(content, b"")
            if answer.count is not None:
                await answer.count()
            self._set_head(answer)
            try:
                while chunk:
                    async with asyncio.timeout(idle_seconds):
                        self.write(chunk)
                        await self.flush()
                    chunk = await anext(content, b"")
                await self.finish()
            except StreamClosedError:
                log.debug("download cut off by the client")
            except (TimeoutError, BackendError, NotFound) as error:
                # too late for an answer that says so; the missing bytes tell the client
                log.info("download cut off", error=type(error).__name__)
                self._connection.stream.close()

    @property
    def _connection(self) -> HTTP1Connection:
        return cast(HTTP1Connection, self.request.connection)

    def _set_head(self, answer: FileAnswer) -> None:
        self.set_status(answer.status)
        self.clear_header("Content-Type")
        for name, value in answer.headers.items():
            self.set_header(name, value)
