"""
The audit log: who did what to whom, from where, and when.

Rules: nothing waits for it, and nothing fails because of it. Entries are collected and written in batches; what has
been accepted is written before the server stops. An entry holds no secret: no password, key, cookie or token.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import structlog

from users_server.core.accounts import Page, User
from users_server.core.audit import AuditEntry, AuditQuery, make_audit_id
from users_server.core.clock import Clock
from users_server.core.messages import ANONYMOUS, JSON, Identity
from users_server.core.safety_stores import AuditStore
from users_server.errors import StoreUnavailable
from users_server.services.settings import AuditSettings
from users_server.services.validation import loggable

log = structlog.stdlib.get_logger(__name__)

SERVER = Identity(username="server")
"""Who does what the server and its command line do by themselves."""

NOTHING: Mapping[str, JSON] = MappingProxyType({})

BATCH = 500
MAX_PAGE = 1000
MAX_USER_AGENT_LENGTH = 256
MAX_DETAIL_LENGTH = 256
STOP_SECONDS = 2.0
"""How long the last entries may take while the store is away."""


class Action(enum.StrEnum):
    """What is recorded."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGIN_LOCKED = "login_locked"
    LOGOUT = "logout"
    SESSION_REVOKED = "session_revoked"
    LOGGED_OUT_EVERYWHERE = "logged_out_everywhere"
    ACCOUNT_REGISTERED = "account_registered"
    ACCOUNT_CREATED = "account_created"
    ACCOUNT_ACTIVATED = "account_activated"
    ACCOUNT_REMOVED = "account_removed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    PASSWORD_RESET_REQUESTED = "password_reset_requested"  # noqa: S105
    PASSWORD_RESET = "password_reset"  # noqa: S105
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    EMAIL_CHANGED = "email_changed"
    DATA_EXPORTED = "data_exported"
    META_CHANGED = "meta_changed"
    STORAGE_CHANGED = "storage_changed"
    APP_CREATED = "app_created"
    APP_CHANGED = "app_changed"
    APP_REMOVED = "app_removed"
    APP_KEYS_ROTATED = "app_keys_rotated"


class RecordsAudit(Protocol):
    """What the services need of the audit log."""

    def record(
        self,
        action: Action,
        *,
        user: User | None = None,
        name: str = "",
        by: Identity = ANONYMOUS,
        details: Mapping[str, JSON] = NOTHING,
    ) -> None:
        """
        Accept an entry. Never waits and never raises.

        Args:
            user: Whom it is about; or ``name``, where nobody knows.
            by: Who did it, and from where.
            details: A few plain values; no secrets.
        """


class NoAudit:
    """Where nothing is recorded."""

    def record(
        self,
        action: Action,
        *,
        user: User | None = None,
        name: str = "",
        by: Identity = ANONYMOUS,
        details: Mapping[str, JSON] = NOTHING,
    ) -> None:
        """Nothing."""


class AuditLog:
    """
    Collects entries and writes them to the store in batches, within ``flush_seconds``.

    While the store is away entries wait, ``max_waiting`` at most; then new ones are dropped, counted, and left to the
    log. What is older than ``retention_seconds``, and the oldest of more than ``max_entries``, is removed.
    """

    def __init__(self, store: AuditStore, settings: AuditSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._waiting: deque[AuditEntry] = deque()
        self._dropped = 0
        self._has_news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def record(
        self,
        action: Action,
        *,
        user: User | None = None,
        name: str = "",
        by: Identity = ANONYMOUS,
        details: Mapping[str, JSON] = NOTHING,
    ) -> None:
        """See :class:`RecordsAudit`."""
        now = self._clock.now_ms()
        entry = AuditEntry(
            id=make_audit_id(now),
            at=now,
            action=action.value,
            user_id=user.id if user else "",
            username=user.username if user else loggable(name),
            by_id=by.user_id or "",
            by_name=by.username or "",
            address=loggable(by.address),
            user_agent=loggable(by.user_agent[:MAX_USER_AGENT_LENGTH], MAX_USER_AGENT_LENGTH),
            details={key: _bounded(value) for key, value in details.items()},
        )
        if len(self._waiting) >= self._settings.max_waiting:
            if not self._dropped:
                log.error("audit entries are dropped: too many wait for the store", action=entry.action)
            self._dropped += 1
            return
        self._waiting.append(entry)
        self._has_news.set()

    async def start(self) -> None:
        """Begin to write. Calling it twice has no effect."""
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.create_task(self._run(), name="audit-log")

    async def stop(self) -> None:
        """Write what was accepted, and end. What the store does not take within seconds is lost, and that is logged."""
        task, self._task = self._task, None
        self._stopping.set()
        self._has_news.set()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if task is not None:
                    await _ended(task)
                await self.flush()
        except (StoreUnavailable, TimeoutError):
            log.error("audit entries are lost: the store is away", entries=len(self._waiting))  # noqa: TRY400

    async def flush(self) -> None:
        """Write all that was accepted until now. Raises :class:`StoreUnavailable`; then it waits for the next time."""
        async with self._writing:
            while self._waiting:
                batch = [self._waiting[number] for number in range(min(BATCH, len(self._waiting)))]
                await self._store.add_audit_entries(batch)
                # Only now: an entry that was not written, or perhaps not, is written again; the store knows its id.
                for _ in batch:
                    self._waiting.popleft()
        if self._dropped:
            log.warning("audit entries were dropped", entries=self._dropped)
            self._dropped = 0

    async def list(self, query: AuditQuery, *, index: int = 0, limit: int = 20) -> Page[AuditEntry]:
        """The newest first, also those that this node has not written yet. Raises :class:`StoreUnavailable`."""
        await self.flush()
        return await self._store.list_audit_entries(query, index=max(index, 0), limit=min(max(limit, 0), MAX_PAGE))

    async def trim(self) -> None:
        """Remove what is too old or too much. To be called from time to time. Raises :class:`StoreUnavailable`."""
        before = self._clock.now_ms() - self._settings.retention_seconds * 1000
        await self._store.trim_audit_entries(before=before, most=self._settings.max_entries)

    async def created(self, user: User) -> None:
        """As an :class:`~users_server.services.account_observers.AccountObserver`: nothing to do."""

    async def removed(self, user: User) -> None:
        """
        Take the person out of the entries; that and when something happened stays.

        Raises :class:`StoreUnavailable`.
        """
        await self.flush()
        await self._store.erase_audit_traces(
            user.id, (user.username, user.email), pseudonym=f"erased-{secrets.token_hex(6)}"
        )

    async def _run(self) -> None:
        is_failing = False
        while not self._stopping.is_set():
            await self._has_news.wait()
            self._has_news.clear()
            try:
                await asyncio.wait_for(self._stopping.wait(), self._settings.flush_seconds)
            except TimeoutError:
                is_failing = await self._try_to_flush(was_failing=is_failing)

    async def _try_to_flush(self, *, was_failing: bool) -> bool:
        """Whether it failed."""
        try:
            await self.flush()
        except Exception as error:
            # the log must outlive a bug of a store, and an outage is told once
            if not was_failing:
                log.warning("the audit log waits for the store", exc_info=not isinstance(error, StoreUnavailable))
            self._has_news.set()
            return True
        return False


def by_user(user: User, *, address: str = "", user_agent: str = "") -> Identity:
    """Who did it, where a user is known before there is an identity: at his login."""
    return Identity(user.id, user.username, user.privileges, address=address, user_agent=user_agent)


def by_stranger(*, address: str = "", user_agent: str = "") -> Identity:
    """Somebody of whom only the address is known."""
    return Identity(address=address, user_agent=user_agent)


def _bounded(value: JSON) -> JSON:
    """A plain value of bounded size."""
    if isinstance(value, str):
        return value[:MAX_DETAIL_LENGTH]
    if isinstance(value, Sequence):
        return [_bounded(item) for item in value[:20]]
    return value


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for ``task``; if this is cancelled, so is it, and it lets go of what it holds."""
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
