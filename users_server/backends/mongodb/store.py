"""The store as the rest of the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from users_server.backends.mongodb import sessions, users
from users_server.backends.mongodb.client import Client, Database
from users_server.backends.mongodb.location import parse_mongodb_url
from users_server.backends.mongodb.migrations import migrate
from users_server.core.accounts import Page, Session, User
from users_server.core.messages import JSON


class MongoStore:
    """
    A :class:`~users_server.core.interfaces.Store` on a server that speaks MongoDB's protocol.

    Writes are acknowledged by a majority, and reads come from the primary, whatever the URL says; its other options are
    the driver's. A server that is away, or hangs, is a :class:`StoreUnavailable` within seconds, and is used again when
    it is back. A page's items and its count are two questions, between which the database may change.

    Args:
        url: As :func:`~users_server.backends.mongodb.location.parse_mongodb_url` takes it; its path names the database.
        max_connections: How many operations run at once.
        max_waiting: How many may wait beside them; more raise :class:`StoreUnavailable`.

    Raises:
        ValueError: If ``url`` is none; the message does not hold the password.
    """

    def __init__(self, url: str, *, max_connections: int = 10, max_waiting: int = 1000) -> None:
        self._client = Client(parse_mongodb_url(url), max_connections=max_connections, max_waiting=max_waiting)
        self._unreported: list[Session] = []

    async def open(self) -> None:
        await self._client.open(migrate)

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        await self._client.run(_ping)

    async def create_user(self, user: User) -> None:
        await self._client.run(users.create, user)

    async def find_user(self, name: str) -> User | None:
        return await self._client.run(users.find, name)

    async def get_user(self, user_id: str) -> User | None:
        return await self._client.run(users.get, user_id)

    async def list_users(
        self, *, search: str = "", search_emails: bool = True, index: int = 0, limit: int = 20
    ) -> Page[User]:
        return await self._client.run(users.page, search=search, search_emails=search_emails, index=index, limit=limit)

    async def count_users(self) -> int:
        return await self._client.run(users.count)

    async def delete_user(self, user_id: str) -> bool:
        return await self._client.run_in_turn(user_id, users.delete, user_id)

    async def set_password_hash(self, user_id: str, password_hash: str, *, expected: str | None = None) -> bool:
        return await self._client.run_in_turn(
            user_id, users.set_password_hash, user_id, password_hash, expected=expected
        )

    async def activate_user(self, user_id: str) -> bool:
        return await self._client.run_in_turn(user_id, users.activate, user_id)

    async def record_login(self, user_id: str, *, session_id: str, at: int) -> None:
        await self._client.run_in_turn(user_id, users.record_login, user_id, session_id=session_id, at=at)

    async def record_logout(self, user_id: str, *, session_id: str) -> None:
        await self._client.run_in_turn(user_id, users.record_logout, user_id, session_id=session_id)

    async def replace_meta(self, user_id: str, meta: dict[str, JSON], *, expected_version: int) -> bool:
        return await self._client.run_in_turn(
            user_id, users.replace_meta, user_id, meta, expected_version=expected_version
        )

    async def create_session(self, session: Session) -> None:
        await self._client.run(sessions.create, session)

    async def find_session(self, token_hash: str, *, now: int) -> Session | None:
        return await self._client.run(sessions.find, token_hash, now=now)

    async def get_session(self, session_id: str, *, now: int) -> Session | None:
        return await self._client.run(sessions.get, session_id, now=now)

    async def touch_session(self, session_id: str, *, expires_at: int) -> bool:
        return await self._client.run_in_turn(session_id, sessions.touch, session_id, expires_at=expires_at)

    async def delete_session(self, session_id: str) -> Session | None:
        return await self._client.run_in_turn(session_id, sessions.delete, session_id)

    async def delete_sessions_of_user(self, user_id: str) -> Sequence[Session]:
        return await self._take(await self._client.run(sessions.of_user, user_id))

    async def list_sessions(self, *, now: int, index: int = 0, limit: int = 20) -> Page[Session]:
        return await self._client.run(sessions.page, now=now, index=index, limit=limit)

    async def take_expired_sessions(self, *, now: int, limit: int) -> Sequence[Session]:
        if self._unreported:
            most = max(limit, 0)
            taken, self._unreported = self._unreported[:most], self._unreported[most:]
            return taken
        return await self._take(await self._client.run(sessions.expired, now=now, limit=limit), expired_at=now)

    async def _take(self, found: Sequence[Session], *, expired_at: int | None = None) -> Sequence[Session]:
        """
        Remove ``found``, and return those that no other caller removed before.

        If the server goes away, or the caller, in the middle of it, the ones that are removed already are kept for the
        next :meth:`take_expired_sessions`: somebody must hear of each.
        """
        taken: list[Session] = []
        try:
            for session in found:
                is_ours = await self._client.run_in_turn(session.id, sessions.remove, session.id, expired_at=expired_at)
                if is_ours:
                    taken.append(session)
        except BaseException:
            self._unreported.extend(taken)
            raise
        return taken


async def _ping(database: Database) -> None:
    await database.command("ping")
