"""What the command line tells about the patterns of origins."""

from __future__ import annotations

import re

from users_server.config import Config
from users_server.services.origins import OriginPolicy

_PLAIN_ORIGIN = re.compile(r"[A-Za-z0-9.:/-]+\Z")
_LOCAL_ORIGINS = ("http://localhost", "http://127.0.0.1", "https://localhost", "http://localhost:8000")


def warnings(config: Config) -> list[str]:
    """A line for each pattern that matches more than it seems to, and for what else lets strangers in."""
    lists = {
        "http.approvedDomains": config.http.approved_domains,
        "websocket.approvedSocketDomains": config.websocket.approved_socket_domains,
    }
    lines = [
        f'{path}: "{pattern}" has no end anchor, so it also matches {_longer(pattern)}; end it with $'
        for path, patterns in lists.items()
        for pattern in OriginPolicy(patterns).unanchored()
    ]
    if not config.websocket.approved_socket_domains and not config.websocket.socket_api_key:
        lines.append("websocket: approvedSocketDomains and socketApiKey are empty, so no client can connect")
    if 0 < len(config.websocket.socket_api_key) < 16:
        lines.append("websocket.socketApiKey: fewer than 16 characters can be guessed")
    return lines


def _longer(pattern: str) -> str:
    """An origin that nobody meant: what the pattern seems to say, with another domain after it."""
    origin = _literal(pattern)
    return f"{origin}.evil.example" if _PLAIN_ORIGIN.match(origin) else "origins that only begin that way"


def _literal(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern.removeprefix("^").removesuffix("$"))


def approved_origin(config: Config) -> str | None:
    """An origin that the sockets approve, to show or to use: a local one, else one that a pattern spells out."""
    policy = OriginPolicy(config.websocket.approved_socket_domains)
    spelled = [_literal(pattern) for pattern in config.websocket.approved_socket_domains]
    return next(
        (origin for origin in (*_LOCAL_ORIGINS, *spelled) if _PLAIN_ORIGIN.match(origin) and policy.approves(origin)),
        None,
    )
