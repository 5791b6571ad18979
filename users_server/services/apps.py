"""
Apps (tenants): who may make and change them, their keys and secrets, and what a connection needs to know of them.

Rules: a secret is told once, to whoever made it, and is never logged. What is told about an app that exists but is
somebody else's is what is told about one that does not exist.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from users_server.core.accounts import Page, User
from users_server.core.apps import App
from users_server.core.clock import Clock
from users_server.core.interfaces import AppStore
from users_server.core.messages import DEFAULT_APP, JSON, Identity, Notice
from users_server.errors import (
    BackendError,
    Conflict,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    StoreUnavailable,
    Unauthenticated,
)
from users_server.services import app_rules as rules
from users_server.services import permissions
from users_server.services.app_cache import AppCache, Observer
from users_server.services.app_credentials import NewApp, is_api_key, make_credentials, make_secret
from users_server.services.app_refresher import AppRefresher
from users_server.services.app_rules import AppDraft
from users_server.services.sealing import SecretSealer
from users_server.services.settings import AppSettings

log = structlog.stdlib.get_logger(__name__)

__all__ = ["APP_CHANGED", "AppDraft", "AppService", "NewApp", "SecretSealer"]

APP_CHANGED = "app_changed"
"""The kind of the notice that an app was made, changed or removed; its data has ``app``, the id."""

MAX_TRIES = 20
MAX_PAGE = 1000
_ID_FROM, _ID_TO = 100_000_000, 1_000_000_000


class AppService:
    """
    What can be done with apps. ``by`` is who asks; every method that has it checks first whether he may.

    Args:
        notify: Brings a notice to every node. A broker that is away is logged: the change has happened already, and
            the other nodes look again within :data:`~users_server.services.app_cache.MAX_AGE_SECONDS`.
        clean_up: Removes what else is kept of an app that is gone.
    """

    def __init__(
        self,
        store: AppStore,
        sealer: SecretSealer,
        settings: AppSettings,
        clock: Clock,
        notify: Callable[[Notice], Awaitable[None]],
        clean_up: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._clean_up = clean_up
        self._sealer = sealer
        self._settings = settings
        self._clock = clock
        self._notify = notify
        self._observers: list[Observer] = []
        self._cache = AppCache(store, clock, max_apps=settings.max_cached, observe=self._tell)
        self._refresher = AppRefresher(self._cache, max_waiting=settings.max_cached)
        self._creating = asyncio.Lock()

    async def start(self) -> None:
        """Look from time to time for changes of which no notice came. Idempotent."""
        await self._refresher.start()

    async def stop(self) -> None:
        """End every task of this service. Idempotent."""
        await self._refresher.stop()

    # What connections and publications ask for

    async def get(self, app_id: str) -> App:
        """
        An app by id, from memory as a rule.

        Raises:
            NotFound: If there is none.
            StoreUnavailable, Overloaded: If it is not in memory and cannot be looked up now.
        """
        return _known(await self._cache.get(app_id))

    async def by_key(self, key: str) -> App:
        """An app by the key of one of its live credentials. Raises as :meth:`get` does."""
        return _known(await self._cache.by_key(key))

    def secrets(self, app: App) -> tuple[str, ...]:
        """The live secrets, newest first. Raises :class:`ConfigError` for one that no encryption key opens."""
        return tuple(self._sealer.open(credentials.sealed_secret) for credentials in app.credentials)

    def webhook_key(self, app: App) -> str:
        """What web hooks of this app are signed with. Raises as :meth:`secrets` does."""
        return self._sealer.open(app.sealed_webhook_key) if app.sealed_webhook_key else ""

    def is_api_key(self, app: App, api_key: str | None) -> bool:
        """Whether it is one of the live API keys; in constant time."""
        return is_api_key(app, api_key)

    async def admit(self, app_id: str, *, by: Identity, api_key: str | None, is_operator: bool = False) -> App:
        """
        The app for a caller who may publish and read there: with its API key, or its owner, or an admin.

        Args:
            is_operator: Whether the caller has the API key of this server's own services, which opens every app.

        Raises:
            Unauthenticated: For an API key that is not this app's, also if there is no such app.
            NotFound: For somebody without an API key whose app it is not, also if there is no such app.
            StoreUnavailable, Overloaded: As :meth:`get`.
        """
        app = await self._cache.get(app_id)
        if api_key is not None:
            if is_api_key(app, api_key) and app is not None and app.is_enabled:
                return app
            raise Unauthenticated(rules.NOT_APP)
        if not is_operator:
            permissions.require_login(by)
        if app is None or not (is_operator or rules.owns(by, app)):
            raise NotFound(rules.UNKNOWN_APP)
        return app

    def on_change(self, observer: Callable[[str, App | None], None]) -> None:
        """
        Tell ``observer`` what this node learns of apps: the record at its first use and after each change, on whatever
        node, and :obj:`None` when an app was removed. It must not raise.
        """
        self._observers.append(observer)

    def handle_notice(self, data: Mapping[str, JSON]) -> None:
        """An app changed on some node."""
        app_id = data.get("app")
        if isinstance(app_id, str):
            self._cache.forget(app_id)
            self._refresher.add([app_id])

    def forget_all(self) -> None:
        """Notices may have been lost: look every app up again."""
        self._refresher.add(self._cache.forget_all())

    async def settled(self) -> None:
        """Return when every change that was told to this node has reached the observers."""
        await self._refresher.idle()

    # What owners and admins do

    async def create(
        self, by: Identity, draft: AppDraft, *, app_id: str | None = None, owner_id: str | None = None
    ) -> NewApp:
        """
        A new app. This is the only time that its secrets are told.

        Without ``app_id`` it gets an unused number of nine digits. Only admins choose an id, since a taken one tells
        that there is such an app, and only they make apps of another owner's, or of nobody's.

        Raises:
            Unauthenticated, PermissionDenied: If ``by`` may not.
            InvalidValue: For the first rule that is broken.
            LimitExceeded: If he has as many as he may have.
            Conflict: If the id is taken.
        """
        permissions.require_login(by)
        if not by.is_admin and (app_id is not None or owner_id != by.user_id or self._settings.creation != "users"):
            raise PermissionDenied(rules.CANNOT_CREATE if self._settings.creation != "users" else rules.ADMINS_ONLY)
        rules.check_draft(by, replace(draft, name=draft.name or ""))
        if app_id is not None:
            rules.check_id(app_id)
        if by.is_admin:
            new = await self._insert(draft, app_id, owner_id)
        else:
            async with self._creating:
                await self._check_count(by)
                new = await self._insert(draft, None, owner_id)
        log.info("app created", app=new.app.id, owner_id=owner_id, by=by.username)
        await self._changed(new.app.id, new.app)
        return new

    async def list(self, by: Identity, *, index: int = 0, limit: int = 20) -> Page[App]:
        """Oldest first: for admins all, for others their own. Raises :class:`Unauthenticated`."""
        permissions.require_login(by)
        return await self._store.list_apps(
            owner_id=None if by.is_admin else by.user_id, index=max(index, 0), limit=min(max(limit, 0), MAX_PAGE)
        )

    async def show(self, by: Identity, app_id: str) -> App:
        """
        One app as it is in the store; for its owner and admins.

        Raises:
            Unauthenticated: For an anonymous client.
            NotFound: If it is not his, or there is none.
        """
        permissions.require_login(by)
        app = await self._store.get_app(app_id) if rules.is_app_id(app_id) else None
        if app is None or not rules.owns(by, app):
            raise NotFound(rules.UNKNOWN_APP)
        return app

    async def change(self, by: Identity, app_id: str, draft: AppDraft) -> App:
        """
        Change what ``draft`` says, on all nodes; connections that the app serves no more are closed.

        Raises:
            Unauthenticated, NotFound: As :meth:`show` does.
            PermissionDenied: For what only admins may change.
            InvalidValue: For the first rule that is broken.
            Conflict: If others change it again and again meanwhile.
        """
        await self.show(by, app_id)
        rules.check_draft(by, draft)
        sealed_key = None if draft.webhook_key is None else self._sealer.seal(draft.webhook_key)
        app = await self._swap(by, app_id, lambda app: draft.applied_to(app, sealed_key))
        log.info("app changed", app=app_id, by=by.username)
        return app

    async def rotate(self, by: Identity, app_id: str) -> NewApp:
        """
        Make new credentials; this is the only time that they are told.

        The former ones stay good until :meth:`retire_old` or the next rotation; older ones end now. Raises as
        :meth:`show` and :meth:`change` do.
        """
        await self.show(by, app_id)
        made = make_credentials(self._sealer, self._clock.now_ms())
        app = await self._swap(by, app_id, lambda app: replace(app, credentials=(made.record, *app.credentials[:1])))
        log.info("app's credentials rotated", app=app_id, by=by.username)
        return NewApp.of(app, made)

    async def retire_old(self, by: Identity, app_id: str) -> App:
        """End all credentials but the newest. Raises as :meth:`change` does."""
        app = await self._swap(by, app_id, lambda app: replace(app, credentials=app.credentials[:1]))
        log.info("app's old credentials ended", app=app_id, by=by.username)
        return app

    async def remove(self, by: Identity, app_id: str) -> App:
        """
        Remove an app; its connections are closed on every node. Its id is not given out again.

        Raises:
            Unauthenticated, NotFound: As :meth:`show` does; also if another request removes it just now.
            Conflict: For the default app, which the protocols need that name none.
        """
        app = await self.show(by, app_id)
        if app.id == DEFAULT_APP:
            raise Conflict("The default app cannot be removed; turn it off instead")
        if not await self._store.delete_app(app_id):
            raise NotFound(rules.UNKNOWN_APP)
        log.info("app removed", app=app_id, by=by.username)
        await self._removed(app_id)
        return app

    async def ensure_default(self) -> NewApp | None:
        """
        Make the default app if there is none. Safe when several nodes start at once: one of them makes it.

        Raises:
            ConfigError: If no key opens the secrets of the one that is there: this node could serve no app.
        """
        app = await self._store.get_app(DEFAULT_APP)
        if app is None:
            try:
                new = await self._insert(AppDraft(name="Default"), DEFAULT_APP, None)
            except Conflict:
                app = await self._store.get_app(DEFAULT_APP)
            else:
                log.info("app created", app=DEFAULT_APP)
                await self._changed(DEFAULT_APP, new.app)
                return new
        if app is not None:
            self.secrets(app)
            self._cache.put(app)
        return None

    async def remove_owned(self, owner_id: str) -> int:
        """Remove every app of an account that is gone; how many there were."""
        count = 0
        while page := (await self._store.list_apps(owner_id=owner_id, limit=MAX_PAGE)).items:
            for app in page:
                if await self._store.delete_app(app.id):
                    count += 1
                    log.info("app removed with its owner", app=app.id, owner_id=owner_id)
                await self._removed(app.id)
        return count

    async def _insert(self, draft: AppDraft, app_id: str | None, owner_id: str | None) -> NewApp:
        made = make_credentials(self._sealer, self._clock.now_ms())
        webhook_key = draft.webhook_key or make_secret()
        sealed_webhook_key = self._sealer.seal(webhook_key)
        for _ in range(MAX_TRIES):
            new_id = app_id or str(_ID_FROM + secrets.randbelow(_ID_TO - _ID_FROM))
            app = draft.applied_to(
                App(new_id, "", (made.record,), made.record.created_on, owner_id), sealed_webhook_key
            )
            try:
                await self._store.create_app(app)
            except Conflict as error:
                if app_id is not None:
                    raise Conflict(rules.ID_TAKEN) from error
                continue
            return NewApp.of(app, made, webhook_key)
        raise Conflict(rules.ID_TAKEN)

    async def _swap(self, by: Identity, app_id: str, change: Callable[[App], App]) -> App:
        """Apply ``change`` to the present record, also while others change it."""
        for _ in range(MAX_TRIES):
            app = change(await self.show(by, app_id))
            if await self._store.replace_app(app):
                app = replace(app, version=app.version + 1)
                await self._changed(app_id, app)
                return app
        raise Conflict("The app is being changed by others; please try again")

    async def _check_count(self, by: Identity) -> None:
        most = self._settings.max_per_user
        if (await self._store.list_apps(owner_id=by.user_id, limit=1)).count >= most:
            raise LimitExceeded(f"You may have {most} apps at most")

    async def _removed(self, app_id: str) -> None:
        await self._changed(app_id, None)
        if self._clean_up is not None:
            try:
                await self._clean_up(app_id)
            except StoreUnavailable:
                log.warning("something of a removed app is left in the database", app=app_id)

    async def _changed(self, app_id: str, app: App | None) -> None:
        """This node knows at once, the others by the notice."""
        if app is None:
            self._cache.remove(app_id)
        else:
            self._cache.put(app)
        try:
            await self._notify(Notice(APP_CHANGED, {"app": app_id}))
        except BackendError as error:
            log.warning("other nodes hear of a changed app later", app=app_id, reason=error.reason)

    def _tell(self, app_id: str, app: App | None) -> None:
        for observer in self._observers:
            observer(app_id, app)


class AppOwnerObserver:
    """An :class:`~users_server.services.account_observers.AccountObserver`: an account's apps go with it."""

    def __init__(self, apps: AppService) -> None:
        self._apps = apps

    async def created(self, user: User) -> None:
        """An account begins without apps."""

    async def removed(self, user: User) -> None:
        """Remove its apps."""
        await self._apps.remove_owned(user.id)


def _known(app: App | None) -> App:
    if app is None:
        raise NotFound(rules.UNKNOWN_APP)
    return app
