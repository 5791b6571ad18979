"""Registration and activation (users-http-api.md), in the original's order of checks."""

from __future__ import annotations

import secrets

import structlog

from users_server.core.accounts import KeyKind, Privilege, User
from users_server.core.clock import Clock
from users_server.core.interfaces import Store
from users_server.core.messages import ANONYMOUS, JSON, Identity
from users_server.errors import Conflict, InvalidValue, NotFound, StoreUnavailable
from users_server.services import account_rules as rules
from users_server.services.account_mailer import AccountMailer
from users_server.services.account_observers import AccountObservers
from users_server.services.captcha import CaptchaService
from users_server.services.mail import Mail
from users_server.services.meta import MetaService
from users_server.services.one_time_keys import OneTimeKeys
from users_server.services.passwords import PasswordService
from users_server.services.user_events import UserEventPublisher

log = structlog.stdlib.get_logger(__name__)


class RegistrationService:
    """Accounts that people make for themselves: inactive until the key that was mailed to them comes back."""

    def __init__(
        self,
        store: Store,
        passwords: PasswordService,
        keys: OneTimeKeys,
        mailer: AccountMailer,
        captcha: CaptchaService,
        events: UserEventPublisher,
        observers: AccountObservers,
        clock: Clock,
        *,
        activation_seconds: int,
        max_meta_bytes: int,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._keys = keys
        self._mailer = mailer
        self._captcha = captcha
        self._events = events
        self._observers = observers
        self._clock = clock
        self._activation_seconds = activation_seconds
        self._meta = MetaService(store, max_bytes=max_meta_bytes)

    async def register(
        self,
        *,
        username: str,
        email: str,
        password: str,
        captcha: str = "",
        meta: dict[str, JSON] | None = None,
        origin: str = "",
        by: Identity = ANONYMOUS,
    ) -> User:
        """
        A new account, inactive; its activation link is mailed in the background.

        Of any number of requests for one name or email at once, one makes the account. ``origin`` is the page that
        people are led back to.

        Raises:
            InvalidValue: For the first field that breaks a rule, and for a captcha that is missing or wrong.
            PayloadTooLarge: If ``meta`` is.
            Conflict: If the username or the email is taken.
            LimitExceeded: If too many mails were caused from the address of ``by``.
            BackendError: If no mail can be sent, or the captcha cannot be verified; there is no account then.
            Overloaded: If too many passwords wait to be hashed, or too many mails to be sent.
        """
        rules.check_new_name(username)
        await self._check_free(username, email)
        rules.check_registration(self._passwords, email=email, password=password)
        self._meta.check_size(meta or {})
        await self._captcha.check(captcha, by.address)
        with self._mailer.reserve(by.address) as place:
            user, key = await self._create(username, email, password, meta or {})
            place.send(self._mailer.activation(user, key, origin))
        log.info("user registered", username=user.username)
        return user

    async def resend(self, name: str, *, is_told: bool, origin: str = "", by: Identity = ANONYMOUS) -> None:
        """
        Mail a new activation link; the ones before it end. What is told is as :meth:`AccountMailer.send_asked` says.

        Raises:
            InvalidValue: If nobody can have that name.
            NotFound, Conflict: If he is told: the account is unknown, or active already.
            LimitExceeded, BackendError, Overloaded: If no mail can be sent, or too many were.
        """
        rules.check_name(name)
        await self._mailer.send_asked(
            lambda: self._store.find_user(name),
            lambda user: self._new_link(user, origin),
            is_told=is_told,
            address=by.address,
            in_vain=self._mailer.already_active,
        )

    async def activate(self, name: str, key: str) -> User:
        """
        Make an account active. Sends Activated, once.

        Raises:
            InvalidValue: If nobody can have that name, or ``key`` is not the account's live key.
            NotFound: If the account is unknown.
            Conflict: If it is active already.
        """
        rules.check_name(name)
        user = await self._store.find_user(name)
        if user is None:
            raise NotFound(rules.UNKNOWN_CREDENTIALS)
        if user.is_active:
            raise Conflict(rules.ALREADY_ACTIVATED)
        record = await self._keys.find(KeyKind.ACTIVATION, user.id, key)
        if record is None:
            # another request may have used the key since the account was read
            user = await self._store.get_user(user.id)
            if user is not None and user.is_active:
                raise Conflict(rules.ALREADY_ACTIVATED)
            raise InvalidValue(rules.WRONG_ACTIVATION_KEY)
        # the account decides who is first; a key that is left behind opens nothing
        if not await self._store.activate_user(user.id):
            raise Conflict(rules.ALREADY_ACTIVATED)
        await self._events.activated(user.username)
        log.info("user activated", username=user.username)
        try:
            await self._keys.take(record)
        except StoreUnavailable:
            log.warning("a used activation key remains until it expires", username=user.username)
        return user

    async def _check_free(self, username: str, email: str) -> None:
        taken = await self._store.find_user(username)
        if taken is None and email:
            taken = await self._store.find_user(email)
        if taken is not None:
            raise Conflict(rules.REGISTERED_ALREADY)

    async def _create(self, username: str, email: str, password: str, meta: dict[str, JSON]) -> tuple[User, str]:
        user_id = secrets.token_hex(12)
        record, key = self._keys.new(KeyKind.ACTIVATION, user_id, self._activation_seconds)
        user = User(
            id=user_id,
            username=username,
            email=email,
            password_hash=await self._passwords.hash(password),
            privileges=int(Privilege.REGULAR),
            created_on=self._clock.now_ms(),
            register_key=record.key_hash,
            meta=meta,
        )
        try:
            await self._store.create_user(user)
        except Conflict as error:
            raise Conflict(rules.REGISTERED_ALREADY) from error
        await self._keys.put(record)
        await self._observers.created(user)
        return user, key

    async def _new_link(self, user: User, origin: str) -> Mail:
        """Raises :class:`Conflict` for an active account, :class:`LimitExceeded` if too much mail went there."""
        if user.is_active:
            raise Conflict(rules.ALREADY_ACTIVATED)
        self._mailer.check_recipient(user.email)
        record, key = self._keys.new(KeyKind.ACTIVATION, user.id, self._activation_seconds)
        if not await self._store.renew_register_key(user.id, record.key_hash):
            raise Conflict(rules.ALREADY_ACTIVATED)
        await self._keys.put(record)
        return self._mailer.activation(user, key, origin)
