"""Calls of endpoints over connections that are kept: see :class:`users_server.services.webhooks.CallsEndpoints`."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from users_server.core.clock import Clock
from users_server.services.webhooks import CallFailed
from users_server.web.endpoints.addresses import AddressBook, Resolve, resolve
from users_server.web.endpoints.connection import BadAnswer, ConnectionLost, EndpointConnection
from users_server.web.outgoing import USER_AGENT

IDLE_SECONDS = 15.0
"""How long a connection is kept that nobody uses; many servers end theirs sooner."""

CONNECT_SHARE = 0.4
"""What part of a call's time one of several addresses may take to be connected to."""

BAD_URL = "The endpoint is not a URL that can be called"
NO_CONNECTION = "No connection to the endpoint"


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL says. ``path`` is what stands in the request, with the query; it may hold a secret."""

    is_tls: bool
    host: str
    port: int
    authority: str
    path: str = field(repr=False)

    @property
    def origin(self) -> tuple[bool, str, int]:
        return self.is_tls, self.host, self.port


class EndpointClient:
    """
    Keeps connections to endpoints. How many calls are under way at once is for the caller to bound.

    Args:
        allows_private: Whether endpoints may be on addresses that are not public.
        max_idle: How many connections are kept that nobody uses; the one that was used longest ago goes first.
        tls: What to trust; by default the authorities of the system.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        allows_private: bool,
        max_idle: int,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._addresses = AddressBook(clock, allows_private=allows_private, resolve=resolve)
        self._max_idle = max_idle
        self._tls = tls or ssl.create_default_context()
        self._idle: OrderedDict[tuple[bool, str, int], deque[EndpointConnection]] = OrderedDict()
        self._idle_count = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float) -> int:
        """See :class:`users_server.services.webhooks.CallsEndpoints`."""
        target = parse_url(url)
        request = _request(target, body, headers)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._call(target, request, timeout_seconds)
        except TimeoutError:
            raise CallFailed(f"The endpoint did not answer within {timeout_seconds:g} s") from None
        except (ConnectionLost, BadAnswer) as error:
            raise CallFailed(str(error)) from None

    def close(self) -> None:
        """End the connections that nobody uses, and keep none from now on. Idempotent."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for kept in self._idle.values():
            for connection in kept:
                connection.close()
        self._idle.clear()
        self._idle_count = 0

    async def _call(self, target: Target, request: bytes, timeout_seconds: float) -> int:
        connection = self._take(target)
        if connection is not None:
            try:
                return await self._send(target, connection, request)
            except ConnectionLost as error:
                if not error.is_untouched:
                    raise
                # it was closed while nobody used it, as servers do
        return await self._send(target, await self._connect(target, timeout_seconds), request)

    async def _send(self, target: Target, connection: EndpointConnection, request: bytes) -> int:
        try:
            status = await connection.send(request)
        except BaseException:
            connection.close()
            raise
        self._keep(target, connection)
        return status

    def _take(self, target: Target) -> EndpointConnection | None:
        """The connection that was used last, which is the least likely to be closed meanwhile."""
        kept = self._idle.get(target.origin)
        while kept:
            connection = kept.pop()
            self._idle_count -= 1
            if not kept:
                del self._idle[target.origin]
            if connection.is_usable:
                return connection
            connection.close()
        return None

    def _keep(self, target: Target, connection: EndpointConnection) -> None:
        if self._is_closed or not connection.is_usable or not self._max_idle:
            connection.close()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.setdefault(target.origin, deque()).append(connection)
        self._idle.move_to_end(target.origin)
        self._idle_count += 1
        if self._idle_count > self._max_idle:
            self._drop_oldest(next(iter(self._idle)))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS / 3, self._sweep)

    def _drop_oldest(self, origin: tuple[bool, str, int]) -> None:
        kept = self._idle[origin]
        kept.popleft().close()
        self._idle_count -= 1
        if not kept:
            del self._idle[origin]

    def _sweep(self) -> None:
        self._sweeper = None
        oldest = self._clock.monotonic() - IDLE_SECONDS
        for origin in tuple(self._idle):
            while origin in self._idle and self._idle[origin][0].idle_since < oldest:
                self._drop_oldest(origin)
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS / 3, self._sweep)

    async def _connect(self, target: Target, timeout_seconds: float) -> EndpointConnection:
        """To one of the addresses that were checked, one after the other."""
        addresses = await self._addresses.look_up(target.host, target.port)
        reason = NO_CONNECTION
        for number, address in enumerate(addresses, 1):
            share = None if number == len(addresses) else timeout_seconds * CONNECT_SHARE
            try:
                async with asyncio.timeout(share):
                    return await self._connect_to(address, target)
            except ssl.SSLError as error:
                reason = f"{NO_CONNECTION}: TLS failed ({_tls_reason(error)})"
            except TimeoutError:
                reason = f"{NO_CONNECTION}: it took too long"
            except OSError as error:
                reason = f"{NO_CONNECTION}: {error.strerror or 'it failed'}"
        self._addresses.forget(target.host, target.port)
        raise CallFailed(reason)

    async def _connect_to(self, address: str, target: Target) -> EndpointConnection:
        _, connection = await asyncio.get_running_loop().create_connection(
            EndpointConnection,
            address,
            target.port,
            ssl=self._tls if target.is_tls else None,
            server_hostname=target.host if target.is_tls else None,
        )
        return connection


def parse_url(url: str) -> Target:
    """
    What a call of ``url`` needs.

    Raises:
        CallFailed: It is not an ``http`` or ``https`` URL of printable ASCII, or has a user and a password in it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise CallFailed(BAD_URL) from None
    is_printable = url.isascii() and url.isprintable() and " " not in url
    if not is_printable or parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or port == 0:
        raise CallFailed(BAD_URL)
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_tls, host, port or (443 if is_tls else 80), parts.netloc, path)


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"host: {target.authority}",
        f"user-agent: {USER_AGENT}",
        "accept: */*",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    head = "\r\n".join(lines)
    if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
        raise ValueError("a header has a line break in it")
    return head.encode("latin-1") + b"\r\n\r\n" + body


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    return error.reason or "no reason given"
