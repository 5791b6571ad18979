"""New passwords: by a key that was mailed, and by the old one. Either ends every session that the account had."""

from __future__ import annotations

import structlog

from users_server.core.accounts import KeyKind, Session, User
from users_server.core.interfaces import Store
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import Conflict, InvalidValue, NotFound, PermissionDenied, StoreUnavailable
from users_server.services import account_rules as rules
from users_server.services import permissions
from users_server.services.account_mailer import AccountMailer
from users_server.services.mail import Mail
from users_server.services.one_time_keys import OneTimeKeys
from users_server.services.passwords import PasswordService
from users_server.services.sessions import SessionService
from users_server.services.users import UserService

log = structlog.stdlib.get_logger(__name__)


class PasswordResetService:
    """Changes passwords for people; the command line has :meth:`UserService.set_password`."""

    def __init__(
        self,
        store: Store,
        users: UserService,
        passwords: PasswordService,
        sessions: SessionService,
        keys: OneTimeKeys,
        mailer: AccountMailer,
        *,
        key_seconds: int,
    ) -> None:
        self._store = store
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._keys = keys
        self._mailer = mailer
        self._key_seconds = key_seconds

    async def request(self, name: str, *, is_told: bool, origin: str = "", by: Identity = ANONYMOUS) -> None:
        """
        Mail a key for a new password; the one before it ends. The password stays until the key is used. What is told is
        as :meth:`AccountMailer.send_asked` says.

        Raises:
            InvalidValue: If nobody can have that name.
            NotFound: If he is told: the account is unknown.
            LimitExceeded, BackendError, Overloaded: If no mail can be sent, or too many were.
        """
        rules.check_name(name)
        await self._mailer.send_asked(
            lambda: self._store.find_user(name),
            lambda user: self._new_link(user, origin),
            is_told=is_told,
            address=by.address,
        )

    async def reset(self, name: str, key: str, password: str) -> User:
        """
        Set a new password by the key that was mailed. All sessions end, and all sockets of the account are closed.

        Raises:
            InvalidValue: For a name that nobody can have, a key that is not the live one, or a password that cannot be
                used, looked at in this order.
            NotFound: If the account is unknown.
            Overloaded: If too many passwords wait to be hashed; the key is still good then.
        """
        rules.check_name(name)
        user = await self._store.find_user(name)
        if user is None:
            raise NotFound(rules.UNKNOWN_CREDENTIALS)
        record = await self._keys.find(KeyKind.RESET, user.id, key)
        if record is None:
            raise InvalidValue(rules.WRONG_RESET_KEY)
        rules.check_password_given(password)
        new_hash = await self._passwords.hash(password)
        if not await self._keys.take(record):
            raise InvalidValue(rules.WRONG_RESET_KEY)
        if not await self._store.set_password_hash(user.id, new_hash):
            raise NotFound(rules.UNKNOWN_CREDENTIALS)
        await self._changed(user)
        return user

    async def change(
        self,
        by: Identity,
        name: str,
        *,
        password: str,
        new_password: str,
    ) -> tuple[Session, str] | None:
        """
        Set a new password by the old one; for the user himself.

        All sessions end, and all his sockets are closed. If ``by`` came with a session he gets a new one: the session,
        and the value of its cookie.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` is somebody else.
            InvalidValue: If ``password`` is wrong, or the new one cannot be used.
            LimitExceeded: After too many wrong passwords.
            Conflict: If the password was changed by another request meanwhile.
            Overloaded: If too many passwords wait to be hashed.
        """
        permissions.require_login(by)
        if not permissions.is_owner(by, await self._users.get(by, name)):
            raise PermissionDenied
        user = await self._users.confirm_password(by, password, address=by.address)
        rules.check_password_given(new_password)
        new_hash = await self._passwords.hash(new_password)
        if not await self._store.set_password_hash(user.id, new_hash, expected=user.password_hash):
            raise Conflict("The password was changed meanwhile")
        old = await self._sessions.get(by.session_id) if by.session_id else None
        await self._changed(user)
        current = await self._store.get_user(user.id)
        if old is None or current is None:
            return None
        return await self._sessions.open(
            current, remember_me=old.is_persistent, address=by.address, user_agent=by.user_agent
        )

    async def _changed(self, user: User) -> None:
        """What follows a new password: whoever knew only the old one is out, whatever he had begun."""
        log.info("password set", username=user.username)
        try:
            await self._sessions.close_all(user.id)
            await self._keys.cancel(KeyKind.RESET, user.id)
            await self._keys.cancel(KeyKind.EMAIL_CHANGE, user.id)
            await self._store.set_password_tag(user.id, "")
        finally:
            self._mailer.tell_password_changed(user)

    async def _new_link(self, user: User, origin: str) -> Mail:
        """Raises :class:`LimitExceeded` if too much mail went there."""
        self._mailer.check_recipient(user.email)
        record, key = self._keys.new(KeyKind.RESET, user.id, self._key_seconds)
        await self._keys.put(record)
        try:
            await self._store.set_password_tag(user.id, record.key_hash)
        except StoreUnavailable:
            log.warning("password tag not recorded", username=user.username)
        return self._mailer.password_reset(user, key, origin)
