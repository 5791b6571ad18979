"""Accounts: logins, creation, removal, activation, look-ups and meta data, for HTTP, the sockets and the CLI."""

from __future__ import annotations

import secrets
from dataclasses import replace

import structlog

from users_server.core.accounts import Page, Privilege, Session, User
from users_server.core.clock import Clock
from users_server.core.interfaces import Store
from users_server.core.messages import ANONYMOUS, JSON, Identity
from users_server.errors import (
    ClientError,
    ConfigError,
    Conflict,
    InvalidValue,
    NotFound,
    PermissionDenied,
    StartupError,
    StoreUnavailable,
    Unauthenticated,
)
from users_server.services import account_rules as rules
from users_server.services import permissions
from users_server.services.account_observers import AccountObservers
from users_server.services.audit import SERVER, Action, NoAudit, RecordsAudit, by_stranger, by_user
from users_server.services.authentication import PasswordAuthenticator
from users_server.services.meta import MetaService
from users_server.services.passwords import PasswordService
from users_server.services.sessions import MAX_PAGE, SessionService
from users_server.services.settings import AdminUser
from users_server.services.throttle import LoginLocked, LoginThrottle
from users_server.services.user_events import UserEventPublisher
from users_server.services.validation import is_email, is_username, loggable

log = structlog.stdlib.get_logger(__name__)


class UserService:
    """
    What can be done with accounts. ``by`` is who asks; every method checks first whether he may.

    A ``name`` is a username or an email, without case. Events carry the account's username, whatever was given.
    """

    def __init__(
        self,
        store: Store,
        passwords: PasswordService,
        sessions: SessionService,
        events: UserEventPublisher,
        throttle: LoginThrottle,
        clock: Clock,
        *,
        max_meta_bytes: int,
        observers: AccountObservers | None = None,
        audit: RecordsAudit | None = None,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._sessions = sessions
        self._events = events
        self._authenticator = PasswordAuthenticator(store, passwords, throttle)
        self._clock = clock
        self._meta = MetaService(store, max_bytes=max_meta_bytes)
        self._observers = observers or AccountObservers()
        self._audit = audit or NoAudit()

    async def login(
        self, name: str, password: str, *, remember_me: bool = True, address: str = "", user_agent: str = ""
    ) -> tuple[User, Session, str]:
        """
        Open a session: the account, the session, and the value of its cookie. Sends Login.

        Whether the account exists shows neither in the answer nor in its time; that it is not activated is told only
        to those who know its password. An old hash is renewed.

        Raises:
            InvalidValue: For an empty name or password, or a name that nobody can have.
            LimitExceeded: After too many failures of this name or address, on all nodes together.
            Unauthenticated: For an unknown name or a wrong password.
            PermissionDenied: If the account is not activated.
            Overloaded: If too many passwords wait to be hashed.
        """
        rules.check_name(name)
        rules.check_password_given(password)
        try:
            user = await self._authenticator.verify(name, password, address)
            if not user.is_active:
                raise PermissionDenied(rules.NOT_ACTIVATED)
            session, cookie = await self._sessions.open(
                user, remember_me=remember_me, address=address, user_agent=user_agent
            )
        except ClientError as error:
            log.info("login refused", name=loggable(name), address=loggable(address), reason=error.reason)
            self._record_refusal(name, by_stranger(address=address, user_agent=user_agent), error)
            raise
        log.info("login", username=user.username, address=loggable(address), session_id=session.id)
        by = by_user(user, address=address, user_agent=user_agent)
        self._audit.record(Action.LOGIN, user=user, by=by, details={"session": session.id})
        return replace(user, session_id=session.id, last_logged_in=session.created_on), session, cookie

    async def logout(self, session_id: str | None, *, by: Identity = ANONYMOUS) -> bool:
        """End a session; Logout is sent. False if there was none."""
        session = await self._sessions.close(session_id) if session_id is not None else None
        if session is not None:
            self._audit.record(Action.LOGOUT, name=session.username, by=by, details={"session": session.id})
        return session is not None

    async def create(
        self,
        by: Identity,
        *,
        username: str,
        email: str,
        password: str,
        privileges: int = Privilege.REGULAR,
        meta: dict[str, JSON] | None = None,
    ) -> User:
        """
        A new account, active from the start; for admins.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` is no admin; also for a super admin to be created.
            InvalidValue: For the first field that breaks a rule.
            PayloadTooLarge: If ``meta`` is.
            Conflict: If the username or the email is taken.
        """
        permissions.require_admin(by)
        rules.check_new_account(
            self._passwords, username=username, email=email, password=password, privileges=privileges
        )
        self._meta.check_size(meta or {})
        user = await self._new_user(username, email, password, privileges, meta or {})
        try:
            await self._store.create_user(user)
        except Conflict as error:
            raise Conflict(rules.NAME_TAKEN) from error
        await self._observers.created(user)
        log.info("user created", username=user.username, privileges=user.privileges, by=by.username)
        self._audit.record(Action.ACCOUNT_CREATED, user=user, by=by, details={"privileges": user.privileges})
        return user

    async def remove(self, by: Identity, name: str) -> User:
        """
        Remove an account and end its sessions; for himself and admins.

        Sends a Logout for each session that it had, then Removed, once. His sockets are closed on every node.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` may not; also for a super admin to be removed.
            InvalidValue: If nobody can have that name.
            NotFound: If an admin asks for an account that is unknown, or that another request removes just now.
        """
        user = await self._find_owned(by, name, unknown=rules.UNKNOWN_USER_TO_REMOVE)
        if user.privileges == Privilege.SUPER_ADMIN:
            raise PermissionDenied(permissions.CANNOT_REMOVE_SUPER)
        # the account goes first: a login under way finds it gone (SessionService.open) or its session is among these
        if not await self._store.delete_user(user.id):
            raise NotFound(rules.UNKNOWN_USER_TO_REMOVE)
        try:
            await self._sessions.close_all(user.id)
        except StoreUnavailable:
            log.warning("sessions of a removed user remain until they expire", username=user.username)
        # before the observers: the audit log is one of them, and takes the person out of this entry too
        self._audit.record(Action.ACCOUNT_REMOVED, user=user, by=by)
        await self._observers.removed(user)
        await self._events.removed(user.username)
        log.info("user removed", username=user.username, by=by.username)
        return user

    async def approve_activation(self, by: Identity, name: str) -> User:
        """
        Make an account active without its key; for admins. Sends Activated, once.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` is no admin.
            InvalidValue: If nobody can have that name.
            NotFound: If the account is unknown.
            Conflict: If it is active already.
        """
        permissions.require_admin(by)
        rules.check_name(name)
        user = await self._store.find_user(name)
        if user is None:
            raise NotFound(rules.UNKNOWN_USER)
        if user.is_active or not await self._store.activate_user(user.id):
            raise Conflict(rules.ALREADY_ACTIVATED)
        await self._events.activated(user.username)
        log.info("user activated", username=user.username, by=by.username)
        self._audit.record(Action.ACCOUNT_ACTIVATED, user=user, by=by)
        return replace(user, register_key="")

    async def get(self, by: Identity, name: str) -> User:
        """
        One account; for himself and admins.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` may not see it, or it is unknown and ``by`` is no admin.
            InvalidValue: If nobody can have that name.
            NotFound: If an admin asks for an account that is unknown.
        """
        return await self._find_owned(by, name, unknown=rules.UNKNOWN_USER)

    async def list(
        self, by: Identity, *, index: int = 0, limit: int = 20, search: str = "", require_login: bool = True
    ) -> Page[User]:
        """
        The accounts whose username contains ``search``, oldest first.

        Emails are searched too for those who may see them: admins, and everybody unless ``require_login``.

        Raises:
            Unauthenticated: For an anonymous client, unless ``require_login`` is false.
        """
        if require_login:
            permissions.require_login(by)
        return await self._store.list_users(
            search=search,
            search_emails=by.is_admin or not require_login,
            index=max(index, 0),
            limit=min(max(limit, 0), MAX_PAGE),
        )

    async def get_meta(self, by: Identity, name: str | None) -> dict[str, JSON]:
        """
        All meta data of an account (of ``by`` himself without a name); for himself, admins and trusted services.

        Raises:
            Unauthenticated, PermissionDenied, InvalidValue, NotFound: As :meth:`get` does.
        """
        return await self._meta.get(by, name)

    async def get_meta_property(self, by: Identity, name: str | None, property: str) -> JSON:
        """One property of :meth:`get_meta`; :obj:`None` if it is not there."""
        return (await self._meta.get(by, name)).get(property)

    async def set_meta(
        self, by: Identity, name: str | None, value: dict[str, JSON] | None, *, owner_may_write: bool
    ) -> dict[str, JSON]:
        """
        Replace all meta data, by nothing if ``value`` is :obj:`None`; for admins, trusted services and, where
        ``owner_may_write``, the user himself. Nobody but a super admin changes a super admin's.

        Raises:
            Unauthenticated, PermissionDenied, NotFound: As :meth:`get` does.
            InvalidValue: If ``value`` is no object or has no JSON, or nobody can have that name.
            PayloadTooLarge: If the JSON is longer than is allowed.
            Conflict: If other nodes changed it again and again meanwhile.
        """
        return await self._meta.set(by, name, value, owner_may_write=owner_may_write)

    async def set_meta_property(
        self, by: Identity, name: str | None, property: str, value: JSON, *, owner_may_write: bool
    ) -> JSON:
        """Set one property and keep all others, also those set at the same moment. Raises as :meth:`set_meta` does."""
        await self._meta.set_property(by, name, property, value, owner_may_write=owner_may_write)
        return value

    async def ensure_admin(self, admin: AdminUser) -> str | None:
        """
        Create the super admin if there is no account of that name; the password if one had to be made up.

        Safe when several nodes start at once: one of them creates the account.

        Raises:
            ConfigError: If the username, the email or the password of the configuration cannot be used.
            StartupError: If another account has the email.
        """
        self._check_admin(admin)
        if await self._has_admin(admin):
            return None
        password = admin.password or secrets.token_urlsafe(18)
        user = await self._new_user(admin.username, admin.email, password, Privilege.SUPER_ADMIN, {})
        try:
            await self._store.create_user(user)
        except Conflict as error:
            if await self._has_admin(admin):
                return None
            raise StartupError(f"adminUser.email: another account has {admin.email!r}; set another one") from error
        await self._observers.created(user)
        log.info("super admin created", username=user.username)
        self._audit.record(Action.ACCOUNT_CREATED, user=user, by=SERVER, details={"privileges": user.privileges})
        return None if admin.password else password

    async def set_password(self, name: str, password: str) -> None:
        """
        Give an account a new password and end its sessions; for the command line.

        Raises:
            InvalidValue: If nobody can have that name, or the password cannot be used.
            NotFound: If the account is unknown.
        """
        rules.check_name(name)
        rules.check_password_given(password)
        user = await self._store.find_user(name)
        if user is None:
            raise NotFound(rules.UNKNOWN_USER)
        if not await self._store.set_password_hash(user.id, await self._passwords.hash(password)):
            raise NotFound(rules.UNKNOWN_USER)
        log.info("password set", username=user.username)
        self._audit.record(Action.PASSWORD_CHANGED, user=user, by=SERVER)
        await self._sessions.close_all(user.id)

    async def confirm_password(self, by: Identity, password: str, *, address: str = "") -> User:
        """
        The account of ``by`` himself, if ``password`` is its own; counted as a login is.

        Raises:
            Unauthenticated: If nobody is logged in.
            InvalidValue: For an empty or wrong password.
            LimitExceeded: After too many failures.
            Overloaded: If too many passwords wait to be hashed.
        """
        permissions.require_login(by)
        rules.check_password_given(password)
        user = await self._store.get_user(by.user_id) if by.user_id else None
        if user is None:
            raise PermissionDenied
        try:
            return await self._authenticator.verify(user.username, password, address)
        except Unauthenticated as error:
            raise InvalidValue(rules.WRONG_PASSWORD) from error

    def _record_refusal(self, name: str, by: Identity, error: ClientError) -> None:
        """Of a lockout only the first refusal: it must not push everything else out of the audit log."""
        if not isinstance(error, LoginLocked):
            self._audit.record(Action.LOGIN_FAILED, name=name, by=by, details={"reason": error.reason})
        elif error.is_news:
            self._audit.record(Action.LOGIN_LOCKED, name=name, by=by)

    async def _find_owned(self, by: Identity, name: str, *, unknown: str) -> User:
        """The owner rule. An ordinary user gets one answer for an account that is unknown and for one not his own."""
        permissions.require_login(by)
        rules.check_name(name)
        user = await self._store.find_user(name)
        if user is None and by.is_admin:
            raise NotFound(unknown)
        if user is None or not permissions.can_read(by, user):
            raise PermissionDenied
        return user

    async def _new_user(self, username: str, email: str, password: str, privileges: int, meta: dict[str, JSON]) -> User:
        """An account that is not stored yet, active."""
        return User(
            id=secrets.token_hex(12),
            username=username,
            email=email,
            password_hash=await self._passwords.hash(password),
            privileges=int(privileges),
            created_on=self._clock.now_ms(),
            meta=meta,
        )

    def _check_admin(self, admin: AdminUser) -> None:
        if not is_username(admin.username):
            raise ConfigError("adminUser.username", "letters and digits only", repr(admin.username))
        if not is_email(admin.email):
            raise ConfigError("adminUser.email", "an email address", repr(admin.email))
        if admin.password:
            try:
                self._passwords.check(admin.password)
            except InvalidValue as error:
                raise ConfigError("adminUser.password", error.message) from error

    async def _has_admin(self, admin: AdminUser) -> bool:
        user = await self._store.find_user(admin.username)
        if user is not None and user.privileges != Privilege.SUPER_ADMIN:
            log.warning("the account named by adminUser is not a super admin", username=user.username)
        return user is not None
