"""Where Redis is: ``redis://``, ``redis+sentinel://`` or ``redis+cluster://``, and with TLS ``rediss…://``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import unquote

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

Address: TypeAlias = tuple[str, int]
"""Host and port."""

Kind: TypeAlias = Literal["single", "sentinel", "cluster"]

_SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_FORMS = (
    "redis://HOST:6379/0, rediss://HOST:6379/0, redis+sentinel://HOST:26379,HOST:26379/SERVICE/0 "
    "or redis+cluster://HOST:6379,HOST:6379"
)


@dataclass(frozen=True, slots=True)
class RedisLocation:
    """
    A URL that was checked.

    Attributes:
        addresses: One server; or the Sentinels; or some nodes of the Cluster.
        service: What the Sentinels call the set of servers; empty without Sentinel.
        database: Always 0 in a Cluster.
    """

    kind: Kind
    addresses: tuple[Address, ...]
    is_tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    service: str = ""
    database: int = 0

    @property
    def hosts(self) -> str:
        """For people; without user and password."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)


def parse_redis_url(url: str) -> RedisLocation:
    """
    Check ``url`` without connecting.

    Raises:
        ValueError: If it is not such a URL. The message says what is, and never holds the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"must look like {_FORMS}")
    kind, is_tls = _SCHEMES[scheme]
    if "?" in rest or "#" in rest:
        raise ValueError("takes no options; in the user's name and password ? # @ : / are written %3F %23 %40 %3A %2F")
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    port = DEFAULT_SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    addresses = tuple(_address(part, port) for part in hosts.split(","))
    if kind == "single" and len(addresses) > 1:
        raise ValueError("names several hosts; use redis+sentinel:// or redis+cluster:// for them")
    service, database = _path(kind, path)
    return RedisLocation(kind, addresses, is_tls, unquote(username), unquote(password), service, database)


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """Service and database."""
    service, parts = "", [part for part in path.split("/") if part]
    if kind == "sentinel":
        if not parts:
            raise ValueError("lacks the name of the service: redis+sentinel://HOST:26379/SERVICE/0")
        service = unquote(parts.pop(0))
    database = parts.pop(0) if parts else "0"
    if parts or not (database.isascii() and database.isdigit() and len(database) <= 4):
        raise ValueError("must end with the number of a database, such as /0")
    if kind == "cluster" and database != "0":
        raise ValueError("names a database; a Cluster has database 0 alone")
    return service, int(database)


def _address(text: str, default_port: int) -> Address:
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("has an address that is not [IPv6]:PORT")
        port = rest[1:]
    elif ":" in text:
        host, _, port = text.rpartition(":")
    if not host or host != host.strip() or "@" in host:
        raise ValueError("lacks the name of a host")
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("has a port that is not a number from 1 to 65535")
    return host, int(port)
