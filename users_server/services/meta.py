"""
Meta data: one JSON object for each account, read and written whole or by property.

Rule: a write is a compare-and-swap, so that two writers never lose each other's property, on one node or on many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

import orjson

from users_server.core.accounts import User
from users_server.core.interfaces import UserStore
from users_server.core.messages import JSON, Identity
from users_server.errors import ClientError, Conflict, InvalidValue, NotFound, PayloadTooLarge, PermissionDenied
from users_server.services import permissions
from users_server.services.account_rules import INVALID_NAME, UNKNOWN_USER, check_name

MAX_TRIES = 20
"""Writers of one node take turns; only writers of other nodes can make a swap fail."""

Change = Callable[[dict[str, JSON]], dict[str, JSON]]


class MetaService:
    """Reads and writes meta data for those who may. ``name`` is a username or an email; none means ``by`` himself."""

    def __init__(self, store: UserStore, *, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, by: Identity, name: str | None) -> dict[str, JSON]:
        """A copy of the whole object."""
        user = await self._find(by, name)
        if user is None or not permissions.can_read_meta(by, user):
            raise _refusal(by, user)
        return dict(user.meta)

    async def set(self, by: Identity, name: str | None, value: JSON, *, owner_may_write: bool) -> dict[str, JSON]:
        """Replace the whole object, by an empty one if ``value`` is :obj:`None`; what it is now."""

        def replacement(_: dict[str, JSON]) -> dict[str, JSON]:
            if not isinstance(value, dict | None):
                raise InvalidValue("The meta data must be an object")
            return dict(value or {})

        return await self._change(by, name, replacement, owner_may_write=owner_may_write)

    async def set_property(
        self, by: Identity, name: str | None, property: str, value: JSON, *, owner_may_write: bool
    ) -> None:
        """Set one property, and leave the others as they are."""
        await self._change(by, name, lambda meta: {**meta, property: value}, owner_may_write=owner_may_write)

    def check_size(self, meta: dict[str, JSON]) -> None:
        """
        Return if ``meta`` can be kept.

        Raises:
            PayloadTooLarge: If its JSON is longer than is allowed.
            InvalidValue: If it has no JSON: too deep, an integer beyond 64 bits, half a surrogate pair.
        """
        try:
            size = len(orjson.dumps(meta))
        except orjson.JSONEncodeError as error:
            raise InvalidValue("The meta data cannot be stored as JSON") from error
        if size > self._max_bytes:
            raise PayloadTooLarge(f"The meta data is too large; at most {self._max_bytes} bytes are allowed")

    async def _change(
        self, by: Identity, name: str | None, change: Change, *, owner_may_write: bool
    ) -> dict[str, JSON]:
        """Apply ``change`` to the present object and keep the result."""
        user = await self._find(by, name)
        if user is None or not permissions.can_write_meta(by, user, owner_may_write=owner_may_write):
            raise _refusal(by, user)
        async with self._locks.setdefault(user.id, asyncio.Lock()):
            for _ in range(MAX_TRIES):
                current = await self._store.get_user(user.id)
                if current is None:
                    raise _refusal(by, None)
                meta = change(current.meta)
                self.check_size(meta)
                if await self._store.replace_meta(user.id, meta, expected_version=current.meta_version):
                    return meta
        raise Conflict("The meta data is being changed by others; please try again")

    async def _find(self, by: Identity, name: str | None) -> User | None:
        if not by.is_trusted:
            permissions.require_login(by)
        if name is not None:
            check_name(name)
            return await self._store.find_user(name)
        if by.user_id is None:
            raise InvalidValue(INVALID_NAME)
        return await self._store.get_user(by.user_id)


def _refusal(by: Identity, user: User | None) -> ClientError:
    """Only those who may see every account are told that one is unknown."""
    if user is None and (by.is_admin or by.is_trusted):
        return NotFound(UNKNOWN_USER)
    return PermissionDenied()
