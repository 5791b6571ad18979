"""Environment variables go over the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.defaults import defaults_in
from users_server.config import Config, ConfigErrors, load_config
from users_server.config.environment import variable_of
from users_server.config.names import settings
from users_server.web.settings import Compatibility


def load(folder: Path, text: str = "{}", **environ: str) -> Config:
    path = folder / "config.json"
    path.write_text(text, encoding="utf-8")
    return load_config(path, {f"USERS_SERVER__{name}": value for name, value in environ.items()})


def test_a_number_over_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, '{"websocket": {"port": 1, "path": "/socket"}}', WEBSOCKET__PORT="9000")
    assert config.websocket.port == 9000
    assert config.websocket.path == "/socket"


@pytest.mark.parametrize(
    "name",
    ["WEBSOCKET__SOCKETAPIKEY", "WEBSOCKET__SOCKET_API_KEY", "websocket__socketApiKey", "WebSocket__Socket_API_Key"],
)
def test_case_and_single_underscores_do_not_count(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, **{name: "a-key-of-some-length"}).websocket.socket_api_key == "a-key-of-some-length"


def test_a_setting_of_the_top_level(tmp_path: Path) -> None:
    config = load(tmp_path, HOST="", COMPATIBILITY="webinate", PASSWORD_RESET_URL="https://example.com/reset")
    assert config.host == ""
    assert config.compatibility is Compatibility.WEBINATE
    assert config.password_reset_url == "https://example.com/reset"


@pytest.mark.parametrize("value", ["12345", '"quoted"', "[1]", "{a}", "true", "// no comment", "  spaces  "])
def test_text_is_taken_as_it_stands(tmp_path: Path, value: str) -> None:
    assert load(tmp_path, ADMINUSER__PASSWORD=value).admin_user.password == value


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        ("^https://a\\.example$,^https://b\\.example$", ("^https://a\\.example$", "^https://b\\.example$")),
        (" one , two ,", ("one", "two")),
        ('["^a{1,2}$", "b"]', ("^a{1,2}$", "b")),
        ("", ()),
        ("[]", ()),
    ],
)
def test_a_list_is_json_or_separated_by_commas(tmp_path: Path, value: str, patterns: tuple[str, ...]) -> None:
    assert load(tmp_path, HTTP__APPROVED_DOMAINS=value).http.approved_domains == patterns


def test_keys_are_json5(tmp_path: Path) -> None:
    keys = "[{kid: 'a', algorithm: 'HS256', secret: 'thirty-two bytes or more of a secret'}]"
    assert load(tmp_path, TOKENS__KEYS=keys).tokens.keys[0].kid == "a"


@pytest.mark.parametrize(("value", "is_on"), [("true", True), ("True", True), ("FALSE", False), (" false ", False)])
def test_a_flag(tmp_path: Path, value: str, is_on: bool) -> None:
    assert load(tmp_path, '{"session": {"persistent": true}}', SESSION__PERSISTENT=value).session.persistent is is_on


@pytest.mark.parametrize(("value", "seconds"), [("2.5", 2.5), ("3", 3.0), ("+1e1", 10.0)])
def test_a_number_with_a_fraction(tmp_path: Path, value: str, seconds: float) -> None:
    assert load(tmp_path, SHUTDOWN_SECONDS=value).shutdown_seconds == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP__PORT", ""),
        ("HTTP__PORT", "80a"),
        ("HTTP__PORT", "80.5"),
        ("SHUTDOWN_SECONDS", "NaN"),
        ("SHUTDOWN_SECONDS", "Infinity"),
        ("SESSION__PERSISTENT", "yes"),
        ("TOKENS__KEYS", "not json"),
        ("TOKENS__KEYS", '[{"kid": "a", "kid": "b"}]'),
        ("WEBSOCKET", '{"port": 1}'),
        ("NOTHING__LIKE__IT", "1"),
        ("", "1"),
        ("__", "1"),
        ("$SCHEMA", "x"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, **{name: value})
    assert f"USERS_SERVER__{name}" in str(caught.value) or "tokens.keys[0]" in str(caught.value)


def test_a_section_that_is_none_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, '{"websocket": 8080}', WEBSOCKET__PORT="1")
    assert [mistake.path for mistake in caught.value.mistakes] == ["websocket"]


def test_other_variables_are_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    others = {"USERS_SERVER_PORT": "tcp://10.0.0.1:80", "USERS_SERVER_DEBUG": "1", "PATH": "/bin"}
    assert load_config(path, others) == defaults_in(tmp_path)


def test_every_setting_has_its_variable() -> None:
    variables = [variable_of(path) for path, _ in settings() if path != "$schema"]
    assert len(variables) == len(set(variables))
    assert "USERS_SERVER__WEBSOCKET__MAX_CONNECTIONS_PER_ADDRESS" in variables
    assert "USERS_SERVER__ACCOUNT_REDIRECT_URL" in variables
    assert "USERS_SERVER__CHANNELS__LIMITS__PER_CONNECTION" in variables


def test_a_setting_of_a_section_in_a_section(tmp_path: Path) -> None:
    text = '{"channels": {"limits": {"members": 5}}}'
    limits = load(tmp_path, text, CHANNELS__LIMITS__PER_CONNECTION="7").channels.limits
    assert (limits.members, limits.per_connection) == (5, 7)


def test_a_section_in_a_section_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, '{"channels": {"limits": 5}}', CHANNELS__LIMITS__PER_CONNECTION="7")
    assert [mistake.path for mistake in caught.value.mistakes] == ["channels.limits"]
