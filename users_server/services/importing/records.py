"""From a record of the original to one of ours. Nothing here asks a database."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from users_server.core.accounts import Privilege, Session, User
from users_server.core.files import Bucket, StoredFile
from users_server.core.imports import SourceRecord
from users_server.core.messages import JSON
from users_server.services.buckets import is_bucket_name
from users_server.services.file_names import clean_name
from users_server.services.file_types import normal_type
from users_server.services.importing.report import Skipped
from users_server.services.one_time_keys import hash_key
from users_server.services.validation import is_email, is_username

LARGEST_NUMBER = 2**53 - 1
LEAST_SESSION_ID = 16
_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./0-9A-Za-z]{53}")
_IDENTIFIER = re.compile(r"[0-9A-Za-z_.-]{1,255}")

RESET_DROPPED = "a request for a new password was pending; it must be made again"


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """``activation_key`` is the one that was mailed, of an account that is not active."""

    user: User
    activation_key: str
    had_password_tag: bool


def read_user(record: SourceRecord) -> ImportedUser:
    """Raises :class:`Skipped` for a record that is no account."""
    values = record.values
    username, email = _text(values, "username"), _text(values, "email")
    if not is_username(username):
        raise Skipped("its username has other characters than letters and digits, or none")
    if not is_email(email):
        raise Skipped("its email is no address")
    password_hash = _text(values, "password")
    if not _BCRYPT.fullmatch(password_hash):
        raise Skipped("its password is no bcrypt hash")
    privileges = values.get("privileges")
    if privileges not in tuple(Privilege) or isinstance(privileges, bool):
        raise Skipped("its privileges are none of 1, 2 and 3")
    meta = values.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise Skipped("its meta is no object")
    key = _text(values, "registerKey")
    user = User(
        id=record.id,
        username=username,
        email=email,
        password_hash=password_hash,
        privileges=int(privileges),
        created_on=_time(values, "createdOn", default=time_of(record.id)),
        last_logged_in=_time(values, "lastLoggedIn"),
        register_key=hash_key(key) if key else "",
        meta=meta or {},
    )
    return ImportedUser(user, key, bool(_text(values, "passwordTag")))


def read_session(record: SourceRecord, user: User, *, now: int, lifetime_ms: int) -> Session:
    """Raises :class:`Skipped` for one that is over, or whose id could be guessed."""
    cookie = _text(record.values, "sessionId")
    expiration = _time(record.values, "expiration")
    if len(cookie) < LEAST_SESSION_ID:
        raise Skipped(f"its id has less than {LEAST_SESSION_ID} characters, so that others could guess it")
    if expiration <= now:
        raise Skipped("it has expired")
    return Session(
        id=secrets.token_hex(12),
        token_hash=hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest(),
        user_id=user.id,
        username=user.username,
        created_on=min(time_of(record.id), now),
        expires_at=min(expiration, now + lifetime_ms),
        lifetime_ms=lifetime_ms,
    )


@dataclass(frozen=True, slots=True)
class ImportedStats:
    """The numbers that the files do not tell."""

    calls_used: int
    calls_allocated: int
    memory_allocated: int


def read_stats(record: SourceRecord) -> ImportedStats:
    """Raises :class:`Skipped` for numbers that are none."""
    return ImportedStats(
        _count(record.values, "apiCallsUsed"),
        _count(record.values, "apiCallsAllocated"),
        _count(record.values, "memoryAllocated"),
    )


def read_bucket(record: SourceRecord, user: User) -> Bucket:
    """Raises :class:`Skipped` for a name or an identifier that no client could use."""
    name, identifier = _text(record.values, "name"), _text(record.values, "identifier")
    if not is_bucket_name(name):
        raise Skipped("its name has unsafe characters, or none")
    if not _IDENTIFIER.fullmatch(identifier):
        raise Skipped("its identifier is missing, or has unsafe characters")
    return Bucket(
        id=record.id,
        name=name,
        identifier=identifier,
        user_id=user.id,
        username=user.username,
        created_on=_time(record.values, "created", default=time_of(record.id)),
        meta=record.values.get("meta"),
    )


def read_file(record: SourceRecord, user: User, bucket: Bucket) -> StoredFile:
    """Without its digest. Raises :class:`Skipped` for an identifier that no client could use, or without a size."""
    values = record.values
    identifier = _text(values, "identifier")
    if not _IDENTIFIER.fullmatch(identifier):
        raise Skipped("its identifier is missing, or has unsafe characters")
    return StoredFile(
        id=record.id,
        name=clean_name(_text(values, "name")),
        identifier=identifier,
        user_id=user.id,
        username=user.username,
        bucket_id=bucket.id,
        bucket_name=bucket.name,
        created_on=_time(values, "created", default=time_of(record.id)),
        size=_count(values, "size"),
        mime_type=normal_type(_text(values, "mimeType")),
        is_public=values.get("isPublic") is True,
        downloads=_time(values, "numDownloads"),
        parent_file=_text(values, "parentFile"),
        meta=values.get("meta"),
    )


def name_of(values: Mapping[str, JSON]) -> str:
    """What people call a record, for the report; never a secret."""
    return next((text for key in ("username", "user", "name", "identifier") if (text := _text(values, key))), "")[:254]


_KEYS = {
    "users": ("username", "email"),
    "storageAPI": ("user",),
    "buckets": ("user", "identifier"),
    "files": ("identifier", "parentFile"),
    "sessions": ("sessionId",),
}


def keys_of(collection: str, record: SourceRecord) -> set[str]:
    """Two records with a key in common may be in each other's way, so that it matters which one comes first."""
    return {text.casefold() for key in _KEYS[collection] if (text := _text(record.values, key))}


def time_of(record_id: str) -> int:
    """When MongoDB made an id, in milliseconds since 1970."""
    return int(record_id[:8], 16) * 1000


def _text(values: Mapping[str, JSON], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _time(values: Mapping[str, JSON], key: str, *, default: int = 0) -> int:
    """A whole number from 0 on; what is none is ``default``."""
    value: Any = values.get(key)
    return int(value) if _is_count(value) else default


def _count(values: Mapping[str, JSON], key: str) -> int:
    value: Any = values.get(key)
    if not _is_count(value):
        raise Skipped(f"its {key} is no whole number from 0 on")
    return int(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER
