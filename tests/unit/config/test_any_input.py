"""No input gives a traceback: a configuration or mistakes, each one printable line."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import json5
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from users_server.config import Config, ConfigErrors, effective_config, example_config, load_config
from users_server.config.environment import variable_of
from users_server.config.loading import build_config
from users_server.config.names import settings
from users_server.errors import ConfigError

PATHS = [path for path, _ in settings()]
EXAMPLE = json5.loads(example_config())

words = st.sampled_from(["http", "port", "keys", "kid", "a\x1b", "{0}", "%s", "_schema", "secret", "🙂", "\ud800"])
texts = st.text(max_size=20) | words
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts | st.sampled_from(list(EXAMPLE)), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(config: Any, environ: dict[str, str] | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = build_config(config, environ or {}, Path(folder))
        except ConfigErrors as errors:
            check_lines(errors)
        else:
            assert isinstance(made, Config)
            effective_config(made)


def check_lines(errors: ConfigErrors) -> None:
    assert errors.mistakes
    for mistake in errors.mistakes:
        assert isinstance(mistake, ConfigError)
        assert mistake.message.isprintable(), repr(mistake.message)
        mistake.message.encode()


@given(values)
@runs(deadline=None, max_examples=150)
def test_any_values(config: Any) -> None:
    check(config)


@given(st.sampled_from(PATHS), values)
@runs(deadline=None, max_examples=300)
def test_any_value_for_any_setting(path: str, value: Any) -> None:
    config = copy.deepcopy(EXAMPLE)
    *sections, key = path.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[key] = value
    check(config)


@given(st.lists(st.dictionaries(st.sampled_from(["kid", "algorithm", "secret", "publicKey", "privateKey"]), scalars)))
@runs(deadline=None, max_examples=100)
def test_any_keys(keys: list[Any]) -> None:
    check({"tokens": {"keys": keys}})


@given(st.sampled_from(PATHS), st.text(max_size=30).filter(lambda text: "\0" not in text))
@runs(deadline=None, max_examples=150)
def test_any_variable(path: str, value: str) -> None:
    check({}, {variable_of(path): value})


@given(st.text(max_size=60) | st.text(alphabet='{}[],:"/*\\u0a1 e+-\n', max_size=40))
@runs(deadline=None, max_examples=150)
def test_any_file(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load_config(path, {})
        except ConfigErrors as errors:
            check_lines(errors)
