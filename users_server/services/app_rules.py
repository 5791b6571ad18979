"""What an app must look like, and the messages for one that does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from users_server.core.apps import App, AppLimits
from users_server.core.messages import Identity
from users_server.errors import InvalidValue, PermissionDenied
from users_server.services.origins import InvalidPattern, OriginPolicy

UNKNOWN_APP = "The app does not exist"
ID_TAKEN = "An app with that id already exists"
NOT_APP = "The app or its API key is not right"
CANNOT_CREATE = "You don't have permission to create an app"
ADMINS_ONLY = "Only admins choose the id, the limits and the owner of an app, and turn it on and off"

MAX_NAME_LENGTH = 100
MAX_ENDPOINT_LENGTH = 2000
MAX_PROTOCOLS = 20
MAX_ORIGINS = 50
MAX_ORIGIN_LENGTH = 500
MIN_WEBHOOK_KEY_LENGTH = 16
MAX_WEBHOOK_KEY_LENGTH = 200

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_PROTOCOL = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class AppDraft:
    """What a creator or an owner may say about an app; :obj:`None` for what he leaves as it is."""

    name: str | None = None
    webhook_endpoint: str | None = None
    webhook_key: str | None = None
    protocols: Sequence[str] | None = None
    allowed_origins: Sequence[str] | None = None
    limits: AppLimits | None = None
    is_enabled: bool | None = None
    debug_signatures: bool | None = None

    @property
    def is_for_admins(self) -> bool:
        """Whether it says something that only admins may say."""
        return self.limits is not None or self.is_enabled is not None

    def applied_to(self, app: App, sealed_webhook_key: str | None) -> App:
        """``app`` with everything that is said here."""
        changes = {
            "name": self.name,
            "webhook_endpoint": self.webhook_endpoint,
            "sealed_webhook_key": sealed_webhook_key,
            "protocols": None if self.protocols is None else tuple(self.protocols),
            "allowed_origins": None if self.allowed_origins is None else tuple(self.allowed_origins),
            "limits": self.limits,
            "is_enabled": self.is_enabled,
            "debug_signatures": self.debug_signatures,
        }
        return replace(app, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]


def is_app_id(text: str) -> bool:
    """Whether there can be an app with this id; for everything that a client sends, before it is looked up."""
    return _ID.fullmatch(text) is not None


def owns(by: Identity, app: App) -> bool:
    """The owner rule: his own, or an admin."""
    return by.is_admin or (by.user_id is not None and by.user_id == app.owner_id)


def check_draft(by: Identity, draft: AppDraft) -> None:
    """
    Return if ``by`` may say this, and it makes sense.

    Raises:
        PermissionDenied: If he says what only admins may.
        InvalidValue: For the first rule that is broken.
    """
    if draft.is_for_admins and not by.is_admin:
        raise PermissionDenied(ADMINS_ONLY)
    if draft.name is not None:
        _check_name(draft.name)
    if draft.webhook_endpoint:
        _check_endpoint(draft.webhook_endpoint)
    if draft.webhook_key is not None:
        _check_webhook_key(draft.webhook_key)
    if draft.protocols is not None:
        _check_protocols(draft.protocols)
    if draft.allowed_origins is not None:
        _check_origins(draft.allowed_origins)
    if draft.limits is not None:
        _check_limits(draft.limits)


def check_id(app_id: str) -> None:
    """Raises :class:`InvalidValue` unless an app can have this id."""
    if not is_app_id(app_id):
        raise InvalidValue(
            "The id of an app has 1 to 64 letters, digits, dots, hyphens and underscores, and no sign at its beginning"
        )


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise InvalidValue(
            f"The name of an app has 1 to {MAX_NAME_LENGTH} printable characters, without a space at its ends"
        )


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        is_url = False
    if not is_url or len(endpoint) > MAX_ENDPOINT_LENGTH or _PRINTABLE.fullmatch(endpoint) is None:
        raise InvalidValue("The web hook's endpoint must be an http or https URL without a user and password")


def _check_webhook_key(key: str) -> None:
    is_long_enough = MIN_WEBHOOK_KEY_LENGTH <= len(key) <= MAX_WEBHOOK_KEY_LENGTH
    if not is_long_enough or _PRINTABLE.fullmatch(key) is None:
        raise InvalidValue(
            f"The web hook's key has {MIN_WEBHOOK_KEY_LENGTH} to {MAX_WEBHOOK_KEY_LENGTH} ASCII characters and no space"
        )


def _check_protocols(protocols: Sequence[str]) -> None:
    if len(protocols) > MAX_PROTOCOLS or any(_PROTOCOL.fullmatch(name) is None for name in protocols):
        raise InvalidValue(f"At most {MAX_PROTOCOLS} protocols are allowed, by their names")


def _check_origins(patterns: Sequence[str]) -> None:
    if len(patterns) > MAX_ORIGINS or any(len(pattern) > MAX_ORIGIN_LENGTH for pattern in patterns):
        raise InvalidValue(f"At most {MAX_ORIGINS} origins of {MAX_ORIGIN_LENGTH} characters are allowed")
    try:
        OriginPolicy(patterns)
    except InvalidPattern as error:
        raise InvalidValue(f"Origin {error.index} is not a regular expression that RE2 can run") from None


def _check_limits(limits: AppLimits) -> None:
    if min(limits.connections, limits.channels, limits.message_bytes, limits.publishes_per_second) < 0:
        raise InvalidValue("A limit is a number from 0 on; 0 means no limit")
