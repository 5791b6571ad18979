"""
Logins: opened, found by their cookie, and ended.

Rule: the store gives each session that ends to exactly one caller, on whichever node, and that caller alone announces
it. So there is one Logout for each session, whatever ended it. The cookie's value is kept nowhere; only its hash is.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace

import structlog

from users_server.core.accounts import Page, Session, User
from users_server.core.clock import Clock
from users_server.core.interfaces import Store
from users_server.core.messages import Revocation
from users_server.errors import BackendError, StoreUnavailable, Unauthenticated
from users_server.services.settings import SessionSettings
from users_server.services.user_events import PublishesEvents, UserEventPublisher

log = structlog.stdlib.get_logger(__name__)

COOKIE_BYTES = 32
MAX_COOKIE_LENGTH = 128
MAX_ADDRESS_LENGTH = 64
MAX_USER_AGENT_LENGTH = 256
MAX_PAGE = 1000
MAX_OWN_SESSIONS = 1000

TOUCH_FRACTION = 10
"""An expiry slides after a tenth of the lifetime, so that not every request writes to the store."""

EXPIRE_BATCH = 100
EXPIRE_SECONDS = 1.0
"""Every node looks so often for sessions that have expired."""

SESSION_ENDED = "The session has ended"


class SessionService:
    """
    Opens, finds and ends sessions, and announces both.

    Args:
        node: Closes the sockets of a session that ended.
    """

    def __init__(
        self, store: Store, events: UserEventPublisher, node: PublishesEvents, settings: SessionSettings, clock: Clock
    ) -> None:
        self._store = store
        self._events = events
        self._node = node
        self._settings = settings
        self._clock = clock

    async def open(
        self, user: User, *, remember_me: bool = True, address: str = "", user_agent: str = ""
    ) -> tuple[Session, str]:
        """
        A new session of ``user``, and the value of its cookie. Sends Login.

        Raises:
            Unauthenticated: If the account was removed, or its password changed, since ``user`` was read.
            StoreUnavailable: If there may be a session, but nobody knows its cookie.
        """
        now = self._clock.now_ms()
        lifetime_ms = self._settings.lifetime_seconds * 1000
        cookie = secrets.token_urlsafe(COOKIE_BYTES)
        session = Session(
            id=secrets.token_hex(12),
            token_hash=hash_cookie(cookie),
            user_id=user.id,
            username=user.username,
            created_on=now,
            expires_at=now + lifetime_ms,
            lifetime_ms=lifetime_ms,
            is_persistent=remember_me and self._settings.persistent,
            address=address[:MAX_ADDRESS_LENGTH],
            user_agent=user_agent[:MAX_USER_AGENT_LENGTH],
        )
        await self._store.create_session(session)
        await self._refuse_if_changed(user, session)
        await self._store.record_login(user.id, session_id=session.id, at=now)
        await self._events.login(user.username)
        return session, cookie

    async def find(self, cookie: str) -> Session | None:
        """The live session of this cookie. Its expiry slides, once in a tenth of its lifetime at most."""
        if not cookie or len(cookie) > MAX_COOKIE_LENGTH:
            return None
        now = self._clock.now_ms()
        session = await self._store.find_session(hash_cookie(cookie), now=now)
        if session is None:
            return None
        touched_at = session.expires_at - session.lifetime_ms
        if (now - touched_at) * TOUCH_FRACTION <= session.lifetime_ms:
            return session
        expires_at = now + session.lifetime_ms
        if not await self._store.touch_session(session.id, expires_at=expires_at):
            return None
        return replace(session, expires_at=expires_at)

    async def get(self, session_id: str) -> Session | None:
        """The live session with this public id. Its expiry does not slide."""
        return await self._store.get_session(session_id, now=self._clock.now_ms())

    async def close(self, session_id: str) -> Session | None:
        """End one session, send Logout and close its sockets. :obj:`None` if it was gone; then nothing is sent."""
        session = await self._store.delete_session(session_id)
        if session is not None:
            await self._ended(session)
            await self._revoke(Revocation(session_id=session.id))
        return session

    async def close_all(self, user_id: str, *, announce: bool = True) -> int:
        """
        End all sessions of a user, and close all his sockets, those of his tokens too. Sends a Logout for each session.

        The sockets are closed even if the store is away.
        """
        try:
            sessions = await self._store.delete_sessions_of_user(user_id)
            for session in sessions:
                await self._ended(session, announce=announce)
        finally:
            await self._revoke(Revocation(user_id=user_id))
        return len(sessions)

    async def close_others(self, user_id: str, keep: str) -> int:
        """
        End all sessions of a user but the one with the public id ``keep``, and close their sockets. How many ended.

        Sockets of tokens that belong to no session stay.
        """
        count = 0
        while sessions := await self._others(user_id, keep):
            for session in sessions:
                count += await self.close(session.id) is not None
        return count

    async def list_of_user(self, user_id: str) -> Sequence[Session]:
        """The live sessions of a user, the newest first; no more than :data:`MAX_OWN_SESSIONS`."""
        return await self._store.list_sessions_of_user(user_id, now=self._clock.now_ms(), limit=MAX_OWN_SESSIONS)

    async def list(self, index: int = 0, limit: int = 20) -> Page[Session]:
        """The live sessions, oldest first; no more than :data:`MAX_PAGE`."""
        return await self._store.list_sessions(
            now=self._clock.now_ms(), index=max(index, 0), limit=min(max(limit, 0), MAX_PAGE)
        )

    async def expire(self) -> int:
        """Remove the sessions that have expired; Logout and closed sockets for each. How many this call removed."""
        count = 0
        while True:
            sessions = await self._store.take_expired_sessions(now=self._clock.now_ms(), limit=EXPIRE_BATCH)
            for session in sessions:
                await self._ended(session)
                await self._revoke(Revocation(session_id=session.id))
            count += len(sessions)
            if len(sessions) < EXPIRE_BATCH:
                return count

    async def _others(self, user_id: str, keep: str) -> Sequence[Session]:
        return [session for session in await self.list_of_user(user_id) if session.id != keep]

    async def _refuse_if_changed(self, user: User, session: Session) -> None:
        """
        Take ``session`` back if its account changed while the password was verified.

        A removal or a new password ends the sessions after it has changed the account, so one that is here before this
        look is ended by it, and one that comes later is ended here.
        """
        current = await self._store.get_user(user.id)
        if current is None or current.password_hash != user.password_hash:
            await self._store.delete_session(session.id)
            raise Unauthenticated(SESSION_ENDED)

    async def _ended(self, session: Session, *, announce: bool = True) -> None:
        """Record and announce the end of a session. It has ended already, so a backend that is away stops nothing."""
        try:
            await self._store.record_logout(session.user_id, session_id=session.id)
        except StoreUnavailable:
            log.warning("logout not recorded", session_id=session.id)
        log.info("logout", username=session.username, session_id=session.id)
        if announce:
            await self._events.logout(session.username)

    async def _revoke(self, revocation: Revocation) -> None:
        try:
            await self._node.revoke(revocation)
        except BackendError as error:
            log.warning("sockets not closed", reason=error.reason, session_id=revocation.session_id)


def hash_cookie(cookie: str) -> str:
    """What is stored of a cookie's value: its SHA-256 in lower-case hex."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
