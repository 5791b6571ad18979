"""The protocol object of Phoenix clients."""

from __future__ import annotations

from collections.abc import Awaitable

from users_server.core.interfaces import Transport
from users_server.errors import Disconnect
from users_server.protocols.base import Admission, Foundation, Framing, Peer, Visit
from users_server.protocols.jwp.admission import NAME, Entry, Gate
from users_server.protocols.jwp.connection import JWPReceiver
from users_server.protocols.jwp.encoder import JWPEncoder
from users_server.protocols.jwp.errors import CLOSE_CODES, REFUSED_HANDSHAKE
from users_server.protocols.jwp.idle import IdleWatch
from users_server.protocols.jwp.seats import Exchange
from users_server.protocols.jwp.settings import JWPSettings
from users_server.protocols.jwp.tokens import SUBPROTOCOL


class JWPProtocol:
    """
    Phoenix channels with the tokens of the JeuWeb Push Server (jwp.md).

    :class:`users_server.protocols.base.WireProtocol`. ``idle_watch`` is to be started with it.
    """

    name = NAME
    subprotocol = SUBPROTOCOL
    refusal_status: int | None = REFUSED_HANDSHAKE

    def __init__(self, settings: JWPSettings, foundation: Foundation) -> None:
        self.idle_watch = IdleWatch(foundation.clock, settings.idle_timeout_seconds)
        self._gate = Gate(foundation)
        self._exchange = Exchange(settings, foundation, self.idle_watch)
        self._encoders: dict[tuple[Framing, int], JWPEncoder] = {}

    def admit(self, visit: Visit) -> Awaitable[Admission]:
        return self._gate.admit(visit)

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> JWPReceiver:
        entry: Entry = peer.admission.details
        key = (framing, entry.serializer.version)
        encoder = self._encoders.get(key)
        if encoder is None:
            encoder = self._encoders[key] = JWPEncoder(framing, entry.serializer)
        return JWPReceiver(self._exchange, peer, transport, encoder)

    def close_code(self, reason: Disconnect) -> int:
        return CLOSE_CODES[reason.reason]
