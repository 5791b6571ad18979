"""What accounts may use of the storage and what they use (users-http-api.md, Storage accounting)."""

from __future__ import annotations

import secrets
from typing import Literal

import structlog

from users_server.core.accounts import User
from users_server.core.files import StorageStats
from users_server.core.interfaces import Store
from users_server.core.messages import Identity
from users_server.errors import InvalidValue, LimitExceeded, NotFound, PermissionDenied
from users_server.services import account_rules as rules
from users_server.services import permissions
from users_server.services.content_settings import FileSettings

log = structlog.stdlib.get_logger(__name__)

NO_CALLS_LEFT = "You have reached your API call limit. Please upgrade your plan for more API calls"
NO_MEMORY_LEFT = "You do not have enough memory allocated. Please upgrade your account for more memory"
INVALID_NUMBER = "Please specify a valid value"
LARGEST_NUMBER = 2**53 - 1
"""What JavaScript clients can count to."""

Quantity = Literal["calls_used", "calls_allocated", "memory_used", "memory_allocated"]


class StorageAccounting:
    """Counts calls and shows or sets the numbers. The sizes of files are counted by the store, with the files."""

    def __init__(self, store: Store, settings: FileSettings) -> None:
        self._store = store
        self._settings = settings

    async def show(self, by: Identity, name: str) -> StorageStats:
        """
        The stats of an account; for himself and admins.

        Raises:
            Unauthenticated, PermissionDenied, InvalidValue: As the owner rule has it.
            NotFound: If an admin asks for an account that is unknown.
        """
        return await self.ensure(await find_owned(self._store, by, name, unknown=_unknown(name)))

    async def create(self, by: Identity, name: str) -> User:
        """Make stats for an account, unless it has some; for admins. Raises as :meth:`set` does."""
        user = await self._administered(by, name)
        await self.ensure(user)
        return user

    async def set(self, by: Identity, name: str, quantity: Quantity, text: str) -> int:
        """
        Set one number to what ``text`` says; for admins.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` is no admin, or the account is above him.
            InvalidValue: If ``text`` is no whole number from 0 on, or nobody can have that name.
            NotFound: If the account is unknown.
        """
        permissions.require_admin(by)
        value = _number(text)
        user = await self._administered(by, name)
        await self.ensure(user)
        await self._store.change_stats(user.id, **{quantity: value})
        log.info("storage changed", username=user.username, quantity=quantity, value=value, by=by.username)
        return value

    async def ensure(self, user: User) -> StorageStats:
        """The stats of an account, made now if it has none yet. Safe when several do it at once."""
        stats = await self._store.get_stats(user.id)
        if stats is not None:
            return stats
        fresh = StorageStats(
            id=secrets.token_hex(12),
            user_id=user.id,
            username=user.username,
            calls_allocated=self._settings.calls_allocated,
            memory_allocated=self._settings.memory_allocated,
        )
        await self._store.create_stats(fresh)
        return await self._store.get_stats(user.id) or fresh

    async def count_call(self, user_id: str) -> None:
        """
        Count one call of the account.

        Raises:
            LimitExceeded: If none is left; nothing was counted.
        """
        if await self._store.count_call(user_id):
            return
        user = await self._store.get_user(user_id) if await self._store.get_stats(user_id) is None else None
        if user is not None:
            await self.ensure(user)
            if await self._store.count_call(user_id):
                return
        raise LimitExceeded(NO_CALLS_LEFT)

    async def refund_call(self, user_id: str) -> None:
        """Take one call back: what it was counted for did not happen."""
        await self._store.add_calls(user_id, -1)

    async def _administered(self, by: Identity, name: str) -> User:
        permissions.require_admin(by)
        rules.check_name(name)
        user = await self._store.find_user(name)
        if user is None:
            raise NotFound(_unknown(name))
        if not permissions.can_administer(by, user):
            raise PermissionDenied
        return user


async def find_owned(store: Store, by: Identity, name: str, *, unknown: str) -> User:
    """
    The owner rule: the account ``name`` if it is ``by``'s own, or ``by`` is an admin.

    Raises:
        Unauthenticated, PermissionDenied: If not; also for an account that is unknown.
        InvalidValue: If nobody can have that name.
        NotFound: With ``unknown``, if an admin asks for an account that is unknown.
    """
    permissions.require_login(by)
    rules.check_name(name)
    user = await store.find_user(name)
    if user is None and by.is_admin:
        raise NotFound(unknown)
    if user is None or not permissions.can_read(by, user):
        raise PermissionDenied
    return user


def _unknown(name: str) -> str:
    return f"Could not find the user '{name}'"


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(LARGEST_NUMBER)) or int(text) > LARGEST_NUMBER:
        raise InvalidValue(INVALID_NUMBER)
    return int(text)
