"""The sections about mail and captchas: what they refuse, and what they keep to themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from users_server.config import Config, ConfigErrors, effective_config, load_config


def load(folder: Path, **sections: Any) -> Config:
    path = folder / "config.json"
    path.write_text(json.dumps(sections), encoding="utf-8")
    return load_config(path, {})


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"mail": {"from": "nobody"}}, "mail.from"),
        ({"mail": {"from": "a@example.com\nBcc: eve@example.com"}}, "mail.from"),
        ({"mail": {"fromName": "a\r\nBcc: eve@example.com"}}, "mail.fromName"),
        ({"mail": {"fromName": ""}}, "mail.fromName"),
        ({"mail": {"transport": "pigeon"}}, "mail.transport"),
        ({"mail": {"webmaster": "nobody"}}, "mail.webmaster"),
        ({"mail": {"maxRetrySeconds": 1}}, "mail.maxRetrySeconds"),
        ({"mail": {"templates": "missing"}}, "mail.templates"),
        (
            {"mail": {"smtp": {"host": "mail.example.com", "security": "none", "username": "u", "password": "p"}}},
            "mail.smtp.security",
        ),
        ({"mail": {"smtp": {"password": "p"}}}, "mail.smtp.username"),
        (
            {"mail": {"transport": "smtp", "smtp": {"certificateAuthority": "missing.pem"}}},
            "mail.smtp.certificateAuthority",
        ),
        ({"captcha": {"provider": "turnstile"}}, "captcha.secret"),
        ({"captcha": {"provider": "mine"}}, "captcha.provider"),
        ({"accountKeys": {"activationSeconds": 0}}, "accountKeys.activationSeconds"),
        ({"http": {"publicURL": "api.example.com"}}, "http.publicURL"),
    ],
)
def test_mistakes(tmp_path: Path, sections: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, **sections)
    assert [mistake.path for mistake in caught.value.mistakes] == [path]


def test_a_template_with_a_mistake_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "activation.txt").write_text("{{ links }}")
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, mail={"templates": "templates"})
    assert "'links' is undefined" in str(caught.value)


def test_files_are_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    config = load(tmp_path, mail={"templates": "templates", "folder": "out", "smtp": {"certificateAuthority": "a.pem"}})
    assert config.mail.templates == str(tmp_path / "templates")
    assert config.mail.folder == str(tmp_path / "out")
    assert config.mail.smtp.certificate_authority == str(tmp_path / "a.pem")


def test_a_login_without_encryption_stays_on_this_machine(tmp_path: Path) -> None:
    smtp = {"host": "localhost", "security": "none", "username": "u", "password": "p"}
    assert load(tmp_path, mail={"smtp": smtp}).mail.smtp.username == "u"


def test_secrets_are_masked(tmp_path: Path) -> None:
    smtp = {"username": "u", "password": "a mail secret"}
    captcha = {"provider": "hcaptcha", "secret": "a captcha secret"}
    config = load(tmp_path, mail={"smtp": smtp}, captcha=captcha)
    for text in (repr(config), json.dumps(effective_config(config))):
        assert "a mail secret" not in text
        assert "a captcha secret" not in text
