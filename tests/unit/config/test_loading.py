"""The file and the environment become a configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.launcher import Certificate
from tests.unit.config.defaults import defaults_in
from users_server.config import Config, ConfigErrors, load_config
from users_server.services.settings import TokenKey
from users_server.web.settings import Compatibility, HttpSettings, UserEvents

ROOT = Path(__file__).resolve().parents[3]


def load(folder: Path, text: str, **environ: str) -> Config:
    path = folder / "config.json"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ)


def test_an_empty_object_is_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "{}") == defaults_in(tmp_path)


def test_comments_trailing_commas_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff// for people\n{\n  /* the seed's own\n style */ 'http': {port: 81,},\n}\n"
    assert load(tmp_path, text).http == HttpSettings(port=81)


def test_the_schema_key_is_for_editors(tmp_path: Path) -> None:
    assert load(tmp_path, '{"$schema": "definitions/config.schema.json"}') == defaults_in(tmp_path)


def test_choices_become_members(tmp_path: Path) -> None:
    config = load(tmp_path, '{"compatibility": "webinate", "websocket": {"userEvents": "admins"}}')
    assert config.compatibility is Compatibility.WEBINATE
    assert config.websocket.user_events is UserEvents.ADMINS


def test_the_example_loads_as_it_stands() -> None:
    config = load_config(ROOT / "config.example.json", {})
    assert config.admin_user.password == ""
    assert config.tokens.keys == ()
    assert config.websocket.socket_api_key == ""
    rest = dataclasses.replace(
        config,
        http=dataclasses.replace(config.http, approved_domains=()),
        websocket=dataclasses.replace(config.websocket, approved_socket_domains=()),
    )
    assert rest == defaults_in(ROOT), "but for the origins, the example is what is in effect without a file"


def test_the_seeds_own_patterns_load(tmp_path: Path) -> None:
    seed = """{
        "websocket": {
            "port": 8080,
            "approvedSocketDomains": [
                "localhost", "^ws://www.webinate.net:123$", "^webinate\\\\.net:80$", "^example\\\\.com$",
                "^.+\\\\.example\\\\.com$", "^example\\\\.org", "^.+\\\\.example\\\\.org",
            ]
        }
    }"""
    assert len(load(tmp_path, seed).websocket.approved_socket_domains) == 7


def test_key_files_are_beside_the_configuration(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "private.pem").write_text(private)
    inline = public.replace("\n", "\\n")
    config = load(
        tmp_path,
        '{"tokens": {"keys": [{"kid": "a", "algorithm": "EdDSA", "privateKey": "keys/private.pem"},'
        f'{{"kid": "b", "algorithm": "EdDSA", "publicKey": "{inline}"}}]}}}}',
    )
    assert config.tokens.keys == (
        TokenKey("a", "EdDSA", private_key=private),
        TokenKey("b", "EdDSA", public_key=public),
    )


def test_tls_files_are_beside_the_configuration(tmp_path: Path, certificate: Certificate) -> None:
    (tmp_path / "server.pem").write_bytes(certificate.certificate.read_bytes())
    (tmp_path / "key.pem").write_bytes(certificate.key.read_bytes())
    config = load(tmp_path, '{"tls": {"certificate": "server.pem", "key": "key.pem"}}')
    assert config.tls.certificate == str(tmp_path / "server.pem")
    assert config.tls.key == str(tmp_path / "key.pem")


def test_the_variable_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.json").write_text('{"http": {"port": 1}}')
    (tmp_path / "config.json").write_text('{"http": {"port": 2}}')
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {"USERS_SERVER_CONFIG": "here.json"}).http.port == 1
    assert load_config(None, {}).http.port == 2
    assert load_config(Path("config.json"), {"USERS_SERVER_CONFIG": "here.json"}).http.port == 2


def test_no_file_is_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigErrors, match=r"cp config\.example\.json config\.json"):
        load_config(None, {})


def test_secrets_are_not_in_repr(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '{"websocket": {"socketApiKey": "hunter2"}, "database": {"url": "mongodb://ann:hunter2@db/users"},'
        '"tokens": {"keys": [{"kid": "a", "algorithm": "HS256", "secret": "hunter2 hunter2 hunter2 hunter2 hunter2"}]},'
        '"adminUser": {"password": "hunter2"}}',
    )
    assert "hunter2" not in repr(config)
