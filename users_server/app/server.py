"""One server process: everything that is configured, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from users_server.app.backends import Bus, ConfiguredStore, make_bus, new_node_id, open_storage, open_store
from users_server.app.flows import api_url, build_account_flows
from users_server.app.services import Services, build_services
from users_server.app.webhooks import ServerWebhooks
from users_server.app.wiring import DefaultApp, connect_services, make_node
from users_server.config import Config
from users_server.config.ports import listening_ports
from users_server.config.protocols import PROTOCOLS
from users_server.core.clock import Clock, SystemClock
from users_server.core.loop_lag import LoopLagProbe
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.errors import Shutdown
from users_server.protocols.base import BuiltProtocol, Foundation, Mount, Part
from users_server.protocols.users.admission import Doorkeeper
from users_server.protocols.users.emitter import EventEmitter
from users_server.protocols.users.handlers import Context
from users_server.protocols.users.protocol import UsersProtocol
from users_server.services.account_flows import AccountFlows
from users_server.services.app_origins import AppOrigins
from users_server.services.apps import NewApp
from users_server.services.idempotency import EXPIRE_SECONDS as KEYS_EXPIRE_SECONDS
from users_server.services.origins import OriginPolicy
from users_server.services.periodic import PeriodicTask
from users_server.services.publishing import PublishingService
from users_server.services.sessions import EXPIRE_SECONDS
from users_server.services.socket_audit import SocketAudit
from users_server.services.webhooks import WebhookService
from users_server.web.context import HttpContext
from users_server.web.documents import ApiDocuments
from users_server.web.metrics import Metrics
from users_server.web.outgoing import JSONPoster
from users_server.web.protocol_routes import ProtocolEdge, own_routes, protocol_routes
from users_server.web.routes import ROUTES, build_http_routes, normalise_prefix
from users_server.web.server import ListenSettings, OpenRequests, WebServer, bind, make_application
from users_server.web.statistics_collector import StatisticsCollector
from users_server.web.status import StatusServer
from users_server.web.webhook_collector import WebhookCollector
from users_server.web.websocket.conformance import CONFORMANCE_PATH, ConformanceProtocol
from users_server.web.websocket.entrance import Entrance
from users_server.web.websocket.links import LinkRegistry

log = structlog.stdlib.get_logger(__name__)

LAST_MAILS_SECONDS = 3.0
"""How long the mails that wait may take when the server stops."""


class Server:
    """
    One server process.

    After :meth:`start`, ``http_port`` and ``websocket_port`` are the real ports, ``generated_password`` is the super
    admin's, if one had to be made, and ``new_app`` the default app with its secrets, if this start made it.

    Args:
        worker: The number of this process among several that listen on the same ports, from 0; :obj:`None` for a
            process that has its ports alone.
    """

    def __init__(self, config: Config, *, worker: int | None = None) -> None:
        self._config = config
        self._worker = worker
        self._is_open = False
        self._undo: list[Callable[[], Awaitable[None]]] = []
        self.generated_password: str | None = None
        self.new_app: NewApp | None = None
        self.http_port = 0
        self.websocket_port = 0

    async def start(self) -> None:
        """
        Start everything; when this returns, clients are served. If it raises, nothing is left running.

        Raises:
            ConfigError: If a part of the configuration cannot be used.
            StartupError: If a port is taken, or a file or the schema of the database cannot be used.
            StoreUnavailable: If the database cannot be reached.
            BrokerUnavailable: If Redis cannot be reached.
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
        storage = open_storage(config)
        self._undo.append(storage.close)
        await storage.open()
        statistics = Statistics(started_at=clock.monotonic())
        node_id = new_node_id()
        bus = make_bus(config, node_id, store, clock)
        node = make_node(config, bus, node_id, clock, statistics)
        services = build_services(config, store, node, clock, storage, lambda: api_url(config, self.http_port))
        self._undo.append(services.passwords.close)
        self._undo.append(node.stop)
        await self._join(node, services, store, clock)
        await self._keep_safe(services)
        self.generated_password = await services.users.ensure_admin(config.admin_user)
        self._undo.append(services.content.uploads.close)
        self._undo.append(services.content.sweeper.stop)
        await services.content.sweeper.start()
        for sweeper in (
            PeriodicTask("session-sweeper", services.sessions.expire, interval_seconds=EXPIRE_SECONDS),
            PeriodicTask("idempotency-sweeper", services.idempotency.expire, interval_seconds=KEYS_EXPIRE_SECONDS),
        ):
            self._undo.append(sweeper.stop)
            await sweeper.start()
        probe = LoopLagProbe(statistics.loop_lag)
        probe.start()
        self._undo.append(_as_coroutine(probe.stop))
        webhooks = ServerWebhooks(config, store, services, clock, node_id)
        self._undo.append(webhooks.stop)
        await webhooks.start()
        built = await self._start_protocols(node, bus, services, clock, webhooks.service)
        metrics = Metrics()
        metrics.attach(WebhookCollector(webhooks.service.figures))
        self._open_to_clients(node, bus, store, services, built, clock, metrics)

    async def _join(self, node: Node, services: Services, store: ConfiguredStore, clock: Clock) -> None:
        """Begin to hear what happens, with everything in place that must hear it."""
        audit = SocketAudit(node, store, clock)
        connect_services(node, services, audit)
        self._default_app = DefaultApp(services)
        self._undo.append(audit.stop)
        await audit.start()
        await node.start()
        self._undo.append(services.apps.stop)
        await services.apps.start()
        self.new_app = await services.apps.ensure_default()

    async def _keep_safe(self, services: Services) -> None:
        """Write the audit log, until nothing is left that could add to it."""
        self._undo.append(services.safety.audit.stop)
        await services.safety.audit.start()
        for task in services.safety.periodic_tasks():
            self._undo.append(task.stop)
            await task.start()

    async def _start_protocols(
        self, node: Node, bus: Bus, services: Services, clock: Clock, webhooks: WebhookService
    ) -> list[BuiltProtocol]:
        """The Users Socket API, and the folders that the configuration turns on."""
        settings = self._config.websocket
        origins = AppOrigins(OriginPolicy(settings.approved_socket_domains))
        users = UsersProtocol(
            Context(services.users),
            node,
            clock,
            Doorkeeper(services.identities, origins.approves, self._default_app),
            audience=settings.user_events.value,
            messages_per_second=settings.messages_per_second,
        )
        protocols = [BuiltProtocol([Mount(settings.path, users)])]
        if self._config.conformance:
            protocols.append(BuiltProtocol([Mount(CONFORMANCE_PATH, ConformanceProtocol())]))
        poster = JSONPoster()
        self._undo.append(poster.close)
        foundation = Foundation(
            node=node,
            clock=clock,
            apps=services.apps,
            publishing=PublishingService(node, node.rules, node.limits),
            idempotency=services.idempotency,
            identities=services.identities,
            http=poster,
            approves_origin=origins.approves,
            open_input=bus.open_input,
            messages_per_second=settings.messages_per_second,
            webhooks=webhooks,
        )
        for folder in PROTOCOLS:
            built = folder.build(self._config.protocols[folder.name], foundation)
            if built is not None:
                protocols.append(built)
                await self._start_parts(built.parts)
        return protocols

    async def _start_parts(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._undo.append(part.stop)
            await part.start()

    def _open_to_clients(
        self,
        node: Node,
        bus: Bus,
        store: ConfiguredStore,
        services: Services,
        protocols: Sequence[BuiltProtocol],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        config = self._config
        apis = [built.http for built in protocols if built.http is not None]
        links = LinkRegistry(config.websocket, node.id)
        requests = OpenRequests()
        metrics.attach(
            StatisticsCollector(
                node.statistics, lambda: [link.queued_bytes for link in links.links()], broker=bus.figures
            )
        )
        context = HttpContext(
            http=config.http,
            session=config.session,
            compatibility=config.compatibility,
            is_tls=config.tls.is_enabled,
            users=services.users,
            sessions=services.sessions,
            identities=services.identities,
            tokens=services.tokens,
            apps=services.apps,
            publishing=PublishingService(node, node.rules, node.limits),
            node=node,
            origins=OriginPolicy(config.http.approved_domains),
            emit=EventEmitter(node).emit,
            checks={"database": store.check, "broker": node.check},
            metrics=metrics,
            token_settings=config.tokens,
            flows=self._build_flows(node, store, services, clock),
            safety=services.safety,
            content=services.content,
            documents=ApiDocuments(normalise_prefix(config.http.api_prefix), [api.table.tag for api in apis]),
            clock=clock,
        )
        entrance = Entrance(
            links=links,
            trusted_proxies=frozenset(config.http.trusted_proxies),
            offers_deflate=config.websocket.compression,
            is_open=lambda: self._is_open,
            clock=clock,
        )
        edge = ProtocolEdge(config.http.max_body_bytes, metrics)
        server = WebServer(
            ListenSettings(config.host, config.http, config.websocket, config.tls, reuse_port=self._worker is not None),
            entrance,
            [mount for built in protocols for mount in built.mounts],
            make_application([*protocol_routes(apis, edge), *build_http_routes(context)], requests),
            requests,
            {api.port: make_application(own_routes(api, edge), requests) for api in apis if api.port},
        )
        self._tell_status(context)
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

    def _build_flows(self, node: Node, store: ConfiguredStore, services: Services, clock: Clock) -> AccountFlows:
        """Registration and all else that needs mail. What waits is sent when the last request is answered."""
        client = JSONPoster(max_waiting=self._config.captcha.max_waiting)
        self._undo.append(client.close)
        flows = build_account_flows(self._config, services, store, node, clock, client, lambda: self.http_port)
        self._undo.append(lambda: flows.queue.stop(min(LAST_MAILS_SECONDS, self._config.shutdown_seconds)))
        return flows

    def _tell_status(self, context: HttpContext) -> None:
        """Answer for this process alone, where several share the other ports."""
        first = self._config.workers.status_port
        if first:
            routes = build_http_routes(context, [route for route in ROUTES if route.is_operation])
            status = StatusServer(
                self._config.host, first + (self._worker or 0), make_application(routes, OpenRequests())
            )
            self._undo.append(status.stop)
            status.start()

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


def check_ports(config: Config) -> None:
    """
    Whether the ports are free, for processes that will share them: those would not notice another program there.

    Raises:
        StartupError: If one is taken.
    """
    for ports in listening_ports(config):
        for number in range(ports.count):
            for listener in bind(config.host, ports.first + number, ports.setting):
                listener.close()


def _as_coroutine(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call
