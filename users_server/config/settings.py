"""The whole configuration, and the sections that no layer below reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from users_server.services.settings import AdminUser, LoginLimits, PasswordSettings, SessionSettings, TokenSettings
from users_server.web.settings import Compatibility, HttpSettings, TlsSettings, WebSocketSettings


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Config section ``database``. The URL may hold a password; it is left out of ``repr``."""

    url: str = field(default="sqlite:///users.db", repr=False)


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Config section ``broker``. The URL may hold a password; it is left out of ``repr``."""

    url: str = field(default="memory://", repr=False)


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """Config section ``logging``."""

    level: str = "info"
    format: str = "console"


@dataclass(frozen=True, slots=True)
class Config:
    """
    Everything that an operator may set; without arguments, all the defaults.

    ``host`` "localhost" means both loopback addresses, empty means all addresses. ``conformance`` is set by the command
    line alone.
    """

    host: str = "localhost"
    compatibility: Compatibility = Compatibility.NONE
    http: HttpSettings = field(default_factory=HttpSettings)
    websocket: WebSocketSettings = field(default_factory=WebSocketSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)
    admin_user: AdminUser = field(default_factory=AdminUser)
    login_limits: LoginLimits = field(default_factory=LoginLimits)
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    account_redirect_url: str = ""
    password_reset_url: str = ""
    shutdown_seconds: float = 8.0
    conformance: bool = False
