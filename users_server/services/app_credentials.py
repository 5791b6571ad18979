"""The keys and secrets of apps: made, told once, and compared."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from users_server.core.apps import App, AppCredentials
from users_server.services.sealing import SecretSealer

SECRET_BYTES = 32
KEY_BYTES = 10

_NO_API_KEY = "0" * 64


@dataclass(frozen=True, slots=True)
class NewCredentials:
    """What is stored, and the two secrets that are kept nowhere in the clear."""

    record: AppCredentials
    secret: str = field(repr=False)
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewApp:
    """
    An app with credentials that were just made.

    Attributes:
        webhook_key: Empty if this one did not change.
    """

    app: App
    key: str
    secret: str = field(repr=False)
    api_key: str = field(repr=False)
    webhook_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, app: App, made: NewCredentials, webhook_key: str = "") -> NewApp:
        return cls(app, made.record.key, made.secret, made.api_key, webhook_key)


def make_secret() -> str:
    """Letters, digits, ``-`` and ``_``, of 256 random bits."""
    return secrets.token_urlsafe(SECRET_BYTES)


def make_credentials(sealer: SecretSealer, now_ms: int) -> NewCredentials:
    """New ones. Raises :class:`ConfigError` if the secret cannot be sealed."""
    secret, api_key = make_secret(), make_secret()
    record = AppCredentials(secrets.token_hex(KEY_BYTES), sealer.seal(secret), _hash(api_key), now_ms)
    return NewCredentials(record, secret, api_key)


def is_api_key(app: App | None, api_key: str | None) -> bool:
    """
    Whether it is one of the app's live API keys.

    Every live key is compared, and one even where there is no app, so that the time tells nothing.
    """
    found = _hash(api_key or "").encode()
    hashes = [_NO_API_KEY] if app is None else [credentials.api_key_hash for credentials in app.credentials]
    matches = [hmac.compare_digest(found, expected.encode()) for expected in hashes]
    return app is not None and bool(api_key) and any(matches)


def _hash(api_key: str) -> str:
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()
