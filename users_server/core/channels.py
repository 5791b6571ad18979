"""What may happen in a channel: names, and options by pattern."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from users_server.core.messages import DEFAULT_APP, SYSTEM_CHANNELS, HistoryRule
from users_server.errors import InvalidValue

MAX_REMEMBERED = 10_000
"""Channels whose rule is kept, so that a publish costs no search; beyond it all are forgotten and found anew."""


class Publishers(enum.Enum):
    """Who may publish. The server, and services with an app's API key, always may."""

    CLIENTS = "clients"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """
    Options for the channels whose name ``pattern`` matches.

    Attributes:
        pattern: ``*`` stands for any characters, everything else for itself.
        app: The app that the rule is for; empty for all.
        history: What is kept for clients that come back; :obj:`None` for nothing.
        presence: Whether it is kept who is there.
    """

    pattern: str = "*"
    app: str = ""
    history: HistoryRule | None = None
    presence: bool = False
    publishers: Publishers = Publishers.CLIENTS


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """
    Bounds of the channel core. 0 means no limit.

    Attributes:
        per_connection: Channels that one connection may be subscribed to.
        name_bytes: Of a channel's name in UTF-8; there is always a limit.
        members: Connections that may be listed in one channel's presence.
        data_bytes: Of a publication's data as JSON, where the app has no limit of its own.
        joining_publications: What may wait for one connection until its subscription is complete; beyond that the
            subscription fails.
        recovered_publications: How many a client that comes back may be sent; if it missed more, it is not recovered.
    """

    per_connection: int = 100
    name_bytes: int = 200
    members: int = 1_000
    data_bytes: int = 65_536
    joining_publications: int = 1_000
    recovered_publications: int = 1_000


def is_system_channel(app: str, channel: str) -> bool:
    """Whether only the Users Socket API and the user service have to do with it."""
    return channel in SYSTEM_CHANNELS and app == DEFAULT_APP


def check_name(channel: str, limits: ChannelLimits) -> None:
    """
    Raises :class:`InvalidValue` unless ``channel`` can be the name of one.

    A name is 1 to ``name_bytes`` bytes of UTF-8 without control characters, and without a space at an end.
    """
    if not channel:
        raise InvalidValue("The name of a channel is missing")
    if not channel.isprintable() or channel != channel.strip():
        raise InvalidValue("The name of a channel has no control characters, and no space at its ends")
    try:
        size = len(channel.encode())
    except UnicodeEncodeError:
        raise InvalidValue("The name of a channel must be valid Unicode") from None
    if size > limits.name_bytes:
        raise InvalidValue(f"The name of a channel has {limits.name_bytes} bytes at most")


class ChannelRules:
    """The first rule that matches a channel is its rule; a channel that none matches has the defaults."""

    def __init__(self, rules: Iterable[ChannelRule] = ()) -> None:
        self._rules = tuple(rules)
        self._remembered: dict[tuple[str, str], ChannelRule] = {}

    def of(self, app: str, channel: str) -> ChannelRule:
        """The rule of one channel."""
        key = (app, channel)
        rule = self._remembered.get(key)
        if rule is None:
            rule = next((r for r in self._rules if r.app in ("", app) and matches(r.pattern, channel)), ChannelRule())
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = rule
        return rule


def matches(pattern: str, name: str) -> bool:
    """Whether ``*`` can be filled in so that ``pattern`` is ``name``. Linear in both for each ``*``; no regex."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == name
    *middle, last = others
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    position, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
