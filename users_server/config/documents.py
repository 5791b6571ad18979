"""What is generated from the schema: the example, the documentation, and the effective configuration, masked."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from users_server.config.environment import variable_of
from users_server.config.mistakes import MASK, join, mask_url
from users_server.config.names import Field, fields_of
from users_server.config.settings import Config
from users_server.core.messages import JSON
from users_server.schemas.settings import Group, ListOf, Setting, as_json

WIDTH = 118

_EXAMPLE_HEAD = """\
// Configuration of users-server. Copy it to config.json and change what you need: every key may be left out, and has
// then the value that stands here, but for the lists of origins, which are empty then. Comments and trailing commas are
// allowed. docs/configuration.md has the same as a table, and the environment variables that override each key.
"""

_DOCUMENT_HEAD = """\
# Configuration

<!-- Generated from the schemas (users_server/config/schemas.py) by `users-server definitions`; do not edit. -->

The server reads one file: `--config FILE`, else the one that `USERS_SERVER_CONFIG` names, else `config.json` in the
current folder. It is JSON; comments, trailing commas and the rest of JSON5 are allowed. Make one with
`cp config.example.json config.json`; the example has every key. A key that is left out has its default. A mistake stops
the server before anything is started: it prints a line for each mistake and exits with code 2.
`users-server check-config` does the same without starting anything, and prints the configuration in effect.

An environment variable overrides its key. Two underscores separate section and key; case and single underscores do not
count, so that `USERS_SERVER__WEBSOCKET__SOCKETAPIKEY` is the same as `USERS_SERVER__WEBSOCKET__SOCKET_API_KEY`. Text is
taken as it stands, without quotes; a list is JSON or, for texts, separated by commas.

The files that `tls`, `tokens.keys` and `apps.keyFile` name are relative to the folder of the configuration file. The
path in `database.url` is relative to the folder that the server is started in.

| key | type | default | environment variable | what it is |
| --- | --- | --- | --- | --- |
"""


def example_config() -> str:
    """The text of config.example.json: every key with its default, and a comment that says what it is."""
    return f"{_EXAMPLE_HEAD}{{\n{_example_members(None, 1)}}}\n"


def _example_members(group: Group | None, depth: int) -> str:
    indent = "  " * depth
    members = []
    for key, field in fields_of(group).items():
        comment = textwrap.wrap(field.description, WIDTH - len(indent) - 3, break_on_hyphens=False)
        lines = [f"{indent}// {line}\n" for line in comment]
        if isinstance(field, Group):
            lines.append(f'{indent}"{key}": {{\n{_example_members(field, depth + 1)}{indent}}},\n')
        else:
            lines.append(f'{indent}"{key}": {_example_value(field, indent)},\n')
        members.append("".join(lines))
    return ("\n" if group is None else "").join(members)


def _example_value(field: Setting, indent: str) -> str:
    value = field.example
    if isinstance(value, list) and value:
        items = "".join(f"{indent}  {json.dumps(item, ensure_ascii=False)},\n" for item in value)
        return f"[\n{items}{indent}]"
    return json.dumps(value, ensure_ascii=False)


def configuration_document() -> str:
    """The text of docs/configuration.md: a row for each setting."""
    return _DOCUMENT_HEAD + "".join(_rows(None, ""))


def _rows(group: Group | None, path: str, *, has_variable: bool = True) -> Iterator[str]:
    for key, field in fields_of(group).items():
        where = join(path, key)
        if isinstance(field, Group):
            yield from _rows(field, where, has_variable=has_variable)
            continue
        default = "required" if field.required else f"`{json.dumps(field.default, ensure_ascii=False)}`"
        if field.default is None and not field.required:
            default = ""
        variable = f"`{variable_of(where)}`" if has_variable and where != "$schema" else ""
        cells = (f"`{where}`", field.expected, default, variable, field.description)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
        if isinstance(field, ListOf) and isinstance(field.item, Group):
            yield from _rows(field.item, f"{where}[]", has_variable=False)


def effective_config(config: Config) -> dict[str, JSON]:
    """``config`` as it would be written in a file, with every secret and every password of a URL masked."""
    return _written(config, None)


def _written(settings: Any, group: Group | None) -> dict[str, JSON]:
    written: dict[str, JSON] = {}
    for key, field in fields_of(group).items():
        if key != "$schema":
            name = str(field.name)
            value = settings[name] if isinstance(settings, Mapping) else getattr(settings, name)
            written[key] = _written_value(value, field)
    return written


def _written_value(value: Any, field: Field) -> JSON:
    if isinstance(field, Group):
        return _written(value, field)
    if isinstance(field, ListOf) and isinstance(field.item, Group):
        return [_written(item, field.item) for item in value]
    if field.is_secret and value:
        return MASK
    value = as_json(value)
    return mask_url(value) if isinstance(value, str) and "://" in value else value
