"""
One HTTP/1.1 connection to an endpoint: a request and its answer, again and again.

Rule: of an answer the status counts. Its headers and body are read, within bounds, only to find the next answer.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 65_536


class ConnectionLost(Exception):
    """The connection ended before an answer was whole. ``is_untouched`` if nothing of an answer had come."""

    def __init__(self, *, is_untouched: bool) -> None:
        super().__init__("The endpoint closed the connection before it had answered")
        self.is_untouched = is_untouched


class BadAnswer(Exception):
    """What came is no HTTP/1.1 answer, or too large a head of one."""


class EndpointConnection(asyncio.Protocol):
    """
    To be used by one caller at a time.

    Attributes:
        calls: How many answers have come.
        idle_since: For the owner.
    """

    __slots__ = (
        "_answer",
        "_body_bytes",
        "_has_head",
        "_has_length",
        "_head_bytes",
        "_header_bytes",
        "_is_reusable",
        "_parser",
        "_transport",
        "calls",
        "idle_since",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[int] | None = None
        self._is_reusable = True
        self._reset()

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent, as far as is known here."""
        transport = self._transport
        return self._is_reusable and self._answer is None and transport is not None and not transport.is_closing()

    def send(self, request: bytes) -> asyncio.Future[int]:
        """
        Send a whole request; the status of its answer.

        The future raises :class:`ConnectionLost` or :class:`BadAnswer`. Whoever gives up must :meth:`close`.
        """
        assert self._transport is not None  # noqa: S101 - is_usable was asked
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """End the connection, at once. Idempotent."""
        self._is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        self._head_bytes = 0
        self._header_bytes = 0
        self._body_bytes = 0
        self._has_head = False
        self._has_length = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._is_reusable = False
        if self._has_head and not self._has_length and exc is None:
            self._finish(self._status())  # an answer that ends with its connection
        else:
            self._fail(ConnectionLost(is_untouched=not self._head_bytes))

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._parser is None:
            self.close()  # nothing was asked
            return
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._answer is not None:
                self._fail(BadAnswer("The endpoint did not answer in HTTP/1.1"))
            self.close()
            return
        if not self._has_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    # What httptools calls

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.close()  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
        self._has_length = self._has_length or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        if self._status() >= 200:
            self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            # the status has been said, and nobody reads on
            self._finish(self._status())
            self.close()

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is None or not self._has_head:
            return  # an answer that only announces another
        self._is_reusable = self._is_reusable and parser.should_keep_alive()
        self._finish(self._status())
        if not self._is_reusable:
            self.close()

    def _refuse_head(self) -> None:
        self._fail(BadAnswer("The headers of the endpoint's answer are too large"))
        self.close()

    def _status(self) -> int:
        return self._parser.get_status_code() if self._parser is not None else 0

    def _finish(self, status: int) -> None:
        answer, self._answer, self._parser = self._answer, None, None
        if answer is not None and not answer.done():
            self.calls += 1
            answer.set_result(status)

    def _fail(self, error: Exception) -> None:
        self._is_reusable = False
        answer, self._answer, self._parser = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
