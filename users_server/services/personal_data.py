"""
What the server holds of a person, as one document.

Whoever keeps something for accounts adds a :class:`PersonalDataSource`, and an
:class:`~users_server.services.account_observers.AccountObserver` that erases it with the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from users_server.core.accounts import Session, User
from users_server.core.audit import AuditEntry, AuditQuery
from users_server.core.clock import Clock
from users_server.core.messages import JSON, Identity
from users_server.services.audit import MAX_PAGE, Action, AuditLog
from users_server.services.sessions import SessionService
from users_server.services.users import UserService

MAX_AUDIT_ENTRIES = 10_000
"""The newest ones; the export says how many there are in all."""


class PersonalDataSource(Protocol):
    """A part of the export."""

    @property
    def part(self) -> str:
        """Its key in the export, in camelCase."""

    async def export(self, user: User) -> JSON:
        """
        All that is kept for ``user``, without secrets: no hash, key or token.

        May raise a :class:`BackendError`; then there is no export, rather than one with a hole.
        """


class PersonalDataService:
    """Puts the export together."""

    def __init__(self, users: UserService, sessions: SessionService, audit: AuditLog, clock: Clock) -> None:
        self._users = users
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self._sources: list[PersonalDataSource] = []

    def add(self, source: PersonalDataSource) -> None:
        """Let ``source`` contribute from now on."""
        self._sources.append(source)

    async def export(self, by: Identity, name: str) -> tuple[User, dict[str, JSON]]:
        """
        Everything that is held of a user; for himself and admins. It is recorded in the audit log.

        Raises:
            Unauthenticated, PermissionDenied, InvalidValue, NotFound: As :meth:`UserService.get` does.
            BackendError: If a part of it cannot be read.
        """
        user = await self._users.get(by, name)
        document: dict[str, JSON] = {
            "exportedOn": self._clock.now_ms(),
            "account": _account(user),
            "meta": user.meta,
            "sessions": [_session(session) for session in await self._sessions.list_of_user(user.id)],
            "audit": await self._audit_of(user),
        }
        for source in self._sources:
            document[source.part] = await source.export(user)
        self._audit.record(Action.DATA_EXPORTED, user=user, by=by)
        return user, document

    async def _audit_of(self, user: User) -> dict[str, JSON]:
        query = AuditQuery(user_id=user.id, name=user.username)
        entries: list[JSON] = []
        while len(entries) < MAX_AUDIT_ENTRIES:
            page = await self._audit.list(query, index=len(entries), limit=MAX_PAGE)
            entries += [_audit_entry(entry, user) for entry in page.items]
            if len(page.items) < MAX_PAGE:
                break
        return {"count": page.count, "entries": entries}


def _account(user: User) -> Mapping[str, JSON]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "privileges": user.privileges,
        "createdOn": user.created_on,
        "lastLoggedIn": user.last_logged_in,
        "isActive": user.is_active,
    }


def _session(session: Session) -> Mapping[str, JSON]:
    return {
        "sessionId": session.id,
        "createdOn": session.created_on,
        "lastUsed": session.last_used,
        "expiration": session.expires_at,
        "address": session.address,
        "userAgent": session.user_agent,
    }


def _audit_entry(entry: AuditEntry, user: User) -> Mapping[str, JSON]:
    """Where somebody else did it, such as an admin, his address is not the user's to know."""
    is_own = not entry.by_id or entry.by_id == user.id
    return {
        "at": entry.at,
        "action": entry.action,
        "username": entry.username,
        "by": entry.by_name,
        "address": entry.address if is_own else "",
        "userAgent": entry.user_agent if is_own else "",
        "details": dict(entry.details),
    }
