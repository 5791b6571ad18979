"""What a user does with his own logins: see them, end one, end all."""

from __future__ import annotations

from collections.abc import Sequence

from users_server.core.accounts import Session
from users_server.core.messages import Identity
from users_server.errors import NotFound
from users_server.services import permissions
from users_server.services.audit import Action, RecordsAudit
from users_server.services.sessions import SessionService
from users_server.services.users import UserService


class OwnSessionService:
    """For the user himself and for admins. ``name`` is a username or an email; refusals as :meth:`UserService.get`."""

    def __init__(self, users: UserService, sessions: SessionService, audit: RecordsAudit) -> None:
        self._users = users
        self._sessions = sessions
        self._audit = audit

    async def list(self, by: Identity, name: str) -> Sequence[Session]:
        """The live sessions of a user, the newest first."""
        user = await self._users.get(by, name)
        return await self._sessions.list_of_user(user.id)

    async def revoke(self, by: Identity, name: str, session_id: str) -> None:
        """
        End one session of a user: Logout is sent, its sockets are closed.

        Raises:
            NotFound: If it is gone, or another user's.
        """
        user = await self._users.get(by, name)
        session = await self._sessions.get(session_id)
        is_his = session is not None and session.user_id == user.id
        if not is_his or await self._sessions.close(session_id) is None:
            raise NotFound(f"Session '{session_id}' does not exist")
        self._audit.record(Action.SESSION_REVOKED, user=user, by=by, details={"session": session_id})

    async def log_out_everywhere(self, by: Identity, name: str | None = None, *, keeps_current: bool = False) -> int:
        """
        End all sessions of a user, of ``by`` himself without a name; how many.

        All his sockets are closed too. With ``keeps_current``, the session that ``by`` rests on stays, and so do its
        sockets.
        """
        permissions.require_login(by)
        user = await self._users.get(by, name or by.username or "")
        if keeps_current and by.session_id is not None and permissions.is_owner(by, user):
            count = await self._sessions.close_others(user.id, by.session_id)
        else:
            count = await self._sessions.close_all(user.id)
        self._audit.record(Action.LOGGED_OUT_EVERYWHERE, user=user, by=by, details={"sessions": count})
        return count
