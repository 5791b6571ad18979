"""The database of the original server, with the fields that it gave its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pymongo
from bson import ObjectId

from users_server.app.imports import ImportOptions, open_webinate_import
from users_server.config import Config
from users_server.services.importing import ImportReport

PASSWORD = "the password that it always was"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode()
CREATED = 1_500_000_000_000
FAR_AWAY = 4_000_000_000_000
COLLECTIONS = ("users", "sessions", "buckets", "files", "storageAPI")


class Original:
    """Makes records; every method returns what it has put there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=5000)
        self.database = self._client.get_default_database()

    def close(self) -> None:
        self._client.close()

    def add(self, collection: str, **record: Any) -> dict[str, Any]:
        record.setdefault("_id", ObjectId())
        self.database[collection].insert_one(record)
        return record

    def user(self, name: str, **fields: Any) -> dict[str, Any]:
        return self.add("users", **make_user(name, **fields))

    def session(self, session_id: str, **fields: Any) -> dict[str, Any]:
        return self.add("sessions", **{"sessionId": session_id, "data": {}, "expiration": FAR_AWAY, **fields})

    def stats(self, user: str, **fields: Any) -> dict[str, Any]:
        values = {"memoryUsed": 7, "memoryAllocated": 1000, "apiCallsUsed": 12, "apiCallsAllocated": 345}
        return self.add("storageAPI", **{"user": user, **values, **fields})

    def bucket(self, user: str, name: str, **fields: Any) -> dict[str, Any]:
        values = {"identifier": f"webinate-bucket-{name}", "created": CREATED, "memoryUsed": 7, "meta": None}
        return self.add("buckets", **{"user": user, "name": name, **values, **fields})

    def file(self, bucket: dict[str, Any], identifier: str, content: bytes, **fields: Any) -> dict[str, Any]:
        values = {
            "user": bucket["user"],
            "identifier": identifier,
            "name": f"{identifier}.txt",
            "bucketId": bucket["identifier"],
            "bucketName": bucket["name"],
            "publicURL": f"https://storage.example/{bucket['identifier']}/{identifier}",
            "created": CREATED,
            "size": len(content),
            "mimeType": "text/plain",
            "isPublic": True,
            "numDownloads": 3,
            "parentFile": None,
            "meta": {"a": 1},
        }
        return self.add("files", **{**values, **fields})

    def dump(self) -> dict[str, Any]:
        """All that is there: records, indexes and collections."""
        return {
            name: (
                list(self.database[name].find().sort("_id", pymongo.ASCENDING)),
                sorted(self.database[name].index_information()),
            )
            for name in sorted(self.database.list_collection_names())
        }


def make_user(name: str, **fields: Any) -> dict[str, Any]:
    values = {
        "_id": ObjectId(),
        "username": name,
        "email": f"{name}@example.com",
        "password": HASH,
        "registerKey": "",
        "sessionId": "",
        "createdOn": float(CREATED),
        "lastLoggedIn": CREATED + 1,
        "privileges": 3,
        "passwordTag": "",
        "meta": {},
    }
    return {**values, **fields}


def put_content(folder: Path, file: dict[str, Any], content: bytes) -> None:
    """Where a copy of the original's storage has it."""
    path = folder / file["bucketId"] / file["identifier"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def run_import(
    config: Config,
    source: Original,
    *,
    is_applied: bool = True,
    files: Path | None = None,
    with_sessions: bool = True,
    from_start: bool = False,
    lines: list[Any] | None = None,
) -> ImportReport:
    """Import, and return the report; ``lines`` gets its details."""
    write = (lambda _line: None) if lines is None else lines.append
    options = ImportOptions(is_applied, files, with_sessions, from_start, write)
    async with open_webinate_import(config, source.url, options) as opened:
        await opened.importer.run()
        return opened.report
