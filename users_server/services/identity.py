"""Who a client is: from its cookie, its token and the API key of services (users-socket-api.md, Connecting)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from users_server.core.accounts import User
from users_server.core.interfaces import UserStore
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import Unauthenticated
from users_server.services.sessions import SESSION_ENDED, SessionService
from users_server.services.tokens import EMIT_SCOPE, INVALID, LEEWAY_SECONDS, TokenClaims, TokenService
from users_server.services.validation import is_username


class IdentityService:
    """
    Turns credentials into an :class:`Identity`; the same for HTTP and for every socket protocol.

    Args:
        api_key: What internal services present; empty: nobody can.
    """

    def __init__(self, users: UserStore, sessions: SessionService, tokens: TokenService, api_key: str) -> None:
        self._users = users
        self._sessions = sessions
        self._tokens = tokens
        self._api_key_digest = _digest(api_key) if api_key else None

    async def identify(self, *, cookie: str | None, token: str | None, api_key: str | None) -> Identity:
        """
        Who presents these credentials; with none of them, an anonymous client.

        A token goes before a cookie. A cookie that is unknown or has expired, and an API key that is wrong, are as good
        as none; a token that is not valid is refused. A right API key makes the identity a trusted one, also beside a
        token or a cookie.

        Raises:
            Unauthenticated: For a token that is not valid, or no longer, whatever else was presented.
        """
        if token is not None:
            identity = await self._of_token(token)
        elif cookie:
            identity = await self._of_cookie(cookie)
        else:
            identity = ANONYMOUS
        return replace(identity, is_trusted=True) if self.is_api_key(api_key) else identity

    def is_api_key(self, api_key: str | None) -> bool:
        """Whether this is the key of internal services, compared in constant time."""
        if self._api_key_digest is None or not api_key:
            return False
        return hmac.compare_digest(_digest(api_key), self._api_key_digest)

    async def _of_cookie(self, cookie: str) -> Identity:
        session = await self._sessions.find(cookie)
        if session is None:
            return ANONYMOUS
        user = await self._users.get_user(session.user_id)
        if user is None or not user.is_active:
            return ANONYMOUS
        return Identity(user.id, user.username, user.privileges, session_id=session.id)

    async def _of_token(self, token: str) -> Identity:
        claims = self._tokens.verify(token)
        user = await self._account(claims)
        await self._check_session(claims, user)
        is_trusted = EMIT_SCOPE in claims.scopes
        if user is None:
            if not claims.scopes:
                raise Unauthenticated(INVALID)
            return Identity(
                username=claims.subject,
                session_id=claims.session_id,
                scopes=claims.scopes,
                is_trusted=is_trusted,
                expires_at=claims.expires_at,
            )
        if not user.is_active:
            raise Unauthenticated(INVALID)
        return Identity(
            user.id,
            user.username,
            user.privileges,
            session_id=claims.session_id,
            scopes=claims.scopes,
            is_trusted=is_trusted,
            expires_at=claims.expires_at,
        )

    async def _account(self, claims: TokenClaims) -> User | None:
        """
        The account that the token was issued for; :obj:`None` for a service.

        A token that is older than the account was issued for another one, which had the name before.
        """
        if not is_username(claims.subject):
            return None
        user = await self._users.find_user(claims.subject)
        if user is None or claims.issued_at is None:
            return user
        return user if user.created_on / 1000 <= claims.issued_at + LEEWAY_SECONDS else None

    async def _check_session(self, claims: TokenClaims, user: User | None) -> None:
        """A token that names a login ends with it."""
        if claims.session_id is None:
            return
        session = await self._sessions.get(claims.session_id)
        if session is None or (user is not None and session.user_id != user.id):
            raise Unauthenticated(SESSION_ENDED)


def _digest(api_key: str) -> bytes:
    """Of one length for every key, so that the time of a comparison does not tell the length either."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).digest()
