"""
Encryption of what must be read back: the secrets of apps.

Values are Fernet tokens (AES-128 and HMAC-SHA256). The keys are derived by HKDF from the texts of
``apps.encryptionKeys`` or, without those, from the one text in ``apps.keyFile``.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from users_server.errors import ConfigError
from users_server.services.settings import AppSettings

log = structlog.stdlib.get_logger(__name__)

MIN_KEY_BYTES = 32
MAX_KEY_FILE_BYTES = 4096

_PURPOSE = b"users-server apps: secrets"
_KEYS = "apps.encryptionKeys"
_KEY_FILE = "apps.keyFile"


class SecretSealer:
    """
    Seals with the first key and opens with all.

    The key file is read, and made if there is none, when a key is needed first; never with ``encryption_keys``. Only
    sealing makes it, so that a file that was lost is noticed.

    Raises:
        ConfigError: If a key is too short to be one.
    """

    def __init__(self, settings: AppSettings) -> None:
        self._key_file = Path(settings.key_file)
        self._fernet: MultiFernet | None = None
        if settings.encryption_keys:
            self._fernet = MultiFernet(
                [_fernet(key, f"{_KEYS}[{index}]") for index, key in enumerate(settings.encryption_keys)]
            )

    def seal(self, secret: str) -> str:
        """``secret`` encrypted, as text. Raises :class:`ConfigError` if the key file can neither be read nor made."""
        if self._fernet is None:
            _make(self._key_file)
        return self._keys().encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """
        What :meth:`seal` got.

        Raises:
            ConfigError: If no key opens it. The message names the setting and holds no part of the secret.
        """
        try:
            return self._keys().decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise ConfigError(
                _KEYS,
                "the key that the secrets of the apps in this database were sealed with is missing",
                hint="All nodes need the same keys. Add the former key behind the present one, or rotate the app twice",
            ) from error

    def _keys(self) -> MultiFernet:
        if self._fernet is None:
            self._fernet = MultiFernet([_fernet(_read(self._key_file), _KEY_FILE)])
        return self._fernet


def _fernet(key: str, path: str) -> Fernet:
    if len(key.encode()) < MIN_KEY_BYTES:
        raise ConfigError(
            path,
            f"expected at least {MIN_KEY_BYTES} bytes",
            f"{len(key.encode())}",
            hint='Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_FILE_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            _KEY_FILE,
            "expected the file with the key that the secrets of the apps were sealed with",
            f"{path} ({why})",
            hint=f"Restore it from a backup, or set {_KEYS}",
        ) from error


def _make(path: Path) -> None:
    """
    Make the file if it is not there, readable by its owner only. It appears whole, and one process makes it.

    It is on disk before anything is sealed with it: what is sealed may be too.
    """
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_urlsafe(MIN_KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return  # another process was first; its key counts
        finally:
            temporary.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise ConfigError(
            _KEY_FILE,
            "expected a file that can be made",
            f"{path} ({error.strerror})",
            hint=f"Let the server write to its directory, or set {_KEYS}",
        ) from error
    log.warning("made the key that the secrets of apps are sealed with; keep a copy of this file", file=str(path))


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
