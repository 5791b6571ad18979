"""Forms of single values that a regular expression alone cannot tell, and what to do about particular wrong ones."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from users_server.core.messages import JSON

PLACEHOLDER = "CHANGE_THIS_PASSWORD"
"""Stands in the original's example; refused here."""

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9-]{1,63})*\Z")


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
    return text == "memory://"


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
    if isinstance(value, str) and value.startswith(("redis:", "rediss:", "redis+")):
        return 'Redis is not part of this version yet; write "memory://" and run one process'
    return None


def explain_placeholder(value: JSON) -> str | None:
    if value == PLACEHOLDER:
        return f'{PLACEHOLDER} is a placeholder; write "" and the first start makes a password and prints it'
    return None


def explain_algorithm(value: JSON) -> str | None:
    if isinstance(value, str) and value.casefold() == "none":
        return "Tokens without a signature are never accepted"
    return None
