"""The protocol object of watching."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from users_server.core.apps import App
from users_server.core.interfaces import Transport
from users_server.core.node import Node
from users_server.errors import Disconnect
from users_server.protocols.base import Admission, Framing, Peer, Visit
from users_server.protocols.watch.admission import NAME, Gate
from users_server.protocols.watch.codec import WatchEncoder
from users_server.protocols.watch.connection import Watcher
from users_server.protocols.watch.errors import CLOSE_CODES
from users_server.services.apps import AppService
from users_server.services.identity import IdentityService


class WatchProtocol:
    """What is published in an app, as JSON (docs/watch.md). :class:`users_server.protocols.base.WireProtocol`."""

    name = NAME
    subprotocol = ""
    refusal_status: int | None = None

    def __init__(
        self,
        node: Node,
        apps: AppService,
        identities: IdentityService,
        approves_origin: Callable[[App, str | None], bool],
    ) -> None:
        self._node = node
        self._gate = Gate(apps, identities, approves_origin)
        self._encoders: dict[Framing, WatchEncoder] = {}

    def admit(self, visit: Visit) -> Awaitable[Admission]:
        return self._gate.admit(visit)

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> Watcher:
        encoder = self._encoders.get(framing)
        if encoder is None:
            encoder = self._encoders[framing] = WatchEncoder(framing)
        return Watcher(self._node, peer, transport, encoder)

    def close_code(self, reason: Disconnect) -> int:
        return CLOSE_CODES[reason.reason]
