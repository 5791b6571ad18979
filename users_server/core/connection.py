"""One client link, as the core sees it."""

from __future__ import annotations

from collections.abc import Callable

from users_server.core.interfaces import Encoder, Transport
from users_server.core.messages import DEFAULT_APP, ClientInfo, Identity
from users_server.errors import Disconnect


class Connection:
    """
    A client link: who it is, how it is written to, and what it is subscribed to.

    Args:
        connection_id: Unique on this node; in the logs it names the link.
        identity: Who the client is; fixed for the link's life, since a link that loses it is closed.
        encoder: How publications look for this client; shared by all connections of one kind.
        transport: Where its bytes go.
        on_close: Closes the connection's transport with the protocol's code for a reason. A function of the protocol,
            not bound to anything of this connection: connections must be free of reference cycles.
        address: The peer's address, for people.
    """

    __slots__ = (
        "address",
        "app",
        "connected_at",
        "encoder",
        "id",
        "identity",
        "is_closing",
        "messages_in",
        "on_close",
        "published_in_flush",
        "subscriptions",
        "transport",
    )

    def __init__(
        self,
        connection_id: str,
        identity: Identity,
        encoder: Encoder,
        transport: Transport,
        on_close: Callable[[Connection, Disconnect], None],
        *,
        address: str = "",
        app: str = DEFAULT_APP,
        connected_at: float = 0.0,
    ) -> None:
        self.id = connection_id
        self.identity = identity
        self.encoder = encoder
        self.transport = transport
        self.on_close = on_close
        self.address = address
        self.app = app
        self.connected_at = connected_at
        self.subscriptions: tuple[str, ...] = ()
        self.messages_in = 0
        self.published_in_flush = -1
        self.is_closing = False

    @property
    def client_info(self) -> ClientInfo:
        return ClientInfo(self.id, self.identity.username)

    def close(self, reason: Disconnect) -> None:
        """Close for ``reason``, once; later calls do nothing."""
        if not self.is_closing:
            self.is_closing = True
            self.on_close(self, reason)
