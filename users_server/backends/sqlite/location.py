"""Where the database is: ``sqlite:///users.db``, ``sqlite:////var/lib/users.db`` or ``sqlite:///:memory:``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

PREFIX = "sqlite:///"
MEMORY = ":memory:"
"""The path that names a database without a file."""

_FORMS = "sqlite:///users.db (relative), sqlite:////var/lib/users.db (absolute) or sqlite:///:memory:"


def parse_sqlite_url(url: str) -> str:
    """
    The path that ``url`` names, or ``:memory:``.

    Percent escapes are resolved. There are no options: a ``?`` or ``#`` that belongs to the name must be escaped.

    Raises:
        ValueError: If it is not such a URL; the message says what is.
    """
    if not url.startswith(PREFIX):
        raise ValueError(f"must look like {_FORMS}")
    path = url.removeprefix(PREFIX)
    for mark in "?#":
        if mark in path:
            raise ValueError(f"takes no options; write %{ord(mark):02X} for a {mark} in the file's name")
    path = unquote(path)
    if not path:
        raise ValueError(f"names no file; it must look like {_FORMS}")
    if path.endswith("/"):
        raise ValueError("names a directory; add the file's name")
    if "\0" in path:
        raise ValueError("names a file with a NUL character, which no system allows")
    return path


def resolve(location: str | Path) -> str:
    """``location``, a path or a URL, as an absolute path that does not change with the working directory."""
    path = parse_sqlite_url(location) if isinstance(location, str) and location.startswith("sqlite:") else str(location)
    return path if path == MEMORY else str(Path(path).absolute())
