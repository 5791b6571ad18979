"""A node and what hears from it: apps, and sockets whose owners may have gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from users_server.app.backends import Bus
from users_server.app.services import Services
from users_server.config import Config
from users_server.core.apps import App
from users_server.core.channels import ChannelRules
from users_server.core.clock import Clock
from users_server.core.hub import Hub
from users_server.core.messages import DEFAULT_APP
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.services.apps import APP_CHANGED
from users_server.services.socket_audit import SocketAudit

_GONE = App(DEFAULT_APP, DEFAULT_APP, (), created_on=0, is_enabled=False)


def make_node(config: Config, bus: Bus, node_id: str, clock: Clock, statistics: Statistics) -> Node:
    """A node whose hub flushes once a loop tick, or once a window of ``websocket.flushMilliseconds``."""
    loop = asyncio.get_running_loop()
    window_seconds = config.websocket.flush_milliseconds / 1000

    def schedule_flush(flush: Callable[[], None]) -> None:
        if window_seconds:
            loop.call_later(window_seconds, flush)
        else:
            loop.call_soon(flush)

    return Node(
        bus.broker,
        bus.presence,
        Hub(schedule_flush, loop.time, statistics),
        clock,
        rules=ChannelRules(rule.rule() for rule in config.channels.rules),
        limits=config.channels.limits,
        node_id=node_id,
        lease_seconds=config.broker.lease_seconds,
    )


def connect_services(node: Node, services: Services, audit: SocketAudit) -> None:
    """Let the node know the apps, the apps hear of changes on other nodes, and an interruption be made good."""

    def learn(app_id: str, app: App | None) -> None:
        if app is None:
            node.forget_app(app_id)
        else:
            node.use_app(app)

    def recover() -> None:
        services.apps.forget_all()
        audit.request()

    services.apps.on_change(learn)
    node.on_notice(APP_CHANGED, services.apps.handle_notice)
    node.on_interruption(recover)


class DefaultApp:
    """The default app as it is now, for a protocol that has no other."""

    def __init__(self, services: Services) -> None:
        self._app = _GONE
        services.apps.on_change(self._learn)

    def _learn(self, app_id: str, app: App | None) -> None:
        if app_id == DEFAULT_APP:
            self._app = _GONE if app is None else app

    def __call__(self) -> App:
        return self._app
