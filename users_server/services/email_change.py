"""A new email address: asked for by the owner, confirmed by a key that is mailed there, told to the old one."""

from __future__ import annotations

import structlog

from users_server.core.accounts import KeyKind, User
from users_server.core.interfaces import Store
from users_server.core.messages import Identity
from users_server.errors import Conflict, InvalidValue, NotFound, PermissionDenied
from users_server.services import account_rules as rules
from users_server.services import permissions
from users_server.services.account_mailer import AccountMailer
from users_server.services.one_time_keys import OneTimeKeys
from users_server.services.users import UserService

log = structlog.stdlib.get_logger(__name__)


class EmailChangeService:
    """Changes addresses. Until the key comes back, the account has the old one."""

    def __init__(
        self,
        store: Store,
        users: UserService,
        keys: OneTimeKeys,
        mailer: AccountMailer,
        *,
        key_seconds: int,
    ) -> None:
        self._store = store
        self._users = users
        self._keys = keys
        self._mailer = mailer
        self._key_seconds = key_seconds

    async def request(self, by: Identity, name: str, email: str, *, password: str, origin: str = "") -> None:
        """
        Mail a link to ``email`` that confirms it; for the user himself with his password, and for admins without.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` may not change the account.
            InvalidValue: For an address that cannot be used, or a wrong password.
            NotFound: If an admin asks for an account that is unknown.
            Conflict: If another account has the address.
            LimitExceeded: After too many wrong passwords, or too many mails.
            BackendError, Overloaded: If no mail can be sent.
        """
        user = await self._users.get(by, name)
        if not permissions.can_manage(by, user):
            raise PermissionDenied
        rules.check_email(email)
        if permissions.is_owner(by, user):
            await self._users.confirm_password(by, password, address=by.address)
        await self._check_free(user, email)
        with self._mailer.reserve(by.address) as place:
            self._mailer.check_recipient(email)
            record, key = self._keys.new(KeyKind.EMAIL_CHANGE, user.id, self._key_seconds, email=email)
            await self._keys.put(record)
            place.send(self._mailer.email_change(user, email, key, origin))

    async def confirm(self, name: str, key: str) -> User:
        """
        Use the key: the account as it is now. The old address is told.

        Raises:
            InvalidValue: If nobody can have that name, or ``key`` is not the live one.
            NotFound: If the account is unknown.
            Conflict: If another account has got the address meanwhile.
        """
        rules.check_name(name)
        user = await self._store.find_user(name)
        if user is None:
            raise NotFound(rules.UNKNOWN_CREDENTIALS)
        record = await self._keys.find(KeyKind.EMAIL_CHANGE, user.id, key)
        if record is None or not await self._keys.take(record):
            raise InvalidValue(rules.WRONG_EMAIL_KEY)
        try:
            is_changed = await self._store.set_email(user.id, record.email, expected=user.email)
        except Conflict as error:
            raise Conflict(rules.REGISTERED_ALREADY) from error
        if not is_changed:
            raise InvalidValue(rules.WRONG_EMAIL_KEY)
        log.info("email changed", username=user.username)
        self._mailer.tell_email_changed(user, record.email)
        # a key for a new password that went to the old address must not outlive it
        await self._keys.cancel(KeyKind.RESET, user.id)
        await self._store.set_password_tag(user.id, "")
        return user

    async def _check_free(self, user: User, email: str) -> None:
        other = await self._store.find_user(email)
        if other is not None and (other.id != user.id or email == user.email):
            raise Conflict(rules.REGISTERED_ALREADY)
