"""
The schema, as numbered steps.

Rules: a step that was released is never edited, a new one is added at the end. The number of a step is its place,
counted from one; a document in the collection ``schema`` holds the number of the last one that ran. Several nodes may
run a step at once, or one after another, so a step must do no harm when it is repeated.
"""

from __future__ import annotations

import contextlib

import structlog
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Database
from users_server.backends.mongodb.content_schema import index_content
from users_server.backends.mongodb.outbox_schema import index_outbox
from users_server.errors import StartupError

logger = structlog.stdlib.get_logger(__name__)

_SCHEMA_ID = "schema"


async def _index_users_and_sessions(database: Database) -> None:
    users = database["users"]
    await users.create_index("username_key", name="username_key", unique=True)
    await users.create_index("email_key", name="email_key", unique=True)
    await users.create_index([("created_on", ASCENDING), ("_id", ASCENDING)], name="by_age")
    sessions = database["sessions"]
    await sessions.create_index("token_hash", name="token_hash", unique=True)
    await sessions.create_index("user_id", name="user_id")
    await sessions.create_index([("created_on", ASCENDING), ("_id", ASCENDING)], name="by_age")
    await sessions.create_index("expires_at", name="expires_at")


async def _index_apps_and_history(database: Database) -> None:
    apps = database["apps"]
    await apps.create_index([("created_on", ASCENDING), ("_id", ASCENDING)], name="by_age")
    await apps.create_index([("owner_id", ASCENDING), ("created_on", ASCENDING), ("_id", ASCENDING)], name="by_owner")
    await database["app_keys"].create_index("app_id", name="app_id")
    await database["streams"].create_index("expires_at", name="expires_at")
    history = database["history"]
    await history.create_index([("stream", ASCENDING), ("epoch", ASCENDING), ("offset", ASCENDING)], name="by_offset")
    await history.create_index("expires_at", name="expires_at")


async def _index_attempts_and_audit(database: Database) -> None:
    await database["login_attempts"].create_index("ends_at", name="ends_at")
    entries = database["audit_entries"]
    for field in ("user_id", "by_id", "username_key"):
        await entries.create_index([(field, ASCENDING), ("_id", ASCENDING)], name=f"by_{field}")


_STEPS = (_index_users_and_sessions, _index_apps_and_history, index_content, _index_attempts_and_audit, index_outbox)

LATEST = len(_STEPS)


async def migrate(database: Database) -> None:
    """Run the steps that are missing. Raises :class:`StartupError` if the schema is newer than this server."""
    await _warn_of_lost_updates(database)
    schema = database["schema"]
    version = await _version(database)
    if version is None:
        with contextlib.suppress(DuplicateKeyError):  # another node was first
            await schema.insert_one({"_id": _SCHEMA_ID, "version": 0})
        version = await _version(database) or 0
    if version > LATEST:
        raise StartupError(
            f"The database {database.name} has schema version {version}, this server knows {LATEST}; start a newer "
            "users-server"
        )
    for number in range(version + 1, LATEST + 1):
        await _STEPS[number - 1](database)
        await schema.update_one({"_id": _SCHEMA_ID, "version": number - 1}, {"$set": {"version": number}})


async def _version(database: Database) -> int | None:
    document = await database["schema"].find_one({"_id": _SCHEMA_ID})
    return None if document is None else int(document["version"])


async def _warn_of_lost_updates(database: Database) -> None:
    build = await database.command("buildInfo")
    version = str(build.get("ferretdbVersion", ""))
    if version.startswith("v1."):
        logger.warning(
            "FerretDB 1 does not change documents atomically; let one server process use it", version=version
        )
