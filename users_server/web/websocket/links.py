"""The links of a server: admission, keep-alive, and their end at shutdown."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

import structlog

from users_server.errors import ServerFull
from users_server.protocols.base import Receiver
from users_server.web.settings import WebSocketSettings
from users_server.web.websocket.keep_alive import KeepAlive
from users_server.web.websocket.link import LinkSettings, WebSocketLink

log = structlog.stdlib.get_logger(__name__)


class LinkRegistry:
    """
    All links of one server.

    Limits are counted from admission, so that links on their way in count too.
    """

    def __init__(self, settings: WebSocketSettings, node_id: str) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._loop = loop
        self._tasks: set[asyncio.Future[None]] = set()
        self._link_settings = LinkSettings(
            settings, loop, self, min(65_536, max(1, settings.send_queue_bytes // 2)), self._tasks
        )
        self._keep_alive = KeepAlive(
            loop,
            interval_seconds=settings.ping_interval_seconds,
            timeout_seconds=settings.ping_timeout_seconds,
        )
        self._links: set[WebSocketLink] = set()
        self._by_address: dict[str, int] = {}
        self._admitted = 0
        self._ids = itertools.count(1)
        self._node_id = node_id
        self._became_empty = asyncio.Event()
        self._logs_links = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)

    def start(self) -> None:
        self._keep_alive.start()

    def new_connection_id(self) -> str:
        """Unique in the cluster, as the node's id is."""
        return f"{self._node_id}-{next(self._ids)}"

    def admit(self, address: str) -> ServerFull | None:
        """Count one link from ``address``, or say why there is no room; then nothing was counted."""
        settings, here = self._settings, self._by_address.get(address, 0)
        if settings.max_connections and self._admitted >= settings.max_connections:
            return ServerFull()
        if settings.max_connections_per_address and here >= settings.max_connections_per_address:
            return ServerFull("Too many connections from this address")
        self._admitted += 1
        self._by_address[address] = here + 1
        return None

    def new_link(
        self,
        connection_id: str,
        address: str,
        *,
        greeting: bytes,
        open_receiver: Callable[[WebSocketLink], Receiver | None],
        first_bytes: bytes,
        accepts_deflate: bool,
    ) -> WebSocketLink:
        """Make a link and keep it until it is closed. ``address`` is empty if it was not admitted."""
        link = WebSocketLink(
            self._link_settings,
            connection_id,
            address,
            greeting=greeting,
            open_receiver=open_receiver,
            first_bytes=first_bytes,
            accepts_deflate=accepts_deflate,
        )
        self._links.add(link)
        self._keep_alive.watch(link)
        if self._logs_links:
            log.debug("websocket opened", connection=connection_id, address=address)
        return link

    def link_closed(self, link: WebSocketLink) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        if self._logs_links:
            log.debug("websocket closed", connection=link.connection_id)
        address = link.address
        if address:
            self._admitted -= 1
            here = self._by_address[address] - 1
            if here:
                self._by_address[address] = here
            else:
                del self._by_address[address]
        if not self._links:
            self._became_empty.set()

    async def drain(self, timeout_seconds: float) -> None:
        """
        Wait until every link is gone and every message that was read is worked on, and drop what is not in time.

        Closing the links is the caller's doing.
        """
        deadline = self._loop.time() + timeout_seconds
        self._became_empty.clear()
        if self._links:
            try:
                await asyncio.wait_for(self._became_empty.wait(), timeout_seconds)
            except TimeoutError:
                log.warning("websockets dropped at shutdown", count=len(self._links))
        for link in tuple(self._links):
            link.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, deadline - self._loop.time()))
        self._keep_alive.stop()

    def links(self) -> tuple[WebSocketLink, ...]:
        return tuple(self._links)
