"""The services of buckets and files, put together."""

from __future__ import annotations

from dataclasses import dataclass

from users_server.core.clock import Clock
from users_server.core.files import FileStorage
from users_server.core.interfaces import Store
from users_server.services.buckets import BucketService
from users_server.services.content_entries import ApiUrl
from users_server.services.content_settings import FileSettings
from users_server.services.file_removal import FileRemoval
from users_server.services.file_sweeper import FileSweeper
from users_server.services.files import FileService
from users_server.services.storage_accounting import StorageAccounting
from users_server.services.uploads import UploadService
from users_server.services.user_events import UserEventPublisher


@dataclass(frozen=True, slots=True)
class ContentServices:
    """
    Everything that routes call for buckets and files.

    ``buckets`` is to be added to the account observers, ``sweeper`` to be started; at the end ``uploads`` is closed,
    when no request runs any more.
    """

    settings: FileSettings
    api_url: ApiUrl
    accounting: StorageAccounting
    buckets: BucketService
    files: FileService
    uploads: UploadService
    sweeper: FileSweeper


def build_content(
    store: Store,
    storage: FileStorage,
    events: UserEventPublisher,
    settings: FileSettings,
    clock: Clock,
    api_url: ApiUrl,
) -> ContentServices:
    """All of them on one store and one storage."""
    accounting = StorageAccounting(store, settings)
    removal = FileRemoval(store, storage, events, api_url, clock, lease_seconds=settings.lease_seconds)
    buckets = BucketService(store, accounting, removal, events, clock)
    uploads = UploadService(store, storage, removal, events, api_url, settings)
    return ContentServices(
        settings=settings,
        api_url=api_url,
        accounting=accounting,
        buckets=buckets,
        files=FileService(store, storage, accounting, removal, max_downloads=settings.max_downloads),
        uploads=uploads,
        sweeper=FileSweeper(
            store,
            removal,
            uploads,
            buckets,
            lease_seconds=settings.lease_seconds,
            sweep_seconds=settings.sweep_seconds,
        ),
    )
