"""
Environment variables that override settings: ``USERS_SERVER__WEBSOCKET__SOCKET_API_KEY``.

Two underscores separate the section from the key; case and single underscores do not count. Text is taken as it stands,
so that a secret needs no quotes; everything else is JSON5, and a list of texts may also be written with commas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from users_server.config.names import folded, near, settings
from users_server.config.source import parse, untangle
from users_server.core.messages import JSON
from users_server.errors import ConfigError
from users_server.schemas.settings import Choice, Flag, Group, ListOf, Setting, Text

PREFIX = "USERS_SERVER__"


def variable_of(path: str) -> str:
    """The variable that overrides the setting at ``path``, as the documentation writes it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path).upper()
    return PREFIX + words.replace(".", "__")


def override(values: dict[str, JSON], environ: Mapping[str, str], mistakes: list[ConfigError]) -> dict[str, str]:
    """
    Put what the variables say into ``values``.

    Returns:
        The path of each overridden setting, with its variable.
    """
    known = {_folded_variable(variable_of(path)): (path, field) for path, field in settings() if path != "$schema"}
    sources: dict[str, str] = {}
    for variable in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        path, field = known.get(_folded_variable(variable), ("", None))
        if field is None:
            guess = near(variable, [variable_of(path) for path, _ in known.values()])
            hint = f"Did you mean {guess}?" if guess else "docs/configuration.md lists the variables"
            mistakes.append(ConfigError(variable, "expected the variable of a setting", "an unknown one", hint=hint))
        elif path in sources:
            hint = f"Unset {variable} or {sources[path]}"
            mistakes.append(ConfigError(path, "expected one variable for it", "two", hint=hint))
        else:
            sources[path] = variable
            _put(values, path, _value(environ[variable], field, path, mistakes))
    return sources


def _folded_variable(variable: str) -> tuple[str, ...]:
    return tuple(folded(part) for part in variable[len(PREFIX) :].split("__"))


def _value(text: str, field: Setting, path: str, mistakes: list[ConfigError]) -> JSON:
    """``text`` as the kind of value that ``field`` wants; as it stands if it is none, for the schema to refuse."""
    if isinstance(field, Text | Choice):
        return text
    if isinstance(field, Flag):
        text = text.strip().lower()
    elif isinstance(field, ListOf) and not isinstance(field.item, Group) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return untangle(parse(text), mistakes, path)
    except ConfigError:
        return text


def _put(values: dict[str, JSON], path: str, value: JSON) -> None:
    *sections, key = path.split(".")
    place: JSON = values
    for section in sections:
        if not isinstance(place, dict):
            return
        place = place.setdefault(section, {})
    if isinstance(place, dict):
        place[key] = value
