"""Whether somebody knows the password of an account."""

from __future__ import annotations

from dataclasses import replace

import structlog

from users_server.core.accounts import User
from users_server.core.interfaces import UserStore
from users_server.errors import BackendError, Unauthenticated
from users_server.services import account_rules as rules
from users_server.services.passwords import PasswordService
from users_server.services.throttle import LoginThrottle

log = structlog.stdlib.get_logger(__name__)


class PasswordAuthenticator:
    """Verifies passwords and counts the wrong ones. Whether there is an account shows in no answer and in no time."""

    def __init__(self, users: UserStore, passwords: PasswordService, throttle: LoginThrottle) -> None:
        self._users = users
        self._passwords = passwords
        self._throttle = throttle

    async def verify(self, name: str, password: str, address: str) -> User:
        """
        The account of this name, if the password is its own. An old hash is renewed.

        Raises:
            Unauthenticated: For an unknown name or a wrong password.
            LoginLocked: After too many failures of this name or address.
            Overloaded: If too many passwords wait to be hashed; nothing was counted then.
        """
        await self._throttle.begin(name, address)
        try:
            user = await self._verified(name, password)
        except BackendError:
            await self._throttle.released(name, address)
            raise
        except BaseException:
            await self._throttle.failed(name, address)
            raise
        await self._throttle.succeeded(name, address)
        return user

    async def _verified(self, name: str, password: str) -> User:
        """The account with the hash that matched. One verification is made whether there is an account or not."""
        user = await self._users.find_user(name)
        matches, new_hash = await self._passwords.verify(password, user.password_hash if user else None)
        if user is None or not matches:
            raise Unauthenticated(rules.LOGIN_REFUSED)
        if new_hash is None:
            return user
        if await self._users.set_password_hash(user.id, new_hash, expected=user.password_hash):
            log.info("password hash renewed", username=user.username)
            return replace(user, password_hash=new_hash)
        return await self._verified_again(user, password)

    async def _verified_again(self, user: User, password: str) -> User:
        """After the hash was changed by another: by a login that renewed it too, or by a new password."""
        current = await self._users.get_user(user.id)
        matches, _ = await self._passwords.verify(password, current.password_hash if current else None)
        if current is None or not matches:
            raise Unauthenticated(rules.LOGIN_REFUSED)
        return current
