"""From the file and the environment to a :class:`Config`, or to all that is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from users_server.config.checks import check, with_files
from users_server.config.environment import override
from users_server.config.mistakes import ConfigErrors, describe, join
from users_server.config.names import Field, fields_of, without_unknown
from users_server.config.schemas import ConfigSchema
from users_server.config.settings import Config
from users_server.config.source import find_config, parse, read_file, untangle
from users_server.core.messages import JSON
from users_server.errors import ConfigError
from users_server.schemas.settings import Group, ListOf, Setting

_ABSENT: Any = object()


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """
    The configuration in ``path``, with the variables of ``environ`` over it.

    Without ``path`` it is the file that USERS_SERVER_CONFIG names, else ./config.json. Files that are named in it are
    taken from its folder; key files are read.

    Raises:
        ConfigErrors: With every mistake, in the order of the file's sections.
    """
    try:
        path = find_config(path, environ)
        values = parse(read_file(path))
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    return build_config(values, environ, path.parent)


def build_config(values: JSON, environ: Mapping[str, str], folder: Path) -> Config:
    """The same from values that :func:`parse` made. Raises :class:`ConfigErrors`."""
    mistakes: list[ConfigError] = []
    values = untangle(values, mistakes)
    if not isinstance(values, dict):
        raise ConfigErrors([*mistakes, _no_object(values)])
    sources = override(values, environ, mistakes)
    values = without_unknown(values, mistakes)
    config, wrong = _load(values)
    mistakes.extend(_with_source(mistake, sources) for mistake in wrong)
    config = with_files(config, folder, mistakes)
    told = {mistake.path for mistake in mistakes}
    mistakes.extend(_with_source(mistake, sources) for mistake in check(config) if mistake.path not in told)
    if mistakes:
        raise ConfigErrors(mistakes)
    return config


def _no_object(values: JSON) -> ConfigError:
    hint = "See config.example.json, or begin with it: cp config.example.json config.json"
    return ConfigError("", "expected an object, { … }", describe(values, is_secret=isinstance(values, str)), hint=hint)


def _load(values: dict[str, JSON]) -> tuple[Config, list[ConfigError]]:
    """The configuration from the sections that are right, and what is wrong in the others."""
    schema = ConfigSchema()
    try:
        return schema.load(values), []
    except ValidationError as error:
        messages: dict[str, Any] = error.messages_dict
    right = {key: value for key, value in values.items() if key not in messages}
    return schema.load(right), list(_mistakes(messages, values, None, ""))


def _mistakes(messages: Mapping[str, Any], values: JSON, group: Group | None, path: str) -> Iterator[ConfigError]:
    known = fields_of(group)
    for key in (key for key in known if key in messages):
        yield from _mistakes_of(known[key], messages[key], values.get(key, _ABSENT), join(path, key))


def _mistakes_of(field: Field | Any, messages: Any, value: JSON, path: str) -> Iterator[ConfigError]:
    if isinstance(field, Group):
        if isinstance(value, dict):
            yield from _mistakes(messages, value, field, path)
        else:
            hint = f'Write for instance "{path.rpartition(".")[2]}": {{}}'
            yield ConfigError(path, "expected an object", describe(value, is_secret=isinstance(value, str)), hint=hint)
    elif isinstance(field, ListOf) and isinstance(messages, dict):
        for index, inner in messages.items():
            yield from _mistakes_of(field.item, inner, value[index], f"{path}[{index}]")
    else:
        yield _mistake(field, messages, value, path)


def _mistake(field: Setting, messages: list[str], value: JSON, path: str) -> ConfigError:
    """``messages`` is what was expected and, for a conflict with another setting, what to do."""
    if value is _ABSENT:
        found = "nothing" if field.required else f"{describe(field.default)}, the default"
    else:
        found = describe(value, is_secret=field.is_secret)
    hint = messages[1] if len(messages) > 1 else _hint(field, value, path.rpartition(".")[2])
    return ConfigError(path, f"expected {messages[0]}", found, hint=hint)


def _hint(field: Setting, value: JSON, key: str) -> str | None:
    explained = field.explain(value) if field.explain else None
    if explained or field.is_secret:
        return explained
    name = "" if key.endswith("]") else f'"{key}": '
    return f"Write for instance {name}{json.dumps(field.instance, ensure_ascii=False)}"


def _with_source(mistake: ConfigError, sources: Mapping[str, str]) -> ConfigError:
    """``mistake``, saying which variable the value comes from if it does not come from the file."""
    variable = next((name for path, name in sources.items() if mistake.path.split("[")[0] == path), None)
    if variable is None:
        return mistake
    return ConfigError(mistake.path, mistake.expected, f"{mistake.found} in {variable}", hint=mistake.hint)
