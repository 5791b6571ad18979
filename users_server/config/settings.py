"""The whole configuration, and the sections that no layer below reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from users_server.config.protocols import PROTOCOLS
from users_server.core.channels import ChannelLimits, ChannelRule, Publishers
from users_server.core.messages import HistoryRule
from users_server.services.account_settings import AccountKeySettings, CaptchaSettings, MailSettings
from users_server.services.content_settings import FileSettings
from users_server.services.idempotency import IdempotencySettings
from users_server.services.settings import (
    AdminUser,
    AppSettings,
    AuditSettings,
    BrokerSettings,
    LoginLimits,
    PasswordSettings,
    SessionSettings,
    TokenSettings,
)
from users_server.services.webhooks import WebhookSettings
from users_server.web.settings import Compatibility, HttpSettings, TlsSettings, WebSocketSettings


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Config section ``database``. The URL may hold a password; it is left out of ``repr``."""

    url: str = field(default="sqlite:///users.db", repr=False)


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """Config section ``logging``."""

    level: str = "info"
    format: str = "console"


@dataclass(frozen=True, slots=True)
class ChannelRuleSettings:
    """One of ``channels.rules``. ``history_size`` and ``history_seconds`` are both 0 for no history."""

    pattern: str = "*"
    app: str = ""
    history_size: int = 0
    history_seconds: float = 0.0
    presence: bool = False
    publishers: Publishers = Publishers.CLIENTS

    def rule(self) -> ChannelRule:
        """The same as the core has it."""
        history = HistoryRule(self.history_size, self.history_seconds) if self.history_size else None
        return ChannelRule(self.pattern, self.app, history, self.presence, self.publishers)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Config section ``channels``."""

    rules: tuple[ChannelRuleSettings, ...] = ()
    limits: ChannelLimits = field(default_factory=ChannelLimits)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """
    Config section ``workers``.

    Attributes:
        count: How many processes serve; 0 for one on each processor.
        status_port: Where the first worker alone answers ``/healthz``, ``/readyz`` and ``/metrics``; each further one
            has the next port. 0 for none.
    """

    count: int = 1
    status_port: int = 0


def _protocol_defaults() -> Mapping[str, Any]:
    return {protocol.name: protocol.section.settings() for protocol in PROTOCOLS}


@dataclass(frozen=True, slots=True)
class Config:
    """
    Everything that an operator may set; without arguments, all the defaults.

    ``protocols`` has the settings of each folder of ``protocols/`` by its name; the folder alone knows their type.

    ``host`` "localhost" means both loopback addresses, empty means all addresses. ``conformance`` is set by the command
    line alone.
    """

    host: str = "localhost"
    compatibility: Compatibility = Compatibility.NONE
    http: HttpSettings = field(default_factory=HttpSettings)
    websocket: WebSocketSettings = field(default_factory=WebSocketSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    apps: AppSettings = field(default_factory=AppSettings)
    channels: ChannelSettings = field(default_factory=ChannelSettings)
    protocols: Mapping[str, Any] = field(default_factory=_protocol_defaults)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    idempotency: IdempotencySettings = field(default_factory=IdempotencySettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)
    admin_user: AdminUser = field(default_factory=AdminUser)
    login_limits: LoginLimits = field(default_factory=LoginLimits)
    audit: AuditSettings = field(default_factory=AuditSettings)
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    account_keys: AccountKeySettings = field(default_factory=AccountKeySettings)
    captcha: CaptchaSettings = field(default_factory=CaptchaSettings)
    files: FileSettings = field(default_factory=FileSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    account_redirect_url: str = ""
    password_reset_url: str = ""
    shutdown_seconds: float = 8.0
    conformance: bool = False
