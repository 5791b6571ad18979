"""What finishes uploads and removals that a dead node has left, and says that this node is alive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from users_server.core.content_stores import ContentStore
from users_server.errors import BackendError
from users_server.services.buckets import BucketService
from users_server.services.file_removal import BATCH, FileRemoval
from users_server.services.uploads import UploadService

log = structlog.stdlib.get_logger(__name__)

RENEWALS_PER_LEASE = 3


class FileSweeper:
    """
    Two tasks: one renews the leases of this node's uploads, the other sweeps, at the start and from time to time.

    Any number of nodes may sweep at once. A backend that is away is logged once for each outage.
    """

    def __init__(
        self,
        store: ContentStore,
        removal: FileRemoval,
        uploads: UploadService,
        buckets: BucketService,
        *,
        lease_seconds: float,
        sweep_seconds: float,
    ) -> None:
        self._store = store
        self._removal = removal
        self._uploads = uploads
        self._buckets = buckets
        self._renew_seconds = lease_seconds / RENEWALS_PER_LEASE
        self._sweep_seconds = sweep_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin. What earlier accounts have left is looked for once, at the start."""
        self._tasks = [
            asyncio.create_task(self._repeat(self._uploads.renew, self._renew_seconds)),
            asyncio.create_task(self._repeat(self.sweep, self._sweep_seconds, first=self.sweep_accounts)),
        ]

    async def stop(self) -> None:
        """End both tasks; what they have half done is finished by the next sweep. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def sweep(self) -> int:
        """Finish all that was left off; how much that was. Raises :class:`BackendError`."""
        count = 0
        while files := await self._store.take_unfinished_files(
            now=self._removal.now(), expires_at=self._removal.lease(), limit=BATCH
        ):
            for file in files:
                await self._removal.finish(file)
            count += len(files)
        while buckets := await self._store.take_removed_buckets(
            now=self._removal.now(), expires_at=self._removal.lease(), limit=BATCH
        ):
            for bucket in buckets:
                await self._removal.finish_bucket(bucket)
            count += len(buckets)
        if count:
            log.info("left-off uploads and removals finished", count=count)
        return count

    async def sweep_accounts(self) -> None:
        """Remove the buckets of accounts that are gone. Raises :class:`BackendError`."""
        while user_ids := await self._store.find_ownerless(limit=BATCH):
            for user_id in user_ids:
                await self._buckets.clear(user_id)

    async def _repeat(
        self,
        work: Callable[[], Awaitable[object]],
        seconds: float,
        *,
        first: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        is_away = False
        while True:
            try:
                if first is not None:
                    await first()
                    first = None
                await work()
                is_away = False
            except BackendError as error:
                if not is_away:
                    log.warning("files cannot be swept", reason=error.reason, message=error.message)
                is_away = True
            except Exception:
                log.exception("unexpected error in the sweeper of files")
            await asyncio.sleep(seconds)
