"""The services for a command that works beside the servers, on the database itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

import structlog

from users_server.app.backends import ALONE, make_bus, new_node_id, open_storage, open_store
from users_server.app.flows import api_url
from users_server.app.services import Services, TellsNodes, build_services
from users_server.config import Config
from users_server.core.acceptance import Accepted
from users_server.core.clock import SystemClock
from users_server.core.interfaces import Broker
from users_server.core.messages import JSON, Gap, Notice, PresenceChange, Publication, Revocation
from users_server.errors import BackendError

log = structlog.stdlib.get_logger(__name__)


@asynccontextmanager
async def open_services(config: Config) -> AsyncIterator[Services]:
    """
    The services over an open store.

    With a Redis broker, events, revocations and notices reach the servers that run. If it is away, that is a warning:
    the command does its work in the database all the same. Without Redis nobody is told.

    Raises:
        ConfigError, StartupError, StoreUnavailable: As :meth:`users_server.app.Server.start`.
    """
    clock = SystemClock()
    store = open_store(config)
    try:
        await store.open()
        broker: Broker | None = None
        if config.broker.url != ALONE:
            broker = await _joined(make_bus(config, new_node_id(), store, clock).broker)
        try:
            nodes: TellsNodes = _NobodyListens() if broker is None else _Others(broker)
            storage = open_storage(config)
            services = build_services(config, store, nodes, clock, storage, lambda: api_url(config, config.http.port))
            try:
                await storage.open()
                yield services
            finally:
                await storage.close()
                await services.apps.stop()
                await services.passwords.close()
                await services.safety.audit.stop()
        finally:
            if broker is not None:
                await broker.stop()
    finally:
        await store.close()


async def _joined(broker: Broker) -> Broker | None:
    try:
        await broker.start(_HearsNothing())
        await broker.check()
    except BackendError as error:
        log.warning("the servers that run are told nothing", reason=error.reason, message=error.message)
        await broker.stop()
        return None
    return broker


class _Others:
    """The nodes that run, for a process that is none of them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def publish(self, app: str, channel: str, event: str, data: Mapping[str, JSON]) -> Awaitable[object]:
        return self._broker.publish(Publication(app, channel, event, data))

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        return self._broker.revoke(revocation)

    def notify(self, notice: Notice) -> Awaitable[None]:
        return self._broker.notify(notice)


class _NobodyListens:
    """The same where no node could hear."""

    def publish(self, app: str, channel: str, event: str, data: Mapping[str, JSON]) -> Awaitable[object]:
        return Accepted(None)

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        return Accepted(None)

    def notify(self, notice: Notice) -> Awaitable[None]:
        return Accepted(None)


class _HearsNothing:
    """A :class:`users_server.core.interfaces.PublicationHandler` without clients."""

    def handle_publication(self, publication: Publication) -> None: ...

    def handle_presence(self, change: PresenceChange) -> None: ...

    def handle_gap(self, gap: Gap) -> None: ...

    def handle_revocation(self, revocation: Revocation) -> None: ...

    def handle_notice(self, notice: Notice) -> None: ...

    def handle_interruption(self) -> None: ...
