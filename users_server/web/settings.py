"""What an operator may set for HTTP and the sockets. :mod:`users_server.config` makes these from config.json."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Compatibility(enum.Enum):
    """users-http-api.md: whether to be as lenient as the original server was."""

    NONE = "none"
    WEBINATE = "webinate"


class UserEvents(enum.Enum):
    """Which connections get the user service's events."""

    ALL = "all"
    AUTHENTICATED = "authenticated"
    ADMINS = "admins"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """
    Config section ``http``.

    ``public_url`` is where browsers find this server, without ``api_prefix``; empty for its own host and port.
    ``trusted_proxies`` are addresses whose ``X-Forwarded-For`` is believed.
    """

    port: int = 8000
    api_prefix: str = ""
    approved_domains: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_body_bytes: int = 1_048_576
    idle_timeout_seconds: float = 60.0
    max_meta_bytes: int = 65_536
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """Config section ``websocket``. A rate or limit of 0 means none; ``send_queue_bytes`` is for each connection."""

    port: int = 8080
    approved_socket_domains: tuple[str, ...] = ()
    socket_api_key: str = field(default="", repr=False)
    path: str = "/"
    max_message_bytes: int = 65_536
    send_queue_bytes: int = 1_048_576
    ping_interval_seconds: float = 30.0
    ping_timeout_seconds: float = 20.0
    messages_per_second: float = 100.0
    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    max_handshakes: int = 256
    handshake_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 5.0
    flush_milliseconds: float = 0.0
    compression: bool = False
    user_events: UserEvents = UserEvents.ALL


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Config section ``tls``: PEM files; both empty means plain TCP."""

    certificate: str = ""
    key: str = ""
    passphrase: str = field(default="", repr=False)

    @property
    def is_enabled(self) -> bool:
        return bool(self.certificate)
