"""Files that are there: lists, names, who may see them, downloads and removal."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterable

import structlog

from users_server.core.accounts import Page
from users_server.core.files import FileStorage, StoredFile
from users_server.core.interfaces import Store
from users_server.core.messages import Identity
from users_server.errors import InvalidValue, NotFound, Overloaded, PermissionDenied
from users_server.services import permissions
from users_server.services.file_names import MAX_NAME_LENGTH, clean_name
from users_server.services.file_removal import FileRemoval
from users_server.services.storage_accounting import StorageAccounting, find_owned

log = structlog.stdlib.get_logger(__name__)

NO_FILE = "File not found"
NO_NAME = "Please specify the new name of the file"


class FileService:
    """
    What can be done with saved files. ``by`` is who asks; every method checks first whether he may.

    Somebody else's file is as one that is unknown, but for downloads.
    """

    def __init__(
        self,
        store: Store,
        storage: FileStorage,
        accounting: StorageAccounting,
        removal: FileRemoval,
        *,
        max_downloads: int,
    ) -> None:
        self._store = store
        self._storage = storage
        self._accounting = accounting
        self._removal = removal
        self._max_downloads = max_downloads
        self._downloads = 0

    @property
    def under_way(self) -> int:
        """How many files are being read."""
        return self._downloads

    async def list(
        self, by: Identity, name: str, bucket_name: str, *, search: str = "", index: int = 0, limit: int = 20
    ) -> Page[StoredFile]:
        """
        The files of a bucket whose name contains ``search``, oldest first; for the user himself and admins.

        Raises:
            Unauthenticated, PermissionDenied, InvalidValue: As the owner rule has it.
            NotFound: If an admin asks for an account that is unknown, or the account has no such bucket.
        """
        user = await find_owned(self._store, by, name, unknown=f"Could not find a user with the name '{name}'")
        bucket = await self._store.find_bucket(user.id, bucket_name)
        if bucket is None:
            raise NotFound(f"Error: Could not find the bucket '{bucket_name}'")
        return await self._store.list_files(bucket.id, search=search, index=index, limit=limit)

    async def rename(self, by: Identity, identifier: str, name: str) -> StoredFile:
        """
        Give one's own file another name; counts one call.

        Raises:
            Unauthenticated: For an anonymous client.
            InvalidValue: If the name is empty or too long.
            NotFound: If there is no such file of his.
            LimitExceeded: If he has no call left.
        """
        permissions.require_login(by)
        if not name.strip():
            raise InvalidValue(NO_NAME)
        if len(name) > MAX_NAME_LENGTH:
            raise InvalidValue(f"A name has at most {MAX_NAME_LENGTH} characters")
        file = await self._own(by, identifier)
        await self._accounting.count_call(file.user_id)
        return await self._changed(file, await self._store.rename_file(file.id, clean_name(name)))

    async def publish(self, by: Identity, identifier: str, *, is_public: bool) -> StoredFile:
        """Make one's own file public or private; counts one call. Raises as :meth:`rename` does."""
        permissions.require_login(by)
        file = await self._own(by, identifier)
        await self._accounting.count_call(file.user_id)
        return await self._changed(file, await self._store.publish_file(file.id, is_public=is_public))

    async def remove(self, by: Identity, identifiers: Iterable[str]) -> builtins.list[StoredFile]:
        """
        Remove those of one's own files that these name, with the files that go with them. Unknown ones are passed over.

        Each counts a call. Sends FilesRemoved once if there were any.

        Raises:
            Unauthenticated: For an anonymous client.
        """
        permissions.require_login(by)
        found = [await self._store.find_file(identifier) for identifier in dict.fromkeys(identifiers)]
        own = [file for file in found if file is not None and file.user_id == by.user_id]
        return await self._removal.remove(own)

    async def find_download(self, by: Identity, identifier: str, *, is_for_all: bool) -> StoredFile:
        """
        A file to download: a public one for everybody, a private one for its owner and admins.

        Args:
            is_for_all: Private ones too are for everybody who knows the identifier.

        Raises:
            NotFound: If there is no such file.
            Unauthenticated, PermissionDenied: If it is private and ``by`` may not have it.
        """
        file = await self._store.find_file(identifier)
        if file is None:
            raise NotFound(NO_FILE)
        if not (file.is_public or is_for_all):
            permissions.require_login(by)
            if not by.is_admin and file.user_id != by.user_id:
                raise PermissionDenied
        return file

    async def find_public(self, bucket_id: str, identifier: str) -> StoredFile:
        """A public file by its public address. Raises :class:`NotFound` if there is none, or it is private."""
        file = await self._store.find_file(identifier)
        if file is None or file.bucket_id != bucket_id or not file.is_public:
            raise NotFound(NO_FILE)
        return file

    async def count_download(self, file: StoredFile) -> None:
        """Count one download and its call. Raises :class:`LimitExceeded` if the owner has no call left."""
        await self._accounting.count_call(file.user_id)
        await self._store.count_download(file.id)

    async def read(self, file: StoredFile, start: int, length: int) -> AsyncIterator[bytes]:
        """
        The bytes, one chunk in memory at a time.

        Raises:
            NotFound: If the file was removed meanwhile.
            Overloaded: If too many are being read.
        """
        if self._downloads >= self._max_downloads:
            raise Overloaded("Too many files are being downloaded; please try again later")
        self._downloads += 1
        try:
            async for chunk in self._storage.read(file.id, start, length):
                yield chunk
        finally:
            self._downloads -= 1

    async def _own(self, by: Identity, identifier: str) -> StoredFile:
        file = await self._store.find_file(identifier)
        if file is None or file.user_id != by.user_id:
            raise NotFound(_unknown(identifier))
        return file

    async def _changed(self, file: StoredFile, changed: StoredFile | None) -> StoredFile:
        """What a change made of ``file``; its call is given back if the file was removed meanwhile."""
        if changed is None:
            await self._accounting.refund_call(file.user_id)
            raise NotFound(_unknown(file.identifier))
        return changed


def _unknown(identifier: str) -> str:
    return f"File '{identifier}' does not exist"
