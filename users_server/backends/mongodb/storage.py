"""Files in the database itself, in GridFS's own form, so that MongoDB's tools can read them too."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Concatenate, ParamSpec

from pymongo import ASCENDING

from users_server.backends.mongodb.client import Client, Database
from users_server.backends.mongodb.location import parse_mongodb_url
from users_server.errors import NotFound

P = ParamSpec("P")

CHUNK_BYTES = 255 * 1024
"""GridFS's own default."""

_FILES, _CHUNKS = "contents.files", "contents.chunks"


class GridFileStorage:
    """
    A :class:`~users_server.core.files.FileStorage` in the collections ``contents.files`` and ``contents.chunks``.

    Each chunk is one operation, so a slow client holds no cursor and no connection of the database. Its ``_id`` is made
    of the key and its number, because FerretDB 1 on SQLite reads a whole collection to find anything but an ``_id``.

    Args:
        url: As :class:`~users_server.backends.mongodb.store.MongoStore` takes it.
        max_connections: How many operations run at once.
        max_waiting: How many may wait beside them; more raise :class:`StoreUnavailable`.
    """

    def __init__(self, url: str, *, max_connections: int = 4, max_waiting: int = 1000) -> None:
        self._client = Client(parse_mongodb_url(url), max_connections=max_connections, max_waiting=max_waiting)

    async def open(self) -> None:
        await self._client.open(_prepare)

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        await self._client.run(_ping)

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        pending = bytearray()
        number = size = 0
        async for chunk in chunks:
            pending += chunk
            while len(pending) >= CHUNK_BYTES:
                await self._insert(_insert_chunk, key, number, bytes(pending[:CHUNK_BYTES]))
                del pending[:CHUNK_BYTES]
                number, size = number + 1, size + CHUNK_BYTES
        if pending:
            await self._insert(_insert_chunk, key, number, bytes(pending))
        await self._insert(_insert_file, key, size + len(pending))

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        if not await self._client.run(_has_file, key):
            raise NotFound("File not found")
        end = start + length
        while start < end:
            number, offset = divmod(start, CHUNK_BYTES)
            content = await self._client.run(_find_chunk, key, number)
            piece = content[offset : offset + end - start]
            if not piece:
                raise NotFound("File not found")
            start += len(piece)
            yield piece

    async def delete(self, key: str) -> None:
        await self._client.run(_delete_file, key)
        # from the last one down, so that an interrupted deletion can be begun again: what is left has no gaps
        for number in reversed(range(await self._count_chunks(key))):
            await self._client.run(_delete_chunk, key, number)

    async def _count_chunks(self, key: str) -> int:
        """Their numbers have no gaps, so that few have to be looked for."""
        beyond = 1
        while await self._client.run(_has_chunk, key, beyond - 1):
            beyond *= 2
        most, least = beyond - 1, beyond // 2
        while least < most:
            middle = (least + most) // 2
            if await self._client.run(_has_chunk, key, middle):
                least = middle + 1
            else:
                most = middle
        return least

    async def _insert(
        self, operation: Callable[Concatenate[Database, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Whoever gives up waits for its end: else it could happen after the deletion of what was written."""
        running = asyncio.ensure_future(self._client.run(operation, *args, **kwargs))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


async def _prepare(database: Database) -> None:
    await database[_CHUNKS].create_index(
        [("files_id", ASCENDING), ("n", ASCENDING)], name="files_id_1_n_1", unique=True
    )


async def _ping(database: Database) -> None:
    await database.command("ping")


async def _insert_chunk(database: Database, key: str, number: int, content: bytes) -> None:
    await database[_CHUNKS].insert_one({"_id": _chunk_id(key, number), "files_id": key, "n": number, "data": content})


async def _insert_file(database: Database, key: str, size: int) -> None:
    document: dict[str, Any] = {
        "_id": key,
        "filename": key,
        "length": size,
        "chunkSize": CHUNK_BYTES,
        "uploadDate": datetime.datetime.now(datetime.UTC),
    }
    await database[_FILES].insert_one(document)


async def _has_file(database: Database, key: str) -> bool:
    return await database[_FILES].find_one({"_id": key}, {"_id": 1}) is not None


async def _find_chunk(database: Database, key: str, number: int) -> bytes:
    document = await database[_CHUNKS].find_one({"_id": _chunk_id(key, number)}, {"data": 1})
    return b"" if document is None else bytes(document["data"])


async def _delete_file(database: Database, key: str) -> None:
    await database[_FILES].delete_one({"_id": key})


async def _delete_chunk(database: Database, key: str, number: int) -> None:
    await database[_CHUNKS].delete_one({"_id": _chunk_id(key, number)})


async def _has_chunk(database: Database, key: str, number: int) -> bool:
    return await database[_CHUNKS].find_one({"_id": _chunk_id(key, number)}, {"_id": 1}) is not None


def _chunk_id(key: str, number: int) -> str:
    return f"{key}:{number}"
