"""
Apps in memory, so that a client's connection costs no look-up.

Rules: what a stranger sends cannot fill the cache (only apps that exist are in it), and cannot make this server look
things up without bound: those that turn out unknown are remembered for a moment, and limited in number.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from users_server.core.apps import App
from users_server.core.clock import Clock
from users_server.core.interfaces import AppStore
from users_server.core.rate_limit import TokenBucket
from users_server.errors import Overloaded, StoreUnavailable
from users_server.services.app_rules import is_app_id

log = structlog.stdlib.get_logger(__name__)

MAX_AGE_SECONDS = 30.0
"""After it, an app is looked up again where it is used: the notice of its change may have been lost."""

UNKNOWN_SECONDS = 2.0
MAX_UNKNOWN = 1000
UNKNOWN_PER_SECOND = 100.0
UNKNOWN_BURST = 200.0

MAX_KEY_LENGTH = 100

Observer = Callable[[str, App | None], None]
Look = Callable[[], Awaitable[App | None]]


@dataclass(slots=True)
class _Entry:
    app: App
    checked_at: float


class AppCache:
    """
    The apps that were used last, ``max_apps`` at most.

    ``observe`` is called whenever this node learns something new of an app: with its record when it is read first and
    after each change, with :obj:`None` when it is gone.
    """

    def __init__(self, store: AppStore, clock: Clock, *, max_apps: int, observe: Observer) -> None:
        self._store = store
        self._clock = clock
        self._max_apps = max(max_apps, 1)
        self._observe = observe
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._ids: dict[str, str] = {}
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._looking: dict[str, asyncio.Task[App | None]] = {}
        self._strangers = TokenBucket(UNKNOWN_PER_SECOND, UNKNOWN_BURST, clock.monotonic())

    async def get(self, app_id: str) -> App | None:
        """
        By id. An app that was read lately costs nothing.

        Raises:
            StoreUnavailable: If it is not in memory and the store is away.
            Overloaded: If too many unknown apps were asked for just now, and this one is not in memory.
        """
        entry = self._entries.get(app_id)
        if entry is not None and self._clock.monotonic() - entry.checked_at < MAX_AGE_SECONDS:
            self._entries.move_to_end(app_id)
            return entry.app
        if not is_app_id(app_id):
            return None
        try:
            return await self._look("id " + app_id, lambda: self._store.get_app(app_id), app_id)
        except StoreUnavailable:
            if entry is None or self._entries.get(app_id) is not entry:
                raise
            return entry.app  # an outage of the store must not end the service of apps that are known

    async def by_key(self, key: str) -> App | None:
        """By the key of one of its live credentials. Raises as :meth:`get` does."""
        app_id = self._ids.get(key)
        if app_id is not None:
            app = await self.get(app_id)
            if app is not None and _has_key(app, key):
                return app
        if not key or len(key) > MAX_KEY_LENGTH or not key.isascii():
            return None
        return await self._look("key " + key, lambda: self._store.find_app_by_key(key), None)

    async def refresh(self, app_id: str) -> None:
        """Look an app up again, and tell what has changed. Raises :class:`StoreUnavailable`."""
        if is_app_id(app_id):
            self._take(app_id, await self._store.get_app(app_id))

    def put(self, app: App) -> None:
        """This is how it is now."""
        self._stop_looking(app.id)
        self._learn(app)

    def remove(self, app_id: str) -> None:
        """It is gone."""
        self.forget(app_id)
        self._observe(app_id, None)

    def forget(self, app_id: str) -> None:
        """It may have changed: whoever asks now looks it up."""
        self._stop_looking(app_id)
        self._drop(app_id)

    def forget_all(self) -> list[str]:
        """Any may have changed. The ids of those that were here."""
        ids = list(self._entries)
        self._entries.clear()
        self._ids.clear()
        self._unknown.clear()
        self._looking.clear()
        return ids

    def longest_unchecked(self, count: int) -> list[str]:
        """The ids of those that were looked up the longest ago."""
        return heapq.nsmallest(count, self._entries, key=lambda app_id: self._entries[app_id].checked_at)

    async def _look(self, name: str, look: Look, app_id: str | None) -> App | None:
        """One look-up for all that ask for the same at once."""
        unknown_until = self._unknown.get(name)
        if unknown_until is not None and unknown_until > self._clock.monotonic():
            return None
        task = self._looking.get(name)
        if task is None:
            task = asyncio.create_task(self._ask_store(name, look, app_id), name="app-look-up")
            task.add_done_callback(_retrieve)
            self._looking[name] = task
        return await asyncio.shield(task)

    async def _ask_store(self, name: str, look: Look, app_id: str | None) -> App | None:
        if app_id not in self._entries and not self._strangers.take(self._clock.monotonic()):
            self._looking.pop(name, None)
            raise Overloaded
        try:
            app = await look()
        except BaseException:
            self._finish(name)
            raise
        is_current = self._finish(name)
        if app is not None:
            self._strangers.tokens = min(self._strangers.burst, self._strangers.tokens + 1)
            if is_current:
                self._learn(app)
        elif is_current:
            self._remember_unknown(name)
            if app_id is not None and app_id in self._entries:
                self.remove(app_id)
        return app

    def _finish(self, name: str) -> bool:
        """Whether nothing was told meanwhile that makes this look-up's answer an old one."""
        is_current = self._looking.get(name) is asyncio.current_task()
        if is_current:
            del self._looking[name]
        return is_current

    def _take(self, app_id: str, app: App | None) -> None:
        self._stop_looking(app_id)
        if app is None:
            self.remove(app_id)
        else:
            self._learn(app)

    def _learn(self, app: App) -> None:
        known = self._entries.get(app.id)
        if known is not None and known.app.created_on == app.created_on and known.app.version > app.version:
            return  # an answer that was on its way while a newer one came
        self._drop(app.id)
        while len(self._entries) >= self._max_apps:
            self._drop(next(iter(self._entries)))
        self._entries[app.id] = _Entry(app, self._clock.monotonic())
        for credentials in app.credentials:
            self._ids[credentials.key] = app.id
            self._unknown.pop("key " + credentials.key, None)
        self._unknown.pop("id " + app.id, None)
        if known is None or known.app != app:
            self._observe(app.id, app)

    def _drop(self, app_id: str) -> None:
        entry = self._entries.pop(app_id, None)
        if entry is not None:
            for credentials in entry.app.credentials:
                self._ids.pop(credentials.key, None)

    def _stop_looking(self, app_id: str) -> None:
        """Answers that are on their way may be old. A key may be any app's, so all look-ups by key are."""
        self._unknown.pop("id " + app_id, None)
        for name in [name for name in self._looking if name == "id " + app_id or name.startswith("key ")]:
            del self._looking[name]

    def _remember_unknown(self, name: str) -> None:
        self._unknown.pop(name, None)
        if len(self._unknown) >= MAX_UNKNOWN:
            self._unknown.popitem(last=False)
        self._unknown[name] = self._clock.monotonic() + UNKNOWN_SECONDS


def _has_key(app: App, key: str) -> bool:
    return any(credentials.key == key for credentials in app.credentials)


def _retrieve(task: asyncio.Task[App | None]) -> None:
    """Everybody who waited may have gone away; then nobody else looks at the exception."""
    if not task.cancelled():
        task.exception()
