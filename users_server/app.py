"""
The composition root: from a configuration to a server, and the only place that names a concrete backend.

config → backends → node → services → routes → listeners; :class:`Server` starts them in this order and stops them in
the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from users_server.backends.memory import MemoryBroker
from users_server.backends.sqlite import SQLiteStore
from users_server.config import Config
from users_server.core.acceptance import Accepted
from users_server.core.clock import Clock, SystemClock
from users_server.core.hub import Hub
from users_server.core.interfaces import Broker, Store
from users_server.core.loop_lag import LoopLagProbe
from users_server.core.messages import JSON, Revocation
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.errors import ConfigError, Shutdown
from users_server.protocols.base import WireProtocol
from users_server.protocols.users.emitter import EventEmitter
from users_server.protocols.users.handlers import Context
from users_server.protocols.users.protocol import UsersProtocol
from users_server.services.identity import IdentityService
from users_server.services.origins import OriginPolicy
from users_server.services.passwords import PasswordService
from users_server.services.sessions import SessionService, SessionSweeper
from users_server.services.throttle import LoginThrottle
from users_server.services.tokens import TokenService
from users_server.services.user_events import PublishesEvents, UserEventPublisher
from users_server.services.users import UserService
from users_server.web.context import HttpContext
from users_server.web.metrics import Metrics
from users_server.web.routes import build_http_routes
from users_server.web.server import ListenSettings, OpenRequests, WebServer, make_application
from users_server.web.statistics_collector import StatisticsCollector
from users_server.web.websocket.conformance import CONFORMANCE_PATH, ConformanceProtocol
from users_server.web.websocket.entrance import Entrance
from users_server.web.websocket.links import LinkRegistry

log = structlog.stdlib.get_logger(__name__)


def open_store(config: Config) -> Store:
    """The configured store, not opened yet. Raises :class:`ConfigError` for a URL that no backend knows."""
    url = config.database.url
    if url.startswith("sqlite:"):
        return SQLiteStore(url)
    if url.startswith(("mongodb://", "mongodb+srv://")):
        from users_server.backends.mongodb import MongoStore

        return MongoStore(url)
    raise ConfigError("database.url", "expected sqlite:///FILE or mongodb://HOST/NAME")


def make_broker(config: Config) -> Broker:
    """The configured broker, not started yet. Raises :class:`ConfigError` for a URL that no backend knows."""
    if config.broker.url == "memory://":
        return MemoryBroker()
    raise ConfigError("broker.url", "expected memory://")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that protocols and routes call."""

    passwords: PasswordService
    sessions: SessionService
    tokens: TokenService
    identities: IdentityService
    users: UserService


def build_services(config: Config, store: Store, node: PublishesEvents, clock: Clock) -> Services:
    """Raises :class:`ConfigError` for token keys that cannot be used."""
    events = UserEventPublisher(node)
    passwords = PasswordService(config.passwords)
    sessions = SessionService(store, events, node, config.session, clock)
    tokens = TokenService(config.tokens, clock)
    throttle = LoginThrottle(config.login_limits, clock)
    users = UserService(store, passwords, sessions, events, throttle, clock, max_meta_bytes=config.http.max_meta_bytes)
    identities = IdentityService(store, sessions, tokens, config.websocket.socket_api_key)
    return Services(passwords, sessions, tokens, identities, users)


def build_node(config: Config, statistics: Statistics) -> Node:
    """A node whose hub flushes once a loop tick, or once a window of ``websocket.flushMilliseconds``."""
    loop = asyncio.get_running_loop()
    window_seconds = config.websocket.flush_milliseconds / 1000

    def schedule_flush(flush: Callable[[], None]) -> None:
        if window_seconds:
            loop.call_later(window_seconds, flush)
        else:
            loop.call_soon(flush)

    return Node(make_broker(config), Hub(schedule_flush, loop.time, statistics))


def build_user_service(config: Config, store: Store) -> UserService:
    """Accounts for a command that works on an opened ``store`` by itself. Its events reach nobody."""
    return build_services(config, store, _NobodyListens(), SystemClock()).users


class Server:
    """
    One server process.

    After :meth:`start`, ``http_port`` and ``websocket_port`` are the real ports and ``generated_password`` is the super
    admin's, if one had to be made.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._is_open = False
        self._undo: list[Callable[[], Awaitable[None]]] = []
        self.generated_password: str | None = None
        self.http_port = 0
        self.websocket_port = 0

    async def start(self) -> None:
        """
        Start everything; when this returns, clients are served. If it raises, nothing is left running.

        Raises:
            ConfigError: If a part of the configuration cannot be used.
            StartupError: If a port is taken, or a file or the schema of the database cannot be used.
            StoreUnavailable: If the database cannot be reached.
        """
        try:
            await self._start()
        except BaseException:
            await self._unwind()
            raise

    async def _start(self) -> None:
        config, clock = self._config, SystemClock()
        store = open_store(config)
        self._undo.append(store.close)
        await store.open()
        statistics = Statistics(started_at=clock.monotonic())
        node = build_node(config, statistics)
        self._undo.append(node.stop)
        await node.start()
        services = build_services(config, store, node, clock)
        self._undo.append(services.passwords.close)
        self.generated_password = await services.users.ensure_admin(config.admin_user)
        sweeper = SessionSweeper(services.sessions)
        self._undo.append(sweeper.stop)
        await sweeper.start()
        probe = LoopLagProbe(statistics.loop_lag)
        probe.start()
        self._undo.append(_as_coroutine(probe.stop))
        self._open_to_clients(node, store, services, clock)

    def _open_to_clients(self, node: Node, store: Store, services: Services, clock: Clock) -> None:
        config = self._config
        links = LinkRegistry(config.websocket)
        requests = OpenRequests()
        metrics = Metrics()
        metrics.attach(StatisticsCollector(node.statistics, lambda: [link.queued_bytes for link in links.links()]))
        context = HttpContext(
            http=config.http,
            session=config.session,
            compatibility=config.compatibility,
            is_tls=config.tls.is_enabled,
            users=services.users,
            sessions=services.sessions,
            identities=services.identities,
            tokens=services.tokens,
            node=node,
            origins=OriginPolicy(config.http.approved_domains),
            emit=EventEmitter(node).emit,
            checks={"database": store.check, "broker": node.check},
            metrics=metrics,
            token_settings=config.tokens,
            clock=clock,
        )
        entrance = Entrance(
            protocols=self._protocols(node, services, clock),
            links=links,
            identities=services.identities,
            origins=OriginPolicy(config.websocket.approved_socket_domains),
            trusted_proxies=frozenset(config.http.trusted_proxies),
            offers_deflate=config.websocket.compression,
            is_open=lambda: self._is_open,
            clock=clock,
        )
        server = WebServer(
            ListenSettings(config.host, config.http, config.websocket, config.tls),
            entrance,
            make_application(build_http_routes(context), requests),
            requests,
        )
        self._is_open = True
        server.start()
        links.start()
        self.http_port, self.websocket_port = server.http_port, server.websocket_port

        async def close_to_clients() -> None:
            """In the order of the spec: accept no more, say goodbye, finish what was accepted."""
            self._is_open = False
            server.stop_accepting()
            node.close_all(Shutdown())
            await asyncio.gather(links.drain(config.shutdown_seconds), server.stop(config.shutdown_seconds))

        self._undo.append(close_to_clients)

    def _protocols(self, node: Node, services: Services, clock: Clock) -> Mapping[str, WireProtocol]:
        settings = self._config.websocket
        protocols: dict[str, WireProtocol] = {
            settings.path: UsersProtocol(
                Context(services.users),
                node,
                clock,
                audience=settings.user_events.value,
                messages_per_second=settings.messages_per_second,
            )
        }
        if self._config.conformance:
            protocols[CONFORMANCE_PATH] = ConformanceProtocol()
        return protocols

    async def stop(self) -> None:
        """
        Stop in order: accept no more, close sockets with 1001, finish what was accepted, let go of the backends.

        Takes ``shutdownSeconds`` at most, and what little the backends need. Idempotent.
        """
        await self._unwind()

    async def _unwind(self) -> None:
        while self._undo:
            undo = self._undo.pop()
            try:
                await undo()
            except Exception:
                log.exception("a part of the server did not stop cleanly")


def _as_coroutine(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call


class _NobodyListens:
    """A node for commands that run beside the server, in a process without clients."""

    def publish(self, app: str, channel: str, event: str, data: Mapping[str, JSON]) -> Awaitable[None]:
        return Accepted(None)

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        return Accepted(None)
