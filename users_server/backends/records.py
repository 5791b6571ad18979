"""Records as the databases keep them: as one piece of JSON text, or as columns of the same names in all of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from users_server.core.apps import App, AppCredentials, AppLimits
from users_server.core.audit import AuditEntry
from users_server.core.files import StoredFile
from users_server.core.messages import ClientInfo, Publication, StreamPosition


def dump_app(app: App) -> str:
    """Everything but ``version``, which a database counts in a field of its own."""
    record = asdict(app)
    del record["version"]
    return orjson.dumps(record).decode()


def load_app(text: str, version: int) -> App:
    """What :func:`dump_app` got. A field that an older release did not write has its default."""
    record: dict[str, Any] = orjson.loads(text)
    record["credentials"] = tuple(AppCredentials(**credentials) for credentials in record["credentials"])
    record["limits"] = AppLimits(**record.get("limits", {}))
    for name in ("protocols", "allowed_origins"):
        record[name] = tuple(record.get(name, ()))
    return App(**record, version=version)


def dump_publication(publication: Publication) -> str:
    """What is not a part of the stream's own keys: neither app and channel nor position."""
    by = publication.by
    record = {
        "event": publication.event,
        "data": publication.data,
        "by": None if by is None else [by.connection_id, by.username, by.user_id],
        "to_user": publication.to_user,
        "except_connection": publication.except_connection,
    }
    return orjson.dumps({name: value for name, value in record.items() if value is not None}).decode()


def load_publication(app: str, channel: str, position: StreamPosition, text: str) -> Publication:
    """What :func:`dump_publication` got, with its place."""
    record: dict[str, Any] = orjson.loads(text)
    by = record.get("by")
    return Publication(
        app,
        channel,
        record["event"],
        record.get("data"),
        by=None if by is None else ClientInfo(*by),
        position=position,
        to_user=record.get("to_user"),
        except_connection=record.get("except_connection"),
    )


def audit_fields(entry: AuditEntry) -> dict[str, Any]:
    """The columns of an entry, but for its id; names in a second form, to be looked for without case."""
    return {
        "at": entry.at,
        "action": entry.action,
        "user_id": entry.user_id,
        "username": entry.username,
        "username_key": entry.username.casefold(),
        "by_id": entry.by_id,
        "by_name": entry.by_name,
        "by_key": entry.by_name.casefold(),
        "address": entry.address,
        "user_agent": entry.user_agent,
        "details": orjson.dumps(dict(entry.details)).decode(),
    }


def file_fields(file: StoredFile) -> dict[str, Any]:
    """The columns of a file, but for its id; the name in a second form, to be looked for without case."""
    return {
        "name": file.name,
        "name_key": file.name.casefold(),
        "identifier": file.identifier,
        "user_id": file.user_id,
        "username": file.username,
        "bucket_id": file.bucket_id,
        "bucket_name": file.bucket_name,
        "created_on": file.created_on,
        "size": file.size,
        "mime_type": file.mime_type,
        "digest": file.digest,
        "is_public": file.is_public,
        "downloads": file.downloads,
        "parent_file": file.parent_file,
        "meta": orjson.dumps(file.meta).decode(),
    }
