"""The protocol object of the relay."""

from __future__ import annotations

from collections.abc import Awaitable

from users_server.core.interfaces import Transport
from users_server.errors import Disconnect
from users_server.protocols.base import Admission, Foundation, Framing, Peer, Visit
from users_server.protocols.relay.admission import NAME, Entry, Gate
from users_server.protocols.relay.callback import Callback, Caller
from users_server.protocols.relay.codec import RelayEncoder
from users_server.protocols.relay.connection import Exchange, RelayReceiver
from users_server.protocols.relay.errors import CLOSE_CODES
from users_server.protocols.relay.handlers import Place
from users_server.protocols.relay.kinds import Kinds
from users_server.protocols.relay.settings import RelaySettings


class RelayProtocol:
    """One channel a connection, which its token names (relay.md). :class:`users_server.protocols.base.WireProtocol`."""

    name = NAME
    subprotocol = ""
    refusal_status: int | None = None

    def __init__(self, settings: RelaySettings, kinds: Kinds, foundation: Foundation) -> None:
        self._kinds = kinds
        self._gate = Gate(settings, foundation)
        self._exchange = Exchange(foundation.node, foundation.clock, foundation.messages_per_second)
        caller = Caller(foundation.http, foundation.apps)
        self._callback = Callback(settings.callback, caller) if settings.callback.url else None
        self._encoders: dict[tuple[Framing, bool], RelayEncoder] = {}

    def admit(self, visit: Visit) -> Awaitable[Admission]:
        return self._gate.admit(visit)

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> RelayReceiver:
        entry: Entry = peer.admission.details
        key = (framing, entry.recovers)
        encoder = self._encoders.get(key)
        if encoder is None:
            encoder = self._encoders[key] = RelayEncoder(framing, tells_positions=entry.recovers)
        place = Place(
            peer.admission.app,
            entry.claims,
            self._kinds.of(entry.claims.channel),
            entry.max_data_bytes,
            self._callback if entry.is_main else None,
        )
        return RelayReceiver(self._exchange, peer, transport, encoder, place)

    def close_code(self, reason: Disconnect) -> int:
        return CLOSE_CODES[reason.reason]
