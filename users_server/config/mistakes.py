"""How a mistake is told: one line, with the path, what was expected, what was found and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from users_server.core.messages import JSON
from users_server.errors import ConfigError

MASK = "********"
HIDDEN = "a hidden value"
LONGEST_SHOWN = 60

_PLAIN_KEY = re.compile(r"\$?[A-Za-z0-9_-]{1,60}\Z")
_URL_PASSWORD = re.compile(r"(://[^/@\s:]*)?:(?!//)\S*@")
_URL_SECRET = re.compile(r"([?&][^=&]*(?:password|secret|token|key|properties)[^=&]*=)[^&\s]*", re.IGNORECASE)


class ConfigErrors(ConfigError):
    """All mistakes of one configuration; ``str()`` has a line for each."""

    def __init__(self, mistakes: Sequence[ConfigError]) -> None:
        super().__init__("", "\n".join(mistake.message for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def mask_url(url: str) -> str:
    """``url`` without its password, and without the secrets that a driver takes in its query."""
    return _URL_SECRET.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}@", url))


def join(path: str, key: str) -> str:
    """The path of ``key`` in the object at ``path``."""
    name = key if _PLAIN_KEY.match(key) else json.dumps(key[:LONGEST_SHOWN])
    return f"{path}.{name}" if path else name


def describe(value: JSON, *, is_secret: bool = False) -> str:
    """``value`` for a message: short, printable and, if it is a secret or may hold one, hidden."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value == "":
        return '""'
    if is_secret:
        return HIDDEN
    if isinstance(value, int) and value.bit_length() > LONGEST_SHOWN:
        return "a huge number"
    text = json.dumps(mask_url(value) if isinstance(value, str) else value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 2] + '…"'
