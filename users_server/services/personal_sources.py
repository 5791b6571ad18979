"""What apps, buckets and files contribute to the export of a person's data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from users_server.core.accounts import Page, User
from users_server.core.apps import App
from users_server.core.content_stores import ContentStore
from users_server.core.files import Bucket
from users_server.core.interfaces import AppStore
from users_server.core.messages import JSON
from users_server.services.content_entries import ApiUrl, bucket_entry, file_entry

T = TypeVar("T")

PAGE = 100
MAX_ITEMS = 100_000
"""Of one list; who has more must read it page by page from the API."""


class OwnedApps:
    """The apps of an account, without their secrets."""

    part = "apps"

    def __init__(self, store: AppStore) -> None:
        self._store = store

    async def export(self, user: User) -> JSON:
        """See :class:`~users_server.services.personal_data.PersonalDataSource`."""
        apps = await _all(lambda index: self._store.list_apps(owner_id=user.id, index=index, limit=PAGE))
        return [_app_entry(app) for app in apps]


class OwnedBuckets:
    """The buckets of an account with a list of their files; the bytes are at the addresses in the list."""

    part = "buckets"

    def __init__(self, store: ContentStore, api_url: ApiUrl) -> None:
        self._store = store
        self._api_url = api_url

    async def export(self, user: User) -> JSON:
        """See :class:`~users_server.services.personal_data.PersonalDataSource`."""
        buckets = await _all(lambda index: self._store.list_buckets(user.id, index=index, limit=PAGE))
        return [bucket_entry(bucket) | {"files": await self._files_of(bucket)} for bucket in buckets]

    async def _files_of(self, bucket: Bucket) -> JSON:
        url = self._api_url()
        files = await _all(lambda index: self._store.list_files(bucket.id, index=index, limit=PAGE))
        return [file_entry(url, file) | {"url": f"{url}/files/{file.identifier}/download"} for file in files]


async def _all(read: Callable[[int], Awaitable[Page[T]]]) -> list[T]:
    items: list[T] = []
    while len(items) < MAX_ITEMS:
        page = await read(len(items))
        items += page.items
        if len(page.items) < PAGE:
            break
    return items


def _app_entry(app: App) -> dict[str, JSON]:
    return {
        "id": app.id,
        "name": app.name,
        "createdOn": app.created_on,
        "keys": [credentials.key for credentials in app.credentials],
        "webhookEndpoint": app.webhook_endpoint,
        "protocols": list(app.protocols),
        "allowedOrigins": list(app.allowed_origins),
        "enabled": app.is_enabled,
        "debugSignatures": app.debug_signatures,
    }
