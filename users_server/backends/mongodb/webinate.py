"""
The database of the original server, read only. Nothing else knows how it keeps its records.

Rule: this file finds and counts, and calls nothing that could write; no index is made there either.
"""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from bson import Decimal128, Int64, ObjectId
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ASCENDING
from pymongo.errors import CursorNotFound, PyMongoError

from users_server.backends.mongodb.location import parse_mongodb_url
from users_server.core.imports import SourceRecord
from users_server.core.messages import JSON
from users_server.errors import StoreUnavailable

_OPTIONS: dict[str, Any] = {
    "appname": "users-server import",
    "connectTimeoutMS": 5000,
    "serverSelectionTimeoutMS": 5000,
    "socketTimeoutMS": 60_000,
}
_FIRST = ObjectId("0" * 24)
_LARGEST_NUMBER = 2**53
_HEX_LENGTH = 24


class WebinateSource:
    """
    An :class:`~users_server.core.imports.ImportSource` over the collections of the original server.

    Args:
        url: As :func:`~.location.parse_mongodb_url` takes it, with the name of the database.

    Raises:
        ValueError: If ``url`` is none, or names no database. The message does not hold the password.
    """

    def __init__(self, url: str) -> None:
        self._location = parse_mongodb_url(url)
        if not urlsplit(url.partition("?")[0]).path.strip("/"):
            raise ValueError("names no database; it must end with /NAME")
        self._client: AsyncIOMotorClient[dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        return f"webinate {self._location.hosts}/{self._location.database}"

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        options = {name: value for name, value in _OPTIONS.items() if name.lower() not in self._location.options}

        def make() -> AsyncIOMotorClient[dict[str, Any]]:
            return AsyncIOMotorClient(self._location.url, io_loop=loop, **options)

        try:
            self._client = await asyncio.to_thread(make)  # an SRV URL asks DNS here
            await self._database.command("ping")
        except (PyMongoError, OSError) as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def count(self, collection: str) -> int:
        try:
            return await self._database[collection].estimated_document_count()
        except PyMongoError as error:
            raise self._unavailable(error) from error

    async def read(self, collection: str, *, after: str, size: int) -> AsyncGenerator[Sequence[SourceRecord], None]:
        """One query for all lists: each may cost a look at the whole collection."""
        is_whole = False
        while not is_whole:
            query = {"_id": {"$type": "objectId", "$gt": ObjectId(after) if after else _FIRST}}
            cursor = self._database[collection].find(query).sort("_id", ASCENDING).batch_size(size)
            try:
                while documents := await cursor.to_list(length=size):
                    after = str(documents[-1]["_id"])
                    yield [to_record(document) for document in documents]
                is_whole = True
            except CursorNotFound:
                continue  # MongoDB forgets those that nobody asked for ten minutes; large files take longer
            except (PyMongoError, BSONError) as error:
                raise self._unavailable(error) from error
            finally:
                await cursor.close()

    async def read_strange(self, collection: str) -> AsyncIterator[SourceRecord]:
        try:
            async for document in self._database[collection].find({"_id": {"$not": {"$type": "objectId"}}}):
                yield SourceRecord(str(document["_id"])[:_HEX_LENGTH], {}, "its _id is no ObjectId")
        except (PyMongoError, BSONError) as error:
            raise self._unavailable(error) from error

    async def has_user(self, user_id: str, username: str) -> bool:
        if not ObjectId.is_valid(user_id):
            return False
        try:
            document = await self._database["users"].find_one({"_id": ObjectId(user_id)}, {"username": 1})
        except PyMongoError as error:
            raise self._unavailable(error) from error
        found = document.get("username") if document is not None else None
        return isinstance(found, str) and found.casefold() == username.casefold()

    async def owners_of_sessions(self, session_ids: Collection[str]) -> Mapping[str, Sequence[str]]:
        owners: dict[str, list[str]] = {}
        query = {"sessionId": {"$in": list(session_ids)}}
        try:
            async for document in self._database["users"].find(query, {"sessionId": 1}):
                owners.setdefault(document["sessionId"], []).append(str(document["_id"]))
        except PyMongoError as error:
            raise self._unavailable(error) from error
        return owners

    @property
    def _database(self) -> AsyncIOMotorDatabase[dict[str, Any]]:
        if self._client is None:
            raise StoreUnavailable("The source is not open")
        return self._client.get_database(self._location.database)

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        """The driver's own message is left out: it may quote the URL."""
        return StoreUnavailable(
            f"The source {self._location.hosts}/{self._location.database} cannot be read ({type(error).__name__}); "
            "check that it runs, its name, and the user's rights"
        )


def to_record(document: Mapping[str, Any]) -> SourceRecord:
    """A document as JSON, as the original sent it to its clients."""
    record_id = str(document["_id"])
    try:
        values = {key: to_json(value) for key, value in document.items() if key != "_id"}
    except ValueError as error:
        return SourceRecord(record_id, {}, str(error))
    return SourceRecord(record_id, values)


def to_json(value: Any) -> JSON:
    """
    What JavaScript's ``JSON.stringify`` makes of a value of MongoDB's.

    Raises:
        ValueError: For a value that it has no form for.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_json(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, (Int64, int)):
        return int(value) if abs(int(value)) <= _LARGEST_NUMBER else float(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Decimal128):
        return _number(float(value.to_decimal()))
    raise ValueError(f"it holds a value of the type {type(value).__name__}")


def _number(value: float) -> JSON:
    """Integral numbers are integers: JavaScript has one type for both."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= _LARGEST_NUMBER else value
