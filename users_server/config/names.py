"""Keys that the schema does not know: what each is told, and the rest of the configuration without them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from users_server.config.legacy import LEGACY_KEYS
from users_server.config.mistakes import join
from users_server.config.schemas import ConfigSchema
from users_server.core.messages import JSON
from users_server.errors import ConfigError
from users_server.schemas.settings import Group, ListOf, Setting

Field = Setting | Group


def fields_of(group: Group | None) -> dict[str, Field]:
    """The fields of a section by their keys; of the whole file for :obj:`None`."""
    schema = ConfigSchema() if group is None else group.schema
    return {
        field.data_key or name: field for name, field in schema.fields.items() if isinstance(field, Setting | Group)
    }


def settings(group: Group | None = None, path: str = "") -> Iterator[tuple[str, Setting]]:
    """All settings below ``group`` with their paths, in the order of the file; of a list, the list alone."""
    for key, field in fields_of(group).items():
        if isinstance(field, Group):
            yield from settings(field, join(path, key))
        else:
            yield join(path, key), field


def folded(name: str) -> str:
    """``name`` as it is compared when case and underscores do not count."""
    return name.replace("_", "").replace("-", "").casefold()


def near(name: str, candidates: list[str]) -> str | None:
    """The one of ``candidates`` that ``name`` was probably meant to be."""
    by_folded = {folded(candidate): candidate for candidate in candidates}
    matches = difflib.get_close_matches(folded(name)[:100], list(by_folded), n=1, cutoff=0.7)
    return by_folded[matches[0]] if matches else None


def without_unknown(value: JSON, mistakes: list[ConfigError], group: Group | None = None, path: str = "") -> JSON:
    """``value`` without the keys that its section does not have; each adds a mistake."""
    if not isinstance(value, dict):
        return value
    known = fields_of(group)
    kept: dict[str, JSON] = {}
    for key, inner in value.items():
        where, field = join(path, key), known.get(key)
        if field is None:
            mistakes.append(_unknown(where, key, path, list(known)))
        elif isinstance(field, Group):
            kept[key] = without_unknown(inner, mistakes, field, where)
        elif isinstance(field, ListOf) and isinstance(field.item, Group) and isinstance(inner, list):
            kept[key] = [
                without_unknown(item, mistakes, field.item, f"{where}[{index}]") for index, item in enumerate(inner)
            ]
        else:
            kept[key] = inner
    return kept


def _unknown(where: str, key: str, path: str, known: list[str]) -> ConfigError:
    if where in LEGACY_KEYS:
        return ConfigError(
            where, "expected no key of the original users server", "an old name", hint=LEGACY_KEYS[where]
        )
    expected = f"expected a key of {path}" if path else "expected a key of the configuration"
    guess = near(key, known)
    if guess is not None:
        hint = f"Did you mean {join(path, guess)}?"
    else:
        elsewhere = [name for name, _ in settings() if folded(name.rpartition(".")[2]) == folded(key)]
        hint = f"Did you mean {' or '.join(elsewhere)}?" if elsewhere else f"It has {', '.join(known)}"
    return ConfigError(where, expected, "an unknown one", hint=hint)
