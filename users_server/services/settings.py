"""What an operator may set for the services. :mod:`users_server.config` makes these from config.json."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Config section ``session``. ``domain`` empty: the cookie is for the host that set it."""

    lifetime_seconds: int = 1800
    path: str = "/"
    domain: str = ""
    persistent: bool = True


@dataclass(frozen=True, slots=True)
class TokenKey:
    """
    One key of ``tokens.keys``.

    HS256 has ``secret``; RS256 and EdDSA have ``public_key`` (PEM) to verify and, if this server may sign,
    ``private_key`` (PEM). The three are left out of ``repr``.
    """

    kid: str
    algorithm: str
    secret: str = field(default="", repr=False)
    public_key: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Config section ``tokens``. The first key that can sign signs; every key verifies, by its own algorithm alone."""

    keys: tuple[TokenKey, ...] = ()
    issuer: str = "users-server"
    audience: str = "users-server"
    lifetime_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class AdminUser:
    """Config section ``adminUser``: the super admin that exists from the first start."""

    username: str = "admin"
    email: str = "admin@localhost.localdomain"
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """
    Config section ``loginLimits``: failed logins within the window before 429, and how many names and addresses are
    remembered, by all nodes together.
    """

    failures_per_account: int = 10
    failures_per_address: int = 50
    window_seconds: int = 300
    max_entries: int = 100_000


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """
    Config section ``audit``.

    Attributes:
        retention_seconds: How long an entry is kept.
        max_entries: How many are kept; the oldest go first.
        max_waiting: How many may wait for the store.
        flush_seconds: How long an entry may wait for others, to be written together.
    """

    retention_seconds: int = 7_776_000
    max_entries: int = 1_000_000
    max_waiting: int = 10_000
    flush_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class PasswordSettings:
    """Config section ``passwords``: hashing threads, how many may wait for one, and the shortest password allowed."""

    hash_workers: int = 2
    max_waiting: int = 1000
    min_length: int = 1


@dataclass(frozen=True, slots=True)
class AppSettings:
    """
    Config section ``apps``.

    Attributes:
        encryption_keys: What the secrets of apps are sealed with: the first seals, all open. Empty: the key in
            ``key_file``, which is made at the first start.
        key_file: Beside config.json.
        creation: Who may make an app over HTTP: ``admins`` or ``users``.
        max_per_user: How many apps an account that is no admin may own.
        max_cached: How many are kept in memory.
    """

    encryption_keys: tuple[str, ...] = field(default=(), repr=False)
    key_file: str = "users-server.key"
    creation: str = "admins"
    max_per_user: int = 10
    max_cached: int = 10_000


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """
    Config section ``broker``. The URL may hold a password; it is left out of ``repr``.

    Attributes:
        url: ``memory://``, ``redis://``, ``rediss://``, ``redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB`` or
            ``redis+cluster://HOST:PORT,HOST:PORT``; the last two also with ``rediss+``.
        prefix: Before every key and channel in Redis.
        history: Of a broker without a network: ``memory``, or ``database`` to outlive a restart.
        history_channels: How many channels' histories are kept in memory; the one that is silent longest goes first.
        history_bytes: How much they take in all, as JSON.
        max_waiting: How many publications may wait for Redis.
        max_waiting_seconds: How long one may wait before its publisher is told.
        lease_seconds: For how long a node's claims hold after its last sign of life.
        connect_timeout_seconds: For one attempt to connect.
        command_timeout_seconds: For one answer of Redis; then the line is taken for dead.
        max_reconnect_seconds: The longest pause between two attempts.
    """

    url: str = field(default="memory://", repr=False)
    prefix: str = "users-server:"
    history: str = "memory"
    history_channels: int = 10_000
    history_bytes: int = 67_108_864
    max_waiting: int = 10_000
    max_waiting_seconds: float = 5.0
    lease_seconds: float = 10.0
    connect_timeout_seconds: float = 5.0
    command_timeout_seconds: float = 5.0
    max_reconnect_seconds: float = 2.0
