"""The store as the rest of the server sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from users_server.backends.sqlite import sessions, users
from users_server.backends.sqlite.database import Database
from users_server.backends.sqlite.location import resolve
from users_server.core.accounts import Page, Session, User
from users_server.core.messages import JSON


class SQLiteStore:
    """
    A :class:`~users_server.core.interfaces.Store` in one SQLite file.

    Several processes may use the file at once, for instance the command line beside the server. A write has reached
    the disk when its method returns. Names are compared by :meth:`str.casefold`.

    Args:
        location: A path, or a URL as in :func:`~users_server.backends.sqlite.location.parse_sqlite_url`. The file is
            made, readable by its owner only; its directory must exist.
        readers: How many threads read at once.
        max_waiting: How many reads, and how many writes, may wait; more raise :class:`StoreUnavailable`.
        max_batch: How many writes share one transaction at most.
        busy_timeout_seconds: How long another process may hold the file before :class:`StoreUnavailable`.

    Raises:
        ValueError: If ``location`` begins as a URL and is none.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        readers: int = 2,
        max_waiting: int = 1000,
        max_batch: int = 250,
        busy_timeout_seconds: float = 5.0,
    ) -> None:
        self._database = Database(
            resolve(location),
            readers=readers,
            max_waiting=max_waiting,
            max_batch=max_batch,
            busy_timeout_seconds=busy_timeout_seconds,
        )

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def check(self) -> None:
        # As a write: it finds a file that can be read only, a lock that stays, and a writer that is stuck.
        await self._database.write(_read_schema)

    async def create_user(self, user: User) -> None:
        await self._database.write(users.create, user)

    async def find_user(self, name: str) -> User | None:
        return await self._database.read(users.find, name)

    async def get_user(self, user_id: str) -> User | None:
        return await self._database.read(users.get, user_id)

    async def list_users(
        self, *, search: str = "", search_emails: bool = True, index: int = 0, limit: int = 20
    ) -> Page[User]:
        return await self._database.read(
            users.page, search=search, search_emails=search_emails, index=index, limit=limit
        )

    async def count_users(self) -> int:
        return await self._database.read(users.count)

    async def delete_user(self, user_id: str) -> bool:
        return await self._database.write(users.delete, user_id)

    async def set_password_hash(self, user_id: str, password_hash: str, *, expected: str | None = None) -> bool:
        return await self._database.write(users.set_password_hash, user_id, password_hash, expected=expected)

    async def activate_user(self, user_id: str) -> bool:
        return await self._database.write(users.activate, user_id)

    async def record_login(self, user_id: str, *, session_id: str, at: int) -> None:
        await self._database.write(users.record_login, user_id, session_id=session_id, at=at)

    async def record_logout(self, user_id: str, *, session_id: str) -> None:
        await self._database.write(users.record_logout, user_id, session_id=session_id)

    async def replace_meta(self, user_id: str, meta: dict[str, JSON], *, expected_version: int) -> bool:
        return await self._database.write(users.replace_meta, user_id, meta, expected_version=expected_version)

    async def create_session(self, session: Session) -> None:
        await self._database.write(sessions.create, session)

    async def find_session(self, token_hash: str, *, now: int) -> Session | None:
        return await self._database.read(sessions.find, token_hash, now=now)

    async def get_session(self, session_id: str, *, now: int) -> Session | None:
        return await self._database.read(sessions.get, session_id, now=now)

    async def touch_session(self, session_id: str, *, expires_at: int) -> bool:
        return await self._database.write(sessions.touch, session_id, expires_at=expires_at)

    async def delete_session(self, session_id: str) -> Session | None:
        return await self._database.write(sessions.delete, session_id)

    async def delete_sessions_of_user(self, user_id: str) -> Sequence[Session]:
        return await self._database.write(sessions.delete_of_user, user_id)

    async def list_sessions(self, *, now: int, index: int = 0, limit: int = 20) -> Page[Session]:
        return await self._database.read(sessions.page, now=now, index=index, limit=limit)

    async def take_expired_sessions(self, *, now: int, limit: int) -> Sequence[Session]:
        return await self._database.write(sessions.take_expired, now=now, limit=limit)


def _read_schema(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
