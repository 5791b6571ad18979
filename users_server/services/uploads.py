"""Uploads: from the parts of a request to saved files, or to nothing."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

import orjson
import structlog

from users_server.core.files import Bucket, FileStorage, Refusal, StoredFile
from users_server.core.interfaces import Store
from users_server.core.messages import JSON, Identity
from users_server.errors import (
    BackendError,
    InvalidValue,
    LimitExceeded,
    NotFound,
    Overloaded,
    PayloadTooLarge,
)
from users_server.services import permissions
from users_server.services.content_entries import ApiUrl, file_entry, public_url
from users_server.services.content_settings import FileSettings
from users_server.services.file_names import clean_name
from users_server.services.file_removal import FileRemoval
from users_server.services.file_types import TypeCheck, normal_type
from users_server.services.storage_accounting import NO_CALLS_LEFT, NO_MEMORY_LEFT
from users_server.services.user_events import UserEventPublisher

log = structlog.stdlib.get_logger(__name__)

META_FIELD = "meta"
REFUSALS = {
    Refusal.MEMORY: NO_MEMORY_LEFT,
    Refusal.CALLS: NO_CALLS_LEFT,
    Refusal.GONE: "The file could not be saved, because its bucket is gone",
}


class Part(Protocol):
    """One part of an upload. Its chunks must be taken before the next part is asked for; what is not taken is lost."""

    @property
    def name(self) -> str:
        """Of the form's field."""

    @property
    def filename(self) -> str | None:
        """:obj:`None` for a field that is no file."""

    @property
    def content_type(self) -> str | None:
        """As the client says."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The content. Raises :class:`MalformedFrame` if it cannot be read to its end."""


@dataclass
class UploadToken:
    """What became of one file of an upload. ``file`` is its identifier, if it was saved."""

    field: str
    filename: str
    file: str = ""
    error_message: str = ""
    url: str = ""


class UploadService:
    """
    Saves what clients send. An upload is recorded before its first byte is written, so that none is ever lost.

    :meth:`close` waits for the uploads that were cut off to be cleaned up.
    """

    def __init__(
        self,
        store: Store,
        storage: FileStorage,
        removal: FileRemoval,
        events: UserEventPublisher,
        api_url: ApiUrl,
        settings: FileSettings,
    ) -> None:
        self._store = store
        self._storage = storage
        self._removal = removal
        self._events = events
        self._api_url = api_url
        self._settings = settings
        self._staged: set[str] = set()
        self._cleanups: set[asyncio.Task[None]] = set()
        self._uploads = 0

    async def upload(
        self, by: Identity, bucket_name: str, parent_file: str, parts: AsyncIterator[Part]
    ) -> list[UploadToken]:
        """
        Save the files among ``parts`` in one's own bucket: a token for each, in order, with what became of it.

        Files are saved when the last part has come, each with the meta of the field ``meta``; each counts one call and
        its size. FilesUploaded is sent once if any was saved. If this raises or is cancelled, none is saved.

        Raises:
            Unauthenticated: For an anonymous client.
            NotFound: If he has no such bucket or parent file.
            LimitExceeded: If he has no call left.
            InvalidValue: If the meta is not JSON.
            PayloadTooLarge: If there are too many fields or files, or the fields are too large.
            Overloaded: If too many uploads are under way.
            MalformedFrame: Of ``parts``, if the request cannot be read.
        """
        bucket = await self._find_place(by, bucket_name, parent_file)
        if self._uploads >= self._settings.max_uploads:
            raise Overloaded("Too many files are being uploaded; please try again later")
        self._uploads += 1
        request = _Request(self._settings)
        try:
            async for part in parts:
                if part.filename is None:
                    await request.take_field(part)
                elif part.filename or part.content_type is not None:
                    await self._stage(request, bucket, parent_file, part)
            return await self._save(request, bucket)
        finally:
            self._uploads -= 1
            self._clean_up([file for _, file in request.staged])

    @property
    def under_way(self) -> int:
        """How many files are being written, or cleaned up."""
        return len(self._staged) + len(self._cleanups)

    async def renew(self) -> None:
        """Tell that this node's uploads are alive. Called well before their lease is over."""
        if self._staged:
            await self._store.extend_uploads(sorted(self._staged), expires_at=self._removal.lease())

    async def close(self) -> None:
        """Return when what was cut off is cleaned up."""
        while self._cleanups:
            await asyncio.wait(self._cleanups)

    async def _find_place(self, by: Identity, bucket_name: str, parent_file: str) -> Bucket:
        permissions.require_login(by)
        bucket = await self._store.find_bucket(by.user_id or "", bucket_name)
        if bucket is None:
            raise NotFound(f"No bucket exists with the name '{bucket_name}'")
        if parent_file:
            parent = await self._store.find_file(parent_file)
            if parent is None or parent.user_id != by.user_id:
                raise NotFound(f"File '{parent_file}' does not exist")
        stats = await self._store.get_stats(bucket.user_id)
        if stats is not None and stats.calls_used >= stats.calls_allocated:
            raise LimitExceeded(NO_CALLS_LEFT)
        return bucket

    async def _stage(self, request: _Request, bucket: Bucket, parent_file: str, part: Part) -> None:
        """Write one file, which nobody sees yet. What is wrong with it stands in its token."""
        token = request.begin_file(part)
        mime_type = normal_type(part.content_type)
        if mime_type not in self._settings.allowed_types:
            token.error_message = f"Files of the type {mime_type} are not allowed"
            return
        file = StoredFile(
            id=secrets.token_hex(12),
            name=token.filename,
            identifier=secrets.token_hex(16),
            user_id=bucket.user_id,
            username=bucket.username,
            bucket_id=bucket.id,
            bucket_name=bucket.name,
            created_on=request.time(self._removal.now()),
            mime_type=mime_type,
            parent_file=parent_file,
        )
        stats = await self._store.get_stats(bucket.user_id)
        room = stats.memory_allocated - stats.memory_used if stats is not None else 0
        content = _Content(part, mime_type, room)
        self._staged.add(file.id)
        request.staged.append((token, file))
        await self._store.begin_upload(file, expires_at=self._removal.lease())
        try:
            await self._storage.write(file.id, content.chunks())
        except _FileRefused as error:
            token.error_message = error.message
            request.staged.pop()
            self._clean_up([file])
            return
        request.staged[-1] = (token, replace(file, size=content.size, digest=content.digest))

    async def _save(self, request: _Request, bucket: Bucket) -> list[UploadToken]:
        saved: list[StoredFile] = []
        api_url = self._api_url()
        for token, staged in list(request.staged):
            file = replace(staged, meta=request.meta)
            try:
                refusal = await self._store.commit_upload(file)
            except BackendError as error:
                token.error_message = error.message
                continue
            if refusal is not None:
                token.error_message = REFUSALS[refusal]
                continue
            request.staged.remove((token, staged))
            self._staged.discard(file.id)
            token.file, token.url = file.identifier, public_url(api_url, file)
            saved.append(file)
        if saved:
            await self._events.files_uploaded(bucket.username, [file_entry(api_url, file) for file in saved])
            log.info("files uploaded", username=bucket.username, bucket=bucket.name, count=len(saved))
        return request.tokens

    def _clean_up(self, files: list[StoredFile]) -> None:
        """Discard what was staged, behind the caller's back: he may be cancelled already."""
        if not files:
            return
        task = asyncio.ensure_future(self._discard(files))
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)

    async def _discard(self, files: list[StoredFile]) -> None:
        for file in files:
            self._staged.discard(file.id)
            try:
                if await self._store.abandon_upload(file.id, expires_at=self._removal.lease()):
                    await self._removal.erase(file)
            except BackendError as error:
                log.warning("a part of an upload remains for the sweeper", file=file.id, reason=error.reason)


class _FileRefused(Exception):
    """One file is refused; the others of the request are not."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Request:
    """What has come of one upload so far."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self._fields = 0
        self._field_bytes = 0
        self._time = 0
        self.meta: JSON = None
        self.tokens: list[UploadToken] = []
        self.staged: list[tuple[UploadToken, StoredFile]] = []

    def time(self, now: int) -> int:
        """For the next file: later than that of the one before, so that lists have the order of the request."""
        self._time = max(now, self._time + 1)
        return self._time

    def begin_file(self, part: Part) -> UploadToken:
        if len(self.tokens) >= self._settings.max_files:
            raise PayloadTooLarge(f"At most {self._settings.max_files} files are allowed in a request")
        token = UploadToken(part.name, clean_name(part.filename or ""))
        self.tokens.append(token)
        return token

    async def take_field(self, part: Part) -> None:
        """Remember the meta; other fields are counted and forgotten."""
        self._fields += 1
        if self._fields > self._settings.max_fields:
            raise PayloadTooLarge(f"At most {self._settings.max_fields} fields are allowed in a request")
        text = bytearray()
        async for chunk in part.chunks():
            self._field_bytes += len(chunk)
            if self._field_bytes > self._settings.max_field_bytes:
                raise PayloadTooLarge(f"The fields are larger than {self._settings.max_field_bytes} bytes")
            if part.name == META_FIELD:
                text += chunk
        if part.name == META_FIELD and text.strip():
            try:
                self.meta = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise InvalidValue("The field meta is not valid JSON") from None


class _Content:
    """The bytes of one file, checked, measured and hashed on their way."""

    def __init__(self, part: Part, mime_type: str, room: int) -> None:
        self._part = part
        self._check = TypeCheck(mime_type)
        self._room = room
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises :class:`_FileRefused` for content that this file may not have."""
        async for chunk in self._part.chunks():
            self.size += len(chunk)
            if self.size > self._room:
                raise _FileRefused(NO_MEMORY_LEFT)
            try:
                self._check.add(chunk)
            except InvalidValue as error:
                raise _FileRefused(error.message) from error
            self._hash.update(chunk)
            yield chunk
        try:
            self._check.finish()
        except InvalidValue as error:
            raise _FileRefused(error.message) from error
