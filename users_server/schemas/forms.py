"""Forms of single values that a regular expression alone cannot tell, and what to do about particular wrong ones."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from users_server.core.messages import JSON

PLACEHOLDER = "CHANGE_THIS_PASSWORD"
"""Stands in the original's example; refused here."""

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9-]{1,63})*\Z")

_REDIS_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z")
_REDIS_KINDS = {"": "HOST:6379/0", "sentinel": "HOST:26379,HOST:26379/SERVICE/0", "cluster": "HOST:6379,HOST:6379"}
_REDIS_PATHS = {
    "": re.compile(r"([0-9]{1,4})?\Z"),
    "sentinel": re.compile(r"[A-Za-z0-9._-]{1,200}(/([0-9]{1,4})?)?\Z"),
    "cluster": re.compile(r"0?\Z"),
}
_SCHEME_HINT = "One server: redis:// or, with TLS, rediss://; several: redis+sentinel:// or redis+cluster://"


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    """Empty, a host name or an IP address."""
    return not text or is_address(text) or bool(HOST_NAME.match(text))


def is_cookie_domain(text: str) -> bool:
    return not text or bool(HOST_NAME.match(text.removeprefix(".")))


def is_web_url(text: str) -> bool:
    """Empty, or an absolute http or https URL."""
    if not text:
        return True
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def is_database_url(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return False
    if scheme == "sqlite":
        return rest.startswith("/") and rest != "/"
    return scheme in ("mongodb", "mongodb+srv") and bool(rest.strip("/"))


def is_broker_url(text: str) -> bool:
    return text == "memory://" or _broker_mistake(text) is None


def is_redis_url(text: str) -> bool:
    """A URL of Redis: one server, sentinels or a cluster, with or without TLS."""
    return _broker_mistake(text) is None


def _broker_mistake(text: str) -> str | None:
    """What to do about a URL that is none of Redis; empty if there is nothing particular to say."""
    scheme, separator, rest = text.partition("://")
    tls_and_redis, _, kind = scheme.partition("+")
    if not separator or tls_and_redis not in ("redis", "rediss") or kind not in _REDIS_KINDS or scheme.endswith("+"):
        return _SCHEME_HINT if text.startswith("redis") else ""
    authority, _, path = rest.partition("/")
    if "@" in path or "?" in rest or "#" in rest:
        return "It takes no options; in a user's name and password write / ? # @ : as %2F %3F %23 %40 %3A"
    hosts = authority.rpartition("@")[2].split(",")
    if not all(_REDIS_HOST.match(host) and _has_port(host) for host in hosts):
        return f'Hosts are written as HOST or HOST:PORT, for instance "{scheme}://{_REDIS_KINDS[kind]}"'
    if len(hosts) > 1 and not kind:
        return "Several hosts are those of sentinels or of a cluster: redis+sentinel:// or redis+cluster://"
    if not _REDIS_PATHS[kind].match(path):
        return f'Write for instance "{scheme}://{_REDIS_KINDS[kind]}"'
    return None


def _has_port(host: str) -> bool:
    """Whether the port of ``host``, if it has one, can be one."""
    port = host.rpartition("]")[2].partition(":")[2]
    return not port or 0 < int(port) < 65_536


def is_not_placeholder(text: str) -> bool:
    return text != PLACEHOLDER


def explain_host(value: JSON) -> str | None:
    if isinstance(value, str) and (":" in value or "/" in value):
        return "Leave scheme, path and port out; the ports are http.port and websocket.port"
    return None


def explain_port(value: JSON) -> str | None:
    if isinstance(value, str) and value.isdigit():
        return f"Write it without quotes: {value[:5]}"
    return None


def explain_database(value: JSON) -> str | None:
    if isinstance(value, str) and value.startswith("sqlite"):
        return 'Three slashes for a file beside you, four for an absolute path: "sqlite:///users.db"'
    return None


def explain_broker(value: JSON) -> str | None:
    if isinstance(value, str):
        return _broker_mistake(value) or None
    return None


def explain_placeholder(value: JSON) -> str | None:
    if value == PLACEHOLDER:
        return f'{PLACEHOLDER} is a placeholder; write "" and the first start makes a password and prints it'
    return None


def explain_algorithm(value: JSON) -> str | None:
    if isinstance(value, str) and value.casefold() == "none":
        return "Tokens without a signature are never accepted"
    return None
