"""What can only be checked outside of the file: patterns, keys and certificates. Every mistake is told."""

from __future__ import annotations

import dataclasses
import ssl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from users_server.config.mistakes import describe
from users_server.config.ports import check_ports
from users_server.config.settings import Config
from users_server.core.clock import SystemClock
from users_server.errors import ConfigError
from users_server.services.account_flows import make_transport
from users_server.services.account_settings import MailSettings
from users_server.services.content_settings import FileSettings
from users_server.services.mail import MailTemplates
from users_server.services.origins import OriginPolicy
from users_server.services.settings import TokenSettings
from users_server.services.tokens import TokenService
from users_server.web.settings import TlsSettings

ALONE = "memory://"
PEM_START = "-----BEGIN"
LARGEST_PEM_BYTES = 1_048_576

_KEY_HINTS = {
    "secret": 'Make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
    "publicKey": "openssl pkey -in private.pem -pubout prints the public half of a private key",
    "privateKey": "openssl genpkey -algorithm ed25519 makes one for EdDSA",
    "kid": "Give each key its own name",
}


def with_files(config: Config, folder: Path, mistakes: list[ConfigError]) -> Config:
    """``config`` with key files read, and the names of other files taken from ``folder``, where config.json is."""
    keys = []
    for index, key in enumerate(config.tokens.keys):
        material = {}
        for name, path in (("public_key", "publicKey"), ("private_key", "privateKey")):
            value = getattr(key, name)
            if value and not value.lstrip().startswith(PEM_START):
                value = _read_pem(f"tokens.keys[{index}].{path}", folder / value, mistakes)
            material[name] = value
        keys.append(dataclasses.replace(key, **material))
    tls = dataclasses.replace(
        config.tls,
        certificate=str(folder / config.tls.certificate) if config.tls.certificate else "",
        key=str(folder / config.tls.key) if config.tls.key else "",
    )
    apps = dataclasses.replace(config.apps, key_file=str(folder / config.apps.key_file))
    config = dataclasses.replace(config, mail=_mail_in(folder, config.mail), files=_files_in(folder, config.files))
    return dataclasses.replace(config, tokens=dataclasses.replace(config.tokens, keys=tuple(keys)), tls=tls, apps=apps)


def _mail_in(folder: Path, mail: MailSettings) -> MailSettings:
    authority = mail.smtp.certificate_authority
    smtp = dataclasses.replace(mail.smtp, certificate_authority=str(folder / authority) if authority else "")
    templates = str(folder / mail.templates) if mail.templates else ""
    return dataclasses.replace(mail, folder=str(folder / mail.folder), templates=templates, smtp=smtp)


def _files_in(folder: Path, files: FileSettings) -> FileSettings:
    authority = files.s3.certificate_authority
    s3 = dataclasses.replace(files.s3, certificate_authority=str(folder / authority) if authority else "")
    return dataclasses.replace(files, s3=s3)


def check(config: Config) -> Iterator[ConfigError]:
    """The mistakes in a configuration whose every setting has the right form."""
    yield from _check_patterns("http.approvedDomains", config.http.approved_domains)
    yield from _check_patterns("websocket.approvedSocketDomains", config.websocket.approved_socket_domains)
    yield from _check_keys(config.tokens)
    yield from _check_tls(config.tls)
    yield from _check_broker(config)
    yield from check_workers(config)
    yield from _check_mail(config.mail)
    yield from _check_files(config.files)
    password, shortest = config.admin_user.password, config.passwords.min_length
    if password and len(password) < shortest:
        yield ConfigError(
            "adminUser.password",
            f"expected at least {shortest} characters (passwords.minLength)",
            f"{len(password)}",
            hint='Write a longer one, or "" to have one made at the first start',
        )


def _check_mail(settings: MailSettings) -> Iterator[ConfigError]:
    """The templates and the authorities, as the server will use them."""
    try:
        MailTemplates(settings.sender_name, Path(settings.templates) if settings.templates else None)
        make_transport(settings, sys.stdout)
    except ConfigError as error:
        yield error


def _check_files(settings: FileSettings) -> Iterator[ConfigError]:
    if settings.storage == "s3" and not settings.s3.bucket:
        hint = 'Write for instance "s3": {"bucket": "users-server-files"}'
        yield ConfigError("files.s3.bucket", "expected the name of a bucket", "nothing", hint=hint)


def _check_broker(config: Config) -> Iterator[ConfigError]:
    if config.broker.history == "database" and config.broker.url != ALONE:
        hint = 'Redis keeps the histories itself; write "memory", or leave it out'
        yield ConfigError("broker.history", 'expected "memory" where broker.url is a Redis', '"database"', hint=hint)


def check_workers(config: Config) -> Iterator[ConfigError]:
    """The mistakes in how many processes there are and in their ports, for ``serve --workers`` too."""
    count = config.workers.count
    if count != 1 and config.broker.url == ALONE:
        hint = 'Processes know of each other through Redis alone: "broker": {"url": "redis://localhost:6379"}'
        yield ConfigError("workers.count", "expected 1 where broker.url is memory://", str(count), hint=hint)
    yield from check_ports(config)


def _check_patterns(path: str, patterns: Sequence[str]) -> Iterator[ConfigError]:
    for index, pattern in enumerate(patterns):
        try:
            OriginPolicy([pattern])
        except ConfigError as error:
            is_perl = "perl" in error.expected or "escape" in error.expected
            hint = error.hint if is_perl else "A character that stands for itself has two backslashes before it: \\\\."
            yield ConfigError(f"{path}[{index}]", f"expected {error.expected}", describe(pattern), hint=hint)


def _check_keys(settings: TokenSettings) -> Iterator[ConfigError]:
    """Each key by itself and, if each is good, all of them together."""
    mistakes = []
    for index, key in enumerate(settings.keys):
        mistake = _key_mistake(dataclasses.replace(settings, keys=(key,)))
        if mistake is not None:
            mistakes.append((index, mistake))
    for index, mistake in mistakes:
        yield _of_key(mistake, mistake.path.replace("keys[0]", f"keys[{index}]"))
    if not mistakes:
        together = _key_mistake(settings)
        if together is not None:
            yield _of_key(together, together.path)


def _key_mistake(settings: TokenSettings) -> ConfigError | None:
    try:
        TokenService(settings, SystemClock())
    except ConfigError as error:
        return error
    return None


def _of_key(error: ConfigError, path: str) -> ConfigError:
    hint = error.hint or _KEY_HINTS.get(path.rpartition(".")[2])
    return ConfigError(path, f"expected {error.expected}", error.found or "a value", hint=hint)


def _read_pem(path: str, file: Path, mistakes: list[ConfigError]) -> str:
    """The text of a PEM file; a mistake and nothing if it cannot be read."""
    try:
        with file.open("rb") as content:
            return content.read(LARGEST_PEM_BYTES).decode("ascii")
    except (OSError, ValueError) as error:
        mistakes.append(_unreadable(path, "PEM text, or a PEM file that can be read", file, error))
        return ""


def _check_tls(settings: TlsSettings) -> Iterator[ConfigError]:
    if not settings.is_enabled:
        return
    readable = True
    for path, name in (("tls.certificate", settings.certificate), ("tls.key", settings.key)):
        try:
            with Path(name).open("rb") as content:
                content.read(1)
        except (OSError, ValueError) as error:
            readable = False
            yield _unreadable(path, "a PEM file that can be read", Path(name), error)
    if not readable:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: settings.passphrase)
    except (OSError, ValueError) as error:
        yield _unusable(settings, error)


def _unreadable(path: str, expected: str, file: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "something else"
    hint = "Check the name, which is relative to the configuration's folder, and the file's permissions"
    return ConfigError(path, f"expected {expected}", f"{reason} at {describe(str(file))}", hint=hint)


def _unusable(settings: TlsSettings, error: Exception) -> ConfigError:
    """What OpenSSL did not like. It says little, so what it says is only quoted."""
    reason = getattr(error, "reason", None) or "no more than that"
    if reason == "KEY_VALUES_MISMATCH":
        return ConfigError(
            "tls.key",
            "expected the private key of tls.certificate",
            "the key of another certificate",
            hint="Make both again, or name the right file",
        )
    return ConfigError(
        "tls",
        "expected a certificate and its private key, both PEM, and the key's passphrase if it has one",
        f"files that OpenSSL refuses ({reason})",
        hint=f"Try: openssl x509 -in {settings.certificate} -noout; openssl pkey -in {settings.key} -noout",
    )
