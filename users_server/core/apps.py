"""Records of apps (tenants), as the stores keep them. Times are milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AppLimits:
    """What one app may use on one node; 0 means no limit. ``message_bytes`` is of a publication's data as JSON."""

    connections: int = 0
    channels: int = 0
    message_bytes: int = 0
    publishes_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """
    One generation of an app's keys. Up to two are live at once, so that clients can change over.

    Attributes:
        key: Public; it names the app where a protocol wants a key.
        sealed_secret: The secret, encrypted: it signs and checks signatures, so that it must be read back.
        api_key_hash: Lower-case hex SHA-256 of the API key, which is kept nowhere.
    """

    key: str
    sealed_secret: str = field(repr=False)
    api_key_hash: str = field(repr=False)
    created_on: int


@dataclass(frozen=True, slots=True)
class App:
    """
    A tenant: nothing of it is visible to another.

    Attributes:
        id: Unique; letters, digits, ``.``, ``_`` and ``-``, 64 at most. Some protocols name an app by a whole number,
            so generated ids are decimal.
        credentials: One or two, the newest first.
        webhook_endpoint: Empty for no web hooks.
        sealed_webhook_key: Encrypted, since it is sent.
        owner_id: The account that owns it; :obj:`None` for an app of the operator's.
        protocols: Names of the protocols that serve it; empty for all.
        allowed_origins: Patterns as in ``websocket.approvedSocketDomains``; empty for those of the configuration.
        debug_signatures: Whether a refused signature is logged with the text that should have been signed.
        version: Counts the changes of this record, for compare-and-swap.
    """

    id: str
    name: str
    credentials: tuple[AppCredentials, ...]
    created_on: int
    owner_id: str | None = None
    webhook_endpoint: str = ""
    sealed_webhook_key: str = field(default="", repr=False)
    protocols: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    limits: AppLimits = AppLimits()
    is_enabled: bool = True
    debug_signatures: bool = False
    version: int = 0

    def serves(self, protocol: str) -> bool:
        """Whether clients of ``protocol`` are let in."""
        return self.is_enabled and (not self.protocols or protocol in self.protocols)
