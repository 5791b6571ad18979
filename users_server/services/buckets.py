"""Buckets: what their owners do with them, and what comes and goes with an account."""

from __future__ import annotations

import builtins
import re
import secrets
from collections.abc import Iterable

import structlog

from users_server.core.accounts import Page, User
from users_server.core.clock import Clock
from users_server.core.files import Bucket
from users_server.core.interfaces import Store
from users_server.core.messages import Identity
from users_server.errors import Conflict, InvalidValue, PermissionDenied
from users_server.services import permissions
from users_server.services.content_entries import bucket_entry
from users_server.services.file_removal import FileRemoval
from users_server.services.storage_accounting import StorageAccounting, find_owned
from users_server.services.user_events import UserEventPublisher

log = structlog.stdlib.get_logger(__name__)

UNSAFE_NAME = "Please only use safe characters"
MAX_NAME_LENGTH = 262
"""So that the longest username has a bucket with ``-bucket`` behind it."""

MAX_PAGE = 1000
_SAFE_NAME = re.compile(r"[0-9A-Za-z _-]+")


class BucketService:
    """
    What can be done with buckets. ``by`` is who asks; every method checks first whether he may.

    It is an :class:`~users_server.services.account_observers.AccountObserver` too.
    """

    def __init__(
        self,
        store: Store,
        accounting: StorageAccounting,
        removal: FileRemoval,
        events: UserEventPublisher,
        clock: Clock,
    ) -> None:
        self._store = store
        self._accounting = accounting
        self._removal = removal
        self._events = events
        self._clock = clock

    async def list(
        self, by: Identity, name: str, *, search: str = "", index: int = 0, limit: int = MAX_PAGE
    ) -> Page[Bucket]:
        """
        The buckets of an account whose name contains ``search``, oldest first; for himself and admins.

        Raises:
            Unauthenticated, PermissionDenied, InvalidValue: As the owner rule has it.
            NotFound: If an admin asks for an account that is unknown.
        """
        user = await find_owned(self._store, by, name, unknown=_unknown_user(name))
        return await self._store.list_buckets(user.id, search=search, index=index, limit=min(limit, MAX_PAGE))

    async def create(self, by: Identity, name: str, bucket_name: str) -> Bucket:
        """
        A new bucket; for the user himself and admins. Counts one call, sends BucketUploaded.

        Raises:
            Unauthenticated, PermissionDenied, NotFound: As :meth:`list` does.
            InvalidValue: If the name has unsafe characters, or nobody can have that username.
            Conflict: If he has one of that name.
            LimitExceeded: If he has no call left.
        """
        user = await find_owned(self._store, by, name, unknown=_unknown_user(name))
        if not permissions.can_manage(by, user):
            raise PermissionDenied
        if not is_bucket_name(bucket_name):
            raise InvalidValue(UNSAFE_NAME)
        if await self._store.find_bucket(user.id, bucket_name) is not None:
            raise Conflict(_taken(bucket_name))
        return await self._create(user, bucket_name)

    async def remove(self, by: Identity, names: Iterable[str]) -> builtins.list[Bucket]:
        """
        Remove those of one's own buckets that have these names, with their files. Unknown names are passed over.

        Each bucket and each file counts a call. Sends FilesRemoved for each bucket that had files, and BucketRemoved
        for each.

        Raises:
            Unauthenticated: For an anonymous client.
        """
        permissions.require_login(by)
        removed = []
        for name in dict.fromkeys(names):
            bucket = await self._store.find_bucket(by.user_id or "", name)
            if bucket is not None and await self._remove(bucket):
                removed.append(bucket)
        return removed

    async def created(self, user: User) -> None:
        """Give a new account its stats and its bucket."""
        await self._accounting.ensure(user)
        name = f"{user.username}-bucket"
        if await self._store.find_bucket(user.id, name) is None:
            await self._create(user, name)

    async def removed(self, user: User) -> None:
        """Remove all buckets of an account that is gone, and its stats."""
        await self.clear(user.id)

    async def clear(self, user_id: str) -> None:
        """Remove all buckets of an account, with their files and events, and its stats."""
        while buckets := (await self._store.list_buckets(user_id, limit=MAX_PAGE)).items:
            for bucket in buckets:
                await self._remove(bucket)
        await self._store.delete_stats(user_id)

    async def _create(self, user: User, name: str) -> Bucket:
        bucket = Bucket(
            id=secrets.token_hex(12),
            name=name,
            identifier=secrets.token_hex(16),
            user_id=user.id,
            username=user.username,
            created_on=self._clock.now_ms(),
        )
        await self._accounting.count_call(user.id)
        try:
            await self._store.create_bucket(bucket)
        except BaseException as error:
            await self._accounting.refund_call(user.id)
            if isinstance(error, Conflict):
                raise Conflict(_taken(name)) from error
            raise
        await self._events.bucket_uploaded(user.username, bucket_entry(bucket))
        log.info("bucket created", bucket=name, username=user.username)
        return bucket

    async def _remove(self, bucket: Bucket) -> bool:
        if await self._store.remove_bucket(bucket.id, expires_at=self._removal.lease()) is None:
            return False
        await self._store.add_calls(bucket.user_id, 1)
        await self._removal.finish_bucket(bucket)
        return True


def is_bucket_name(text: str) -> bool:
    """Whether a bucket may be called so."""
    return len(text) <= MAX_NAME_LENGTH and _SAFE_NAME.fullmatch(text) is not None


def _unknown_user(name: str) -> str:
    return f"Could not find a user with the name '{name}'"


def _taken(name: str) -> str:
    return f"Error: A Bucket with the name '{name}' has already been registered"
