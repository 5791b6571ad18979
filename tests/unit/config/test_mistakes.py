"""Each mistake is one line that says where, what was expected, what was found and what to do; nothing is started."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.launcher import Certificate
from users_server.cli import main


@dataclass(frozen=True)
class Mistake:
    """A configuration with one mistake, and the pieces of the line that tells it."""

    name: str
    config: Any
    path: str
    expected: str
    found: str
    hint: str
    environ: dict[str, str] = field(default_factory=dict)


def key(**parts: str) -> dict[str, Any]:
    return {"tokens": {"keys": [{"kid": "a", **parts}]}}


SHORT = "a secret that is too short"

MISTAKES = [
    Mistake("not an object", "[1]", "", "an object", "a list", "cp config.example.json"),
    Mistake("no JSON", '{"host": }', "line 1, column 10", "JSON", '"}"', "comma, quote or bracket"),
    Mistake("unfinished", '{"host": "x",\n "http": {', "line 2, column 11", "JSON", "end of input", "bracket"),
    Mistake("empty file", " \n", "", "a JSON object", "nothing", "cp config.example.json config.json"),
    Mistake("a key twice", '{"host": "a", "host": "b"}', "host", "each key once", "it twice", "Remove one"),
    Mistake(
        "a key twice, deeper",
        '{"websocket": {"port": 1, "port": 1}}',
        "websocket.port",
        "each key once",
        "it twice",
        "Remove one",
    ),
    Mistake(
        "text for a number",
        {"websocket": {"port": "8080"}},
        "websocket.port",
        "a whole number from 0 to 65535",
        '"8080"',
        "without quotes: 8080",
    ),
    Mistake("a port too high", {"http": {"port": 65536}}, "http.port", "from 0 to 65535", "65536", '"port": 8000'),
    Mistake("true for a number", {"http": {"port": True}}, "http.port", "a whole number", "true", '"port": 8000'),
    Mistake("null", {"host": None}, "host", "a host name", "null", '"host": "localhost"'),
    Mistake(
        "a number for true",
        {"websocket": {"compression": 1}},
        "websocket.compression",
        "true or false",
        "1",
        '"compression": false',
    ),
    Mistake(
        "an unknown choice",
        {"websocket": {"userEvents": "everybody"}},
        "websocket.userEvents",
        'one of "all", "authenticated", "admins"',
        '"everybody"',
        '"userEvents": "all"',
    ),
    Mistake(
        "an unknown key",
        {"websocket": {"approvedSocketDomain": []}},
        "websocket.approvedSocketDomain",
        "a key of websocket",
        "an unknown one",
        "Did you mean websocket.approvedSocketDomains?",
    ),
    Mistake("a key of a section", {"port": 80}, "port", "a key of", "unknown", "http.port or websocket.port"),
    Mistake("a key like no other", {"tls": {"xyzzy": 1}}, "tls.xyzzy", "a key of tls", "unknown", "It has certificate"),
    Mistake("a section that is none", {"http": 8000}, "http", "an object", "8000", '"http": {}'),
    Mistake(
        "text for a list",
        {"websocket": {"approvedSocketDomains": "localhost"}},
        "websocket.approvedSocketDomains",
        "a list of regular expressions",
        '"localhost"',
        '"approvedSocketDomains": [',
    ),
    Mistake(
        "a bad pattern",
        {"websocket": {"approvedSocketDomains": ["^ok$", "(unclosed"]}},
        "websocket.approvedSocketDomains[1]",
        "a regular expression that RE2 can run",
        '"(unclosed"',
        "two backslashes",
    ),
    Mistake(
        "a pattern with look-ahead",
        {"http": {"approvedDomains": ["^(?!evil)"]}},
        "http.approvedDomains[0]",
        "a regular expression that RE2 can run",
        '"^(?!evil)"',
        "not supported",
    ),
    Mistake(
        "an origin's port as host",
        {"host": "localhost:8000"},
        "host",
        "a host name",
        '"localhost:8000"',
        "Leave scheme, path and port out",
    ),
    Mistake(
        "a prefix with a slash at its end",
        {"http": {"apiPrefix": "/api/"}},
        "http.apiPrefix",
        "without a slash at its end",
        '"/api/"',
        '"apiPrefix": "/api"',
    ),
    Mistake(
        "a path without a slash",
        {"websocket": {"path": "socket"}},
        "websocket.path",
        'a path that begins with "/"',
        '"socket"',
        '"path": "/"',
    ),
    Mistake(
        "no room for one message",
        {"websocket": {"maxMessageBytes": 2_000_000}},
        "websocket.sendQueueBytes",
        "at least websocket.maxMessageBytes (2000000)",
        "1048576, the default",
        "Raise it, or lower websocket.maxMessageBytes",
    ),
    Mistake(
        "a network for an address",
        {"http": {"trustedProxies": ["10.0.0.0/8"]}},
        "http.trustedProxies[0]",
        "an IP address",
        '"10.0.0.0/8"',
        'Write for instance "10.0.0.1"',
    ),
    Mistake(
        "another database",
        {"database": {"url": "postgres://ann:hunter2@db/users"}},
        "database.url",
        '"sqlite:///FILE", "mongodb://…"',
        '"postgres://ann:********@db/users"',
        '"url": "sqlite:///users.db"',
    ),
    Mistake(
        "two slashes",
        {"database": {"url": "sqlite://users.db"}},
        "database.url",
        "sqlite:///FILE",
        '"sqlite://users.db"',
        "Three slashes",
    ),
    Mistake(
        "another broker",
        {"broker": {"url": "amqp://ann:hunter2@bus"}},
        "broker.url",
        '"memory://", "redis://HOST:PORT/DB"',
        '"amqp://ann:********@bus"',
        '"url": "memory://"',
    ),
    Mistake(
        "a Redis without slashes",
        {"broker": {"url": "redis:localhost"}},
        "broker.url",
        '"redis://HOST:PORT/DB"',
        '"redis:localhost"',
        "One server: redis:// or",
    ),
    Mistake(
        "a Redis scheme that is none",
        {"broker": {"url": "redis+sentinels://a,b/main"}},
        "broker.url",
        '"redis+sentinel://…"',
        '"redis+sentinels://a,b/main"',
        "several: redis+sentinel:// or redis+cluster://",
    ),
    Mistake(
        "a port of Redis that cannot be",
        {"broker": {"url": "redis://localhost:65536"}},
        "broker.url",
        '"redis://HOST:PORT/DB"',
        '"redis://localhost:65536"',
        "Hosts are written as HOST or HOST:PORT",
    ),
    Mistake(
        "a database of Redis that is a name",
        {"broker": {"url": "rediss://localhost/users"}},
        "broker.url",
        '"redis://HOST:PORT/DB"',
        '"rediss://localhost/users"',
        '"rediss://HOST:6379/0"',
    ),
    Mistake(
        "two hosts of one Redis",
        {"broker": {"url": "redis://a,b"}},
        "broker.url",
        '"redis://HOST:PORT/DB"',
        '"redis://a,b"',
        "Several hosts are those of sentinels or of a cluster",
    ),
    Mistake(
        "sentinels of nothing",
        {"broker": {"url": "redis+sentinel://a:26379,b:26379"}},
        "broker.url",
        '"redis+sentinel://…"',
        '"redis+sentinel://a:26379,b:26379"',
        "HOST:26379/SERVICE/0",
    ),
    Mistake(
        "a database of a cluster",
        {"broker": {"url": "redis+cluster://a:6379/3"}},
        "broker.url",
        '"redis+cluster://…"',
        '"redis+cluster://a:6379/3"',
        '"redis+cluster://HOST:6379,HOST:6379"',
    ),
    Mistake(
        "a slash in a password",
        {"broker": {"url": "redis://:hun/ter2@localhost"}},
        "broker.url",
        '"redis://HOST:PORT/DB"',
        '"redis://:********@localhost"',
        "write / ? # @ : as %2F",
    ),
    Mistake(
        "histories in the database beside Redis",
        {"broker": {"url": "redis://localhost", "history": "database"}},
        "broker.history",
        '"memory" where broker.url is a Redis',
        '"database"',
        "Redis keeps the histories itself",
    ),
    Mistake(
        "workers without Redis",
        {"workers": {"count": 4}},
        "workers.count",
        "1 where broker.url is memory://",
        "4",
        '"broker": {"url": "redis://localhost:6379"}',
    ),
    Mistake(
        "a worker on each processor without Redis",
        {"workers": {"count": 0}},
        "workers.count",
        "1 where broker.url is memory://",
        "0",
        "Redis alone",
    ),
    Mistake(
        "a status port beyond the last",
        {"broker": {"url": "redis://localhost"}, "workers": {"count": 3, "statusPort": 65534}},
        "workers.statusPort",
        "at most 65533",
        "65534",
        "Lower it",
    ),
    Mistake(
        "a status port that is taken",
        {"broker": {"url": "redis://localhost"}, "workers": {"count": 3, "statusPort": 7998}},
        "workers.statusPort",
        "7998 to 8000 without http.port",
        "7998",
        "Choose another port",
    ),
    Mistake(
        "a short encryption key",
        {"apps": {"encryptionKeys": ["hunter2"]}},
        "apps.encryptionKeys[0]",
        "at least 32 characters",
        "a hidden value",
        "Make one: python3",
    ),
    Mistake(
        "makers of apps that are none",
        {"apps": {"creation": "anybody"}},
        "apps.creation",
        'one of "admins", "users"',
        '"anybody"',
        '"creation": "admins"',
    ),
    Mistake(
        "a history without an age",
        {"channels": {"rules": [{"pattern": "news:*"}, {"pattern": "*", "historySize": 10}]}},
        "channels.rules[1].historySeconds",
        "how long the history is kept, beside historySize",
        "0, the default",
        "write both, or neither",
    ),
    Mistake(
        "a history without a size",
        {"channels": {"rules": [{"pattern": "*", "historySize": 0, "historySeconds": 60}]}},
        "channels.rules[0].historySize",
        "how many publications the history keeps",
        "0",
        "write both, or neither",
    ),
    Mistake(
        "publishers that are none",
        {"channels": {"rules": [{"publishers": "nobody"}]}},
        "channels.rules[0].publishers",
        'one of "clients", "server"',
        '"nobody"',
        '"publishers": "clients"',
    ),
    Mistake(
        "an unknown key of a rule",
        {"channels": {"rules": [{"histroySize": 10}]}},
        "channels.rules[0].histroySize",
        "a key of channels.rules[0]",
        "an unknown one",
        "Did you mean channels.rules[0].historySize?",
    ),
    Mistake(
        "no name for a channel",
        {"channels": {"limits": {"nameBytes": 0}}},
        "channels.limits.nameBytes",
        "a whole number from 1",
        "0",
        '"nameBytes": 200',
    ),
    Mistake(
        "a protocol that is none",
        {"protocols": {"wacth": {}}},
        "protocols.wacth",
        "a key of protocols",
        "an unknown one",
        "Did you mean protocols.watch?",
    ),
    Mistake(
        "a path of a protocol",
        {"protocols": {"watch": {"path": "watch"}}},
        "protocols.watch.path",
        'a path that begins with "/"',
        '"watch"',
        '"path": "/watch"',
    ),
    Mistake("no life", {"session": {"lifetimeSeconds": 0}}, "session.lifetimeSeconds", "from 1", "0", "1800"),
    Mistake(
        "the placeholder",
        {"adminUser": {"password": "CHANGE_THIS_PASSWORD"}},
        "adminUser.password",
        "a password of your own",
        "a hidden value",
        "CHANGE_THIS_PASSWORD is a placeholder",
    ),
    Mistake(
        "a short password",
        {"adminUser": {"password": "hunter2"}, "passwords": {"minLength": 12}},
        "adminUser.password",
        "at least 12 characters",
        "7",
        "Write a longer one",
    ),
    Mistake(
        "a name with a space",
        {"adminUser": {"username": "the chief"}},
        "adminUser.username",
        "letters and digits",
        '"the chief"',
        '"username": "admin"',
    ),
    Mistake("no email", {"adminUser": {"email": "me"}}, "adminUser.email", "an email address", '"me"', '"email": "'),
    Mistake(
        "a level that is none",
        {"logging": {"level": "verbose"}},
        "logging.level",
        'one of "debug", "info", "warning", "error"',
        '"verbose"',
        '"level": "info"',
    ),
    Mistake(
        "a URL without a scheme",
        {"accountRedirectURL": "example.com/done"},
        "accountRedirectURL",
        "a URL that begins with http:// or https://",
        '"example.com/done"',
        '"accountRedirectURL": "https://www.example.com/welcome"',
    ),
    Mistake(
        "a key without a name",
        {"tokens": {"keys": [{"algorithm": "HS256", "secret": "x" * 32}]}},
        "tokens.keys[0].kid",
        "a name of 1 to 64 characters",
        "nothing",
        '"kid": "2025-01"',
    ),
    Mistake(
        "the algorithm none",
        key(algorithm="none"),
        "tokens.keys[0].algorithm",
        'one of "HS256", "RS256", "EdDSA"',
        '"none"',
        "Tokens without a signature are never accepted",
    ),
    Mistake(
        "a short secret",
        key(algorithm="HS256", secret=SHORT),
        "tokens.keys[0].secret",
        "at least 32 bytes",
        str(len(SHORT)),
        "Make one: python3",
    ),
    Mistake(
        "no public key",
        key(algorithm="EdDSA"),
        "tokens.keys[0].publicKey",
        "a public key in PEM",
        "neither",
        "openssl",
    ),
    Mistake(
        "a public key that is not there",
        key(algorithm="RS256", publicKey="missing.pem"),
        "tokens.keys[0].publicKey",
        "a PEM file that can be read",
        "missing.pem",
        "relative to the configuration's folder",
    ),
    Mistake(
        "a name twice",
        {"tokens": {"keys": [{"kid": "a", "algorithm": "HS256", "secret": letter * 32} for letter in "xy"]}},
        "tokens.keys[1].kid",
        "a name that no other key has",
        "'a'",
        "its own name",
    ),
    Mistake(
        "a certificate without a key",
        {"tls": {"certificate": "server.pem"}},
        "tls.key",
        "the private key of tls.certificate",
        '"", the default',
        '"key": "key.pem"',
    ),
    Mistake(
        "a certificate that is not there",
        {"tls": {"certificate": "missing.pem", "key": "config.json"}},
        "tls.certificate",
        "a PEM file that can be read",
        "No such file or directory",
        "relative to the configuration's folder",
    ),
    Mistake(
        "a certificate that is none",
        {"tls": {"certificate": "config.json", "key": "config.json"}},
        "tls",
        "a certificate and its private key",
        "files that OpenSSL refuses",
        "openssl x509",
    ),
    Mistake(
        "an old key",
        {"portHTTP": 8000},
        "portHTTP",
        "no key of the original",
        "an old name",
        "It is http.port now",
    ),
    Mistake(
        "an unknown variable",
        {},
        "USERS_SERVER__WEBSOKET__PORT",
        "the variable of a setting",
        "an unknown one",
        "Did you mean USERS_SERVER__WEBSOCKET__PORT?",
        environ={"USERS_SERVER__WEBSOKET__PORT": "1"},
    ),
    Mistake(
        "a wrong value in a variable",
        {},
        "http.port",
        "a whole number",
        '"abc" in USERS_SERVER__HTTP__PORT',
        '"port": 8000',
        environ={"USERS_SERVER__HTTP__PORT": "abc"},
    ),
    Mistake(
        "two variables for one setting",
        {},
        "websocket.socketApiKey",
        "one variable for it",
        "two",
        "Unset",
        environ={
            "USERS_SERVER__WEBSOCKET__SOCKETAPIKEY": "a-key-of-some-length",
            "USERS_SERVER__WEBSOCKET__SOCKET_API_KEY": "another-key-of-some-length",
        },
    ),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def serve(folder: Path, config: Any, environ: dict[str, str] | None = None) -> Result:
    """``users-server serve`` with this configuration, an object or the text of the file."""
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["serve"], env=environ or {})


def only_line(result: Result) -> str:
    """What was printed: one line, and that to standard error."""
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_one_line(mistake: Mistake, folder: Path) -> None:
    result = serve(folder, mistake.config, mistake.environ)
    line = only_line(result)
    assert result.exit_code == 2
    assert line.startswith(f"Error: config.json: {mistake.path}")
    told, _, rest = line.partition(", found ")
    assert "expected " in told
    assert mistake.expected in told
    assert rest.startswith(mistake.found) or mistake.found in rest.partition(". ")[0]
    assert mistake.hint in rest
    assert list(folder.iterdir()) == [folder / "config.json"], "nothing was started"


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    config = {
        "host": 1,
        "http": {"port": -1, "prt": 1},
        "websocket": {"approvedSocketDomains": ["("], "socketApiKey": ""},
        "tokens": {"keys": [{"kid": "a", "algorithm": "HS256", "secret": "short"}, {"kid": "b", "algorithm": "RS256"}]},
        "tls": {"certificate": "no.pem", "key": "no.pem"},
    }
    result = serve(folder, config)
    paths = [line.split(": ")[2] for line in result.stderr.splitlines()]
    assert result.exit_code == 2
    assert paths == [
        "http.prt",
        "host",
        "http.port",
        "websocket.approvedSocketDomains[0]",
        "tokens.keys[0].secret",
        "tokens.keys[1].publicKey",
        "tls.certificate",
        "tls.key",
    ]


def test_secrets_are_not_shown(folder: Path) -> None:
    config = {
        "websocket": {"socketApiKey": "hunter2 has spaces"},
        "adminUser": {"password": 314159},
        "tokens": {"keys": ["hunter2", {"kid": "a", "algorithm": "HS256", "secret": "hunter2"}]},
        "tls": "hunter2",
        "database": {"url": "mysql://ann:hunter2@db"},
        "broker": {"url": "redis:/ann:hunter2@db?password=hunter2"},
    }
    result = serve(folder, config, {"USERS_SERVER__TLS__PASSPHRASE": "hunter2\n"})
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 6
    assert "hunter2" not in result.stderr
    assert "314159" not in result.stderr


def test_control_characters_do_not_reach_the_terminal(folder: Path) -> None:
    result = serve(folder, {"host": "a\x1b[2Jb\nc", "h\x1b[2J\n": 1})
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert "\x1b" not in result.stderr


def test_the_key_of_another_certificate(folder: Path, certificate: Certificate) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    (folder / "other.pem").write_bytes(pem(other))
    result = serve(folder, {"tls": {"certificate": str(certificate.certificate), "key": "other.pem"}})
    assert result.exit_code == 2
    assert only_line(result).startswith("Error: config.json: tls")


def test_a_wrong_passphrase(folder: Path, certificate: Certificate) -> None:
    loaded = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    encrypted = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"right")
    )
    (folder / "key.pem").write_bytes(encrypted)
    tls = {"certificate": str(certificate.certificate), "key": "key.pem"}
    for passphrase in ("", "wrong"):
        result = serve(folder, {"tls": {**tls, "passphrase": passphrase}})
        assert result.exit_code == 2
        assert "the key's passphrase" in only_line(result)


def test_a_key_of_another_kind(folder: Path) -> None:
    (folder / "key.pem").write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    result = serve(folder, key(algorithm="EdDSA", privateKey="key.pem"))
    assert result.exit_code == 2
    assert "tokens.keys[0].privateKey: expected a private key for EdDSA" in only_line(result)


def test_no_configuration_at_all(folder: Path) -> None:
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert "cp config.example.json config.json" in only_line(result)


@pytest.mark.parametrize("option", ["--config", "environment"])
def test_a_file_that_is_not_there(folder: Path, option: str) -> None:
    if option == "--config":
        result = CliRunner().invoke(main, ["serve", "--config", "missing.json"])
    else:
        result = CliRunner().invoke(main, ["serve"], env={"USERS_SERVER_CONFIG": "missing.json"})
    assert result.exit_code == 2
    assert only_line(result).startswith("Error: missing.json: expected a configuration file")


def test_a_folder_is_no_configuration(folder: Path) -> None:
    result = CliRunner().invoke(main, ["serve", "--config", str(folder)])
    assert result.exit_code == 2
    assert "Is a directory" in only_line(result)


def test_a_file_that_is_not_utf8(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"host": "\xff"}')
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert "expected UTF-8 text" in only_line(result)


def test_a_file_that_is_far_too_large(folder: Path) -> None:
    result = serve(folder, " " * 300_000)
    assert result.exit_code == 2
    assert "expected at most 262144 bytes" in only_line(result)


def test_values_that_are_nested_without_end(folder: Path) -> None:
    result = serve(folder, "[" * 50_000)
    assert result.exit_code == 2
    assert "nested" in only_line(result)


def pem(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
