"""A config.json of the original users server: every old key is told what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from users_server.config import ConfigErrors, load_config
from users_server.config.legacy import LEGACY_KEYS
from users_server.config.names import settings


def nested(path: str) -> dict[str, Any]:
    section, _, key = path.rpartition(".")
    return {section: {key: "x"}} if section else {key: "x"}


@pytest.mark.parametrize("path", list(LEGACY_KEYS))
def test_an_old_key_says_what_became_of_it(path: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(nested(path)))
    with pytest.raises(ConfigErrors) as caught:
        load_config(file, {})
    (mistake,) = caught.value.mistakes
    assert mistake.path == path
    assert mistake.hint == LEGACY_KEYS[path]


def test_new_names_exist() -> None:
    known = {path for path, _ in settings()}
    for path, advice in LEGACY_KEYS.items():
        assert path not in known
        named = advice.removeprefix("It is ").split(" now")[0] if advice.startswith("It is ") else None
        if named and not named.startswith("part of"):
            assert named in known


def test_a_whole_old_file(tmp_path: Path) -> None:
    old = {
        "host": "localhost",
        "portHTTP": 8000,
        "approvedDomains": ["localhost"],
        "databaseHost": "127.0.0.1",
        "databasePort": 27017,
        "databaseName": "users",
        "userCollection": "users",
        "ssl": False,
        "sessionLifetime": 1800,
        "adminUser": {"username": "root", "email": "root@example.com", "password": "CHANGE_THIS_PASSWORD"},
        "websocket": {"port": 8080, "host": "localhost", "approvedSocketDomains": ["localhost"]},
        "google": {"keyFile": "", "bucket": {"projectId": ""}},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(old))
    with pytest.raises(ConfigErrors) as caught:
        load_config(file, {})
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "portHTTP",
        "approvedDomains",
        "databaseHost",
        "databasePort",
        "databaseName",
        "userCollection",
        "ssl",
        "sessionLifetime",
        "websocket.host",
        "google",
        "adminUser.password",
    ]
