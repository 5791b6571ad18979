"""From the file to plain JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import json5

from users_server.config.mistakes import join
from users_server.core.messages import JSON
from users_server.errors import ConfigError

LARGEST_FILE_BYTES = 262_144
CONFIG_VARIABLE = "USERS_SERVER_CONFIG"
DEFAULT_NAME = "config.json"

_POSITION = re.compile(r"<string>:(\d+) (.*) at column (\d+)\Z", re.DOTALL)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, its repeated keys still in it."""


def find_config(path: Path | None, environ: Mapping[str, str]) -> Path:
    """
    The configuration's file: ``path``, else the one that USERS_SERVER_CONFIG names, else ./config.json.

    Raises:
        ConfigError: If none is named and there is no ./config.json.
    """
    if path is not None:
        return path
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    if Path(DEFAULT_NAME).is_file():
        return Path(DEFAULT_NAME)
    raise ConfigError(
        "",
        f"expected {DEFAULT_NAME} in this folder, or --config FILE",
        "neither",
        hint="Make one: cp config.example.json config.json",
    )


def read_file(path: Path) -> str:
    """The text of ``path``. Raises :class:`ConfigError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
        if len(content) > LARGEST_FILE_BYTES:
            raise ConfigError("", f"expected at most {LARGEST_FILE_BYTES} bytes of configuration", "more")
        return content.decode("utf-8")
    except FileNotFoundError as error:
        hint = "Make one: cp config.example.json config.json"
        raise ConfigError("", "expected a configuration file", "none of this name", hint=hint) from error
    except UnicodeDecodeError as error:
        hint = "Save the file as UTF-8"
        raise ConfigError("", "expected UTF-8 text", f"byte {error.start} that is not", hint=hint) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a name that cannot be"
        hint = "Check the name and the permissions of the file"
        raise ConfigError("", "expected a configuration file that can be read", reason, hint=hint) from error


def parse(text: str) -> JSON:
    """
    JSON with comments and trailing commas (JSON5) to values; objects keep repeated keys until :func:`untangle`.

    Raises:
        ConfigError: If ``text`` is not JSON5; it names line and column.
    """
    if not text.strip():
        raise ConfigError(
            "", "expected a JSON object", "nothing", hint="Begin with the example: cp config.example.json config.json"
        )
    try:
        value, problem, _ = json5.parse(text, object_pairs_hook=_Pairs)
    except RecursionError:
        raise ConfigError("", "expected values nested a few levels deep", "far more levels") from None
    except ValueError as error:
        value, problem = None, str(error)
    if problem is None:
        return value
    position = _POSITION.match(problem)
    if position is None:
        raise ConfigError("", "expected JSON, with or without comments", " ".join(problem.split())[:200])
    line, what, column = position.groups()
    found = what.removeprefix("Unexpected ").encode("unicode_escape").decode()
    raise ConfigError(
        f"line {line}, column {column}",
        "expected JSON, with or without comments",
        found,
        hint="Look there for a missing comma, quote or bracket",
    )


def untangle(value: JSON, mistakes: list[ConfigError], path: str = "") -> JSON:
    """``value`` with its objects as dictionaries; each repeated key adds a mistake."""
    if isinstance(value, _Pairs):
        plain: dict[str, JSON] = {}
        for key, inner in value:
            where = join(path, key)
            if key in plain:
                mistakes.append(ConfigError(where, "expected each key once", "it twice", hint="Remove one of the two"))
            plain[key] = untangle(inner, mistakes, where)
        return plain
    if isinstance(value, list):
        return [untangle(inner, mistakes, f"{path}[{index}]") for index, inner in enumerate(value)]
    return value
