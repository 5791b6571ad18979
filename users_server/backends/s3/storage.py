"""A bucket as a storage of files."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

from users_server.backends.s3 import operations
from users_server.backends.s3.client import Client
from users_server.backends.s3.errors import explain, is_missing
from users_server.errors import NotFound, StoreUnavailable
from users_server.services.content_settings import S3Settings

CHUNK_BYTES = 262_144


class S3FileStorage:
    """
    A :class:`~users_server.core.files.FileStorage` in a bucket.

    A file that is larger than one part is uploaded in parts, of which one is in memory at a time; it cannot be read
    until the last is there. It is read with a request for each chunk, so a slow client holds no connection, and a
    server that restarts meanwhile is not noticed.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client = Client(settings)

    async def open(self) -> None:
        if self._client.is_open:
            return
        settings = self._settings
        try:
            await self._client.open()
            await self._client.change(operations.try_out, settings.bucket, settings.prefix)
        except StoreUnavailable as error:
            await self.close()
            raise explain(error.__cause__, settings) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        await self._client.read(operations.ping, self._settings.bucket)

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        upload = _Upload(self._client, self._settings.bucket, self._name(key))
        pending, room = io.BytesIO(), self._settings.part_bytes
        async for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                taken = pending.write(rest[:room])
                rest, room = rest[taken:], room - taken
                if not room:
                    await upload.add(pending)
                    pending, room = io.BytesIO(), self._settings.part_bytes
        await upload.finish(pending)

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        place = self._settings.bucket, self._name(key)
        end = start + length
        try:
            if start == end:
                await self._client.read(operations.find, *place)
            while start < end:
                stop = min(start + CHUNK_BYTES, end)
                chunk = await self._client.read(operations.read_range, *place, start, stop, self._settings.attempts)
                if len(chunk) < stop - start:
                    raise NotFound("File not found")
                start = stop
                yield chunk
        except StoreUnavailable as error:
            if is_missing(error.__cause__):
                raise NotFound("File not found") from error
            raise

    async def delete(self, key: str) -> None:
        await self._client.change(operations.delete, self._settings.bucket, self._name(key))

    def _name(self, key: str) -> str:
        return self._settings.prefix + key


class _Upload:
    """One object that is being written. What remains of it if that fails is for the deletion to find."""

    def __init__(self, client: Client, bucket: str, name: str) -> None:
        self._client = client
        self._place = bucket, name
        self._id = ""
        self._may_have_twin = False
        self._etags: list[str] = []
        self._size = 0

    async def add(self, part: io.BytesIO) -> None:
        """A whole part."""
        if not self._id:
            self._id, self._may_have_twin = await self._client.change(operations.begin_upload, *self._place)
        number = len(self._etags) + 1
        self._size += part.getbuffer().nbytes
        self._etags.append(await self._client.change(operations.upload_part, *self._place, self._id, number, part))

    async def finish(self, rest: io.BytesIO) -> None:
        """What is left of the content, which may be all of it or nothing; then the object is there."""
        if not self._id:
            await self._client.change(operations.put, *self._place, rest)
            return
        if rest.getbuffer().nbytes:
            await self.add(rest)
        await self._client.change(operations.finish_upload, *self._place, self._id, tuple(self._etags), self._size)
        if self._may_have_twin:
            await self._client.change(operations.abort_uploads, *self._place)
