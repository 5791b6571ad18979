"""Calls that this server makes to others over HTTP. Bounded in number, time and size; redirects are not followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from users_server.errors import BackendError, Overloaded

USER_AGENT = "users-server"
MAX_HEADER_BYTES = 16_384


class JSONPoster:
    """
    :class:`users_server.protocols.base.PostsJSON`.

    Args:
        max_connections: Calls under way at once; others wait for their turn within their own time.
        max_waiting: Calls that may be under way or wait; one more raises :class:`Overloaded`.
        max_answer_bytes: The largest body that is read, whatever a call allows.
    """

    def __init__(
        self, *, max_connections: int = 100, max_waiting: int = 10_000, max_answer_bytes: int = 1_048_576
    ) -> None:
        self._client = SimpleAsyncHTTPClient(
            force_instance=True,
            max_clients=max_connections,
            max_body_size=max_answer_bytes,
            max_header_size=MAX_HEADER_BYTES,
        )
        self._max_waiting = max_waiting
        self._waiting = 0
        self._is_closed = False

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, max_answer_bytes: int
    ) -> tuple[int, bytes]:
        """See :class:`users_server.protocols.base.PostsJSON`."""
        if self._is_closed or self._waiting >= self._max_waiting:
            raise Overloaded
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._client.fetch(_request(url, body, headers, timeout_seconds), raise_error=False)
        except TimeoutError:
            raise BackendError("The other end did not answer in time") from None
        except (HTTPClientError, StreamClosedError, OSError, ValueError) as error:
            raise BackendError("The other end cannot be reached") from error
        finally:
            self._waiting -= 1
        if len(response.body) > max_answer_bytes:
            raise BackendError("The other end's answer is too large")
        return response.code, response.body

    async def close(self) -> None:
        """Make no more calls; those under way end in their own time. Idempotent."""
        self._is_closed = True
        self._client.close()


def _request(url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> HTTPRequest:
    return HTTPRequest(
        url,
        method="POST",
        body=body,
        headers={"Content-Type": "application/json", "Accept": "application/json", **headers},
        connect_timeout=timeout_seconds,
        request_timeout=timeout_seconds,
        follow_redirects=False,
        # a small answer of a stranger must not become a large one here
        decompress_response=False,
        user_agent=USER_AGENT,
    )
