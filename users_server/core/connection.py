"""One client link, as the core sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from users_server.core.interfaces import Encoder, Transport
from users_server.core.messages import DEFAULT_APP, ClientInfo, Identity
from users_server.errors import Disconnect

if TYPE_CHECKING:
    from users_server.core.subscriptions import Subscription


class Connection:
    """
    A client link: who it is, how it is written to, and what it is subscribed to.

    Args:
        connection_id: Unique in the cluster; in the logs it names the link.
        identity: Who the client is; fixed for the link's life, since a link that loses it is closed.
        encoder: How publications look for this client; shared by all connections of one kind.
        transport: Where its bytes go.
        on_close: Closes the connection's transport with the protocol's code for a reason. A function of the protocol,
            not bound to anything of this connection: connections must be free of reference cycles.
        address: The peer's address, for people.
        protocol: The name of its protocol; the connection is closed when its app does not serve that any more.
        user_id: Who it is within its app; by default the id of its account.
        username: What the user is called within its app; by default the account's.
    """

    __slots__ = (
        "address",
        "app",
        "connected_at",
        "encoder",
        "id",
        "identity",
        "is_closing",
        "joined",
        "messages_in",
        "on_close",
        "pinned",
        "protocol",
        "published_in_flush",
        "transport",
        "user_id",
        "username",
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
        protocol: str = "",
        user_id: str | None = None,
        username: str | None = None,
    ) -> None:
        self.id = connection_id
        self.identity = identity
        self.encoder = encoder
        self.transport = transport
        self.on_close = on_close
        self.address = address
        self.app = app
        self.connected_at = connected_at
        self.protocol = protocol
        self.user_id = identity.user_id if user_id is None else user_id
        self.username = identity.username if username is None else username
        self.pinned: tuple[str, ...] = ()
        self.joined: dict[str, Subscription] | None = None
        self.messages_in = 0
        self.published_in_flush = -1
        self.is_closing = False

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The channels whose publications it gets."""
        if not self.joined:
            return self.pinned
        return self.pinned + tuple(name for name, subscription in self.joined.items() if subscription.is_live)

    @property
    def client_info(self) -> ClientInfo:
        return ClientInfo(self.id, self.username, self.user_id)

    def close(self, reason: Disconnect) -> None:
        """Close for ``reason``, once; later calls do nothing."""
        if not self.is_closing:
            self.is_closing = True
            self.on_close(self, reason)
