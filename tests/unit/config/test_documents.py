"""What is generated from the schema is in step with it, and shows no secret."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import json5
import pytest

from tests.unit.config.defaults import defaults_in
from users_server.config import (
    BrokerSettings,
    Config,
    DatabaseSettings,
    configuration_document,
    effective_config,
    example_config,
    load_config,
    mask_url,
)
from users_server.config.names import fields_of, settings
from users_server.schemas.settings import Group
from users_server.services.settings import AdminUser, TokenKey, TokenSettings
from users_server.web.settings import TlsSettings, WebSocketSettings

ROOT = Path(__file__).resolve().parents[3]
REGENERATE = "Run: users-server definitions"


def test_the_example_is_in_step() -> None:
    assert (ROOT / "config.example.json").read_text(encoding="utf-8") == example_config(), REGENERATE


def test_the_documentation_is_in_step() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == configuration_document(), REGENERATE


def test_every_key_of_the_example_has_a_comment() -> None:
    lines = example_config().splitlines()
    keys = [index for index, line in enumerate(lines) if re.match(r'\s+"[^"]+": ', line)]
    assert len(keys) == sum(1 for _ in settings()) + sum(1 for _ in groups(None))
    for index in keys:
        assert lines[index - 1].lstrip().startswith("// "), lines[index]
    assert max(map(len, lines)) <= 120


def test_the_documentation_has_a_row_for_each_setting() -> None:
    rows = [line for line in configuration_document().splitlines() if line.startswith("| `")]
    documented = [row.split("`")[1] for row in rows]
    assert [path for path in documented if "[]" not in path] == [path for path, _ in settings()]
    rule = ("pattern", "app", "historySize", "historySeconds", "presence", "publishers")
    key = ("kid", "algorithm", "secret", "publicKey", "privateKey")
    in_lists = [path for path in documented if "[]" in path]
    assert [path for path in in_lists if not path.startswith("protocols.")] == [
        *(f"channels.rules[].{name}" for name in rule),
        *(f"tokens.keys[].{name}" for name in key),
    ]


def test_every_setting_says_what_it_is() -> None:
    for path, field in settings():
        assert field.metadata["description"], path
        assert field.expected, path


@pytest.mark.parametrize("path", [path for path, field in settings() if path != "$schema"])
def test_defaults_of_the_schema_are_those_of_the_classes(path: str) -> None:
    """The schema and the dataclasses have the same settings, too."""
    value: Any = Config()
    group: Group | None = None
    for key in path.split("."):
        field = fields_of(group)[key]
        value = value[key] if isinstance(value, Mapping) else getattr(value, str(field.name))
        group = field if isinstance(field, Group) else group
    plain = json.loads(json.dumps(value, default=lambda member: member.value))
    assert dict(settings())[path].default == plain


def test_every_field_of_the_classes_is_a_setting() -> None:
    names = {str(field.name) for field in fields_of(None).values()} - {"schema_url"}
    assert {field.name for field in dataclasses.fields(Config)} == names | {"conformance"}
    for section in groups(None):
        settings_class = section.schema.settings
        if settings_class is not dict:
            assert {field.name for field in dataclasses.fields(settings_class)} == set(section.schema.fields)


def groups(group: Group | None) -> Iterator[Group]:
    """All sections, and the sections in them."""
    for field in fields_of(group).values():
        if isinstance(field, Group):
            yield field
            yield from groups(field)


SECRETS = Config(
    websocket=WebSocketSettings(socket_api_key="hunter2"),
    database=DatabaseSettings("mongodb+srv://ann:hunter2@db.example/users?tlsCertificateKeyFilePassword=hunter2&w=1"),
    broker=BrokerSettings("redis://:hunter2@bus"),
    admin_user=AdminUser(password="hunter2"),
    tokens=TokenSettings((TokenKey("a", "HS256", secret="hunter2"), TokenKey("b", "EdDSA", private_key="hunter2"))),
    tls=TlsSettings("certificate.pem", "key.pem", "hunter2"),
)


def test_the_effective_configuration_is_masked() -> None:
    effective = effective_config(SECRETS)
    assert "hunter2" not in json.dumps(effective)
    assert effective["websocket"]["socketApiKey"] == "********"
    assert effective["tokens"]["keys"][0] == {
        "kid": "a",
        "algorithm": "HS256",
        "secret": "********",
        "publicKey": "",
        "privateKey": "",
    }
    assert effective["database"]["url"] == (
        "mongodb+srv://ann:********@db.example/users?tlsCertificateKeyFilePassword=********&w=1"
    )


def test_an_empty_secret_shows_as_empty() -> None:
    assert effective_config(Config())["adminUser"]["password"] == ""


def test_the_effective_configuration_is_one(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(effective_config(Config())))
    assert load_config(path, {}) == defaults_in(tmp_path)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///users.db", "sqlite:///users.db"),
        ("mongodb://localhost:27017/users", "mongodb://localhost:27017/users"),
        ("mongodb://ann:p%40ss@h1:1,h2:2/users", "mongodb://ann:********@h1:1,h2:2/users"),
        ("mongodb://ann:pa/ss@host/users", "mongodb://ann:********@host/users"),
        ("mongodb:/ann:secret@host", "mongodb:********@host"),
        ("redis://:secret@host", "redis://:********@host"),
    ],
)
def test_urls_are_shown_without_their_password(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_the_example_is_what_editors_expect() -> None:
    example = json5.loads(example_config())
    assert example["$schema"] == "definitions/config.schema.json"
    assert example["websocket"]["approvedSocketDomains"][0] == "^https?://localhost(:[0-9]+)?$"
