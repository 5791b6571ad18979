"""The removal of files, whoever wants it: their owner, the removal of a bucket, or the sweeper."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from users_server.core.clock import Clock
from users_server.core.content_stores import ContentStore
from users_server.core.files import Bucket, FileStorage, StoredFile
from users_server.errors import BackendError
from users_server.services.content_entries import ApiUrl, bucket_entry, file_entry
from users_server.services.user_events import UserEventPublisher

log = structlog.stdlib.get_logger(__name__)

BATCH = 100


class FileRemoval:
    """
    Removes files with what belongs to them: records, bytes, and the files whose parent they are.

    What a crash leaves half done is finished by the sweeper: a record goes last, after the bytes and the children.
    """

    def __init__(
        self,
        store: ContentStore,
        storage: FileStorage,
        events: UserEventPublisher,
        api_url: ApiUrl,
        clock: Clock,
        *,
        lease_seconds: float,
    ) -> None:
        self._store = store
        self._storage = storage
        self._events = events
        self._api_url = api_url
        self._clock = clock
        self._lease_ms = int(lease_seconds * 1000)

    def now(self) -> int:
        """By the clock of this node."""
        return self._clock.now_ms()

    def lease(self) -> int:
        """Until when what is begun now is this node's to finish."""
        return self.now() + self._lease_ms

    async def remove(self, files: Iterable[StoredFile]) -> list[StoredFile]:
        """
        Remove ``files`` and, with each, its children. Returns what this call removed; sends FilesRemoved once.

        Each counts a call and gives its size back. What another caller removes at this moment is that one's.
        """
        removed: list[StoredFile] = []
        try:
            for file in files:
                await self._remove_tree(file, removed)
        finally:
            await self._announce(removed)
        return removed

    async def empty(self, bucket: Bucket) -> list[StoredFile]:
        """Remove all files of a bucket that takes no more. FilesRemoved is sent once if there were any."""
        removed: list[StoredFile] = []
        try:
            while page := (await self._store.list_files(bucket.id, limit=BATCH)).items:
                for file in page:
                    await self._remove_tree(file, removed)
        finally:
            await self._announce(removed)
        return removed

    async def finish_bucket(self, bucket: Bucket) -> None:
        """Empty a bucket whose removal has begun, and forget it. Sends BucketRemoved."""
        await self.empty(bucket)
        await self._store.forget_bucket(bucket.id)
        await self._events.bucket_removed(bucket.username, bucket_entry(bucket))
        log.info("bucket removed", bucket=bucket.name, username=bucket.username)

    async def erase(self, file: StoredFile) -> None:
        """
        Delete the bytes and the record of a file that is being removed.

        A backend that is away is logged; the sweeper tries again when the lease is over.
        """
        try:
            await self._storage.delete(file.id)
            await self._store.forget_file(file.id)
        except BackendError as error:
            log.warning("a removed file remains for the sweeper", file=file.id, reason=error.reason)

    async def finish(self, file: StoredFile) -> None:
        """Erase a file whose upload or removal was left off, and remove its children."""
        removed: list[StoredFile] = []
        try:
            await self._remove_children(file, removed)
        finally:
            await self._announce(removed)
        await self.erase(file)

    async def _remove_tree(self, file: StoredFile, removed: list[StoredFile]) -> None:
        mine = await self._store.remove_file(file.id, expires_at=self.lease())
        if mine is None:
            return
        removed.append(mine)
        await self._remove_children(mine, removed)
        await self.erase(mine)

    async def _remove_children(self, file: StoredFile, removed: list[StoredFile]) -> None:
        """Without recursion: a chain of files can be longer than the stack."""
        parents = [file.identifier]
        erasable: list[StoredFile] = []
        while parents:
            parent = parents[-1]
            children = await self._store.list_children(parent, limit=BATCH)
            if not children:
                parents.pop()
                continue
            for child in children:
                mine = await self._store.remove_file(child.id, expires_at=self.lease())
                if mine is not None:
                    removed.append(mine)
                    erasable.append(mine)
                    parents.append(mine.identifier)
        for child in reversed(erasable):
            await self.erase(child)

    async def _announce(self, removed: list[StoredFile]) -> None:
        if removed:
            api_url = self._api_url()
            await self._events.files_removed(removed[0].username, [file_entry(api_url, file) for file in removed])
