"""The protocol object of the Users Socket API."""

from __future__ import annotations

from users_server.core.clock import Clock
from users_server.core.interfaces import Transport
from users_server.core.messages import ECHO_CHANNEL, USERS_CHANNEL, Identity
from users_server.core.node import Node
from users_server.errors import Disconnect
from users_server.protocols.base import Framing, Peer
from users_server.protocols.users.admission import NAME, Doorkeeper
from users_server.protocols.users.codec import PublicationEncoder
from users_server.protocols.users.connection import Exchange, UsersReceiver
from users_server.protocols.users.errors import CLOSE_CODES
from users_server.protocols.users.handlers import Context

AUDIENCES = ("all", "authenticated", "admins")
"""Who gets user events (config ``websocket.userEvents``). A trusted connection always does."""


class UsersProtocol:
    """
    Numeric ``eventType`` messages (users-socket-api.md). :class:`users_server.protocols.base.WireProtocol`.

    Args:
        audience: One of :data:`AUDIENCES`.
        messages_per_second: What each client may send; 0 for no limit.
    """

    name = NAME
    subprotocol = ""
    refusal_status = None

    def __init__(
        self,
        context: Context,
        node: Node,
        clock: Clock,
        doorkeeper: Doorkeeper,
        *,
        audience: str = "all",
        messages_per_second: float = 0,
    ) -> None:
        self._exchange = Exchange(context, node, clock, messages_per_second)
        self.admit = doorkeeper.admit
        self._audience = audience
        self._encoders: dict[Framing, PublicationEncoder] = {}

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> UsersReceiver:
        encoder = self._encoders.get(framing)
        if encoder is None:
            encoder = self._encoders[framing] = PublicationEncoder(framing)
        return UsersReceiver(self._exchange, peer, transport, framing, encoder, self._channels(peer.identity))

    def close_code(self, reason: Disconnect) -> int:
        return CLOSE_CODES[reason.reason]

    def _channels(self, identity: Identity) -> tuple[str, ...]:
        hears_users = (
            self._audience == "all"
            or identity.is_trusted
            or (identity.is_authenticated if self._audience == "authenticated" else identity.is_admin)
        )
        return (ECHO_CHANNEL, USERS_CHANNEL) if hears_users else (ECHO_CHANNEL,)
