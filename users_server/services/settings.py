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
    """Config section ``loginLimits``: failed logins within the window before 429, and how many names are remembered."""

    failures_per_account: int = 10
    failures_per_address: int = 50
    window_seconds: int = 300
    max_entries: int = 100_000


@dataclass(frozen=True, slots=True)
class PasswordSettings:
    """Config section ``passwords``: hashing threads, how many may wait for one, and the shortest password allowed."""

    hash_workers: int = 2
    max_waiting: int = 1000
    min_length: int = 1
