"""The store as the rest of the server sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from users_server.backends.sqlite import apps, attempts, audit, idempotency, imports, keys, sessions, users
from users_server.backends.sqlite.content import SQLiteContent
from users_server.backends.sqlite.database import Database
from users_server.backends.sqlite.history import SQLiteHistory
from users_server.backends.sqlite.location import resolve
from users_server.backends.sqlite.outbox import BATCH, SQLiteOutbox
from users_server.core.accounts import KeyKind, OneTimeKey, Page, Session, User
from users_server.core.apps import App
from users_server.core.attempts import AttemptOutcome
from users_server.core.audit import AuditEntry, AuditQuery
from users_server.core.clock import Clock, SystemClock
from users_server.core.idempotency import KeptAnswer
from users_server.core.messages import JSON


class SQLiteStore(SQLiteContent, SQLiteOutbox):
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
        max_waiting: int = 4000,
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

    async def set_email(self, user_id: str, email: str, *, expected: str) -> bool:
        return await self._database.write(users.set_email, user_id, email, expected=expected)

    async def renew_register_key(self, user_id: str, register_key: str) -> bool:
        return await self._database.write(users.renew_register_key, user_id, register_key)

    async def set_password_tag(self, user_id: str, password_tag: str) -> bool:
        return await self._database.write(users.set_password_tag, user_id, password_tag)

    async def put_key(self, key: OneTimeKey) -> None:
        await self._database.write(keys.put, key)

    async def find_key(self, kind: KeyKind, user_id: str, *, now: int) -> OneTimeKey | None:
        return await self._database.read(keys.find, kind, user_id, now=now)

    async def take_key(self, key: OneTimeKey) -> bool:
        return await self._database.write(keys.take, key)

    async def delete_keys_of_user(self, user_id: str) -> None:
        await self._database.write(keys.delete_of_user, user_id)

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

    async def list_sessions_of_user(self, user_id: str, *, now: int, limit: int = 100) -> Sequence[Session]:
        return await self._database.read(sessions.of_user, user_id, now=now, limit=limit)

    async def take_expired_sessions(self, *, now: int, limit: int) -> Sequence[Session]:
        return await self._database.write(sessions.take_expired, now=now, limit=limit)

    async def begin_attempt(self, limits: Mapping[str, int], *, window_ms: int, now: int) -> int:
        return await self._database.write(attempts.begin, limits, window_ms=window_ms, now=now)

    async def end_attempt(self, outcomes: Mapping[str, AttemptOutcome], *, window_ms: int, now: int) -> None:
        await self._database.write(attempts.end, outcomes, window_ms=window_ms, now=now)

    async def trim_attempts(self, *, now: int, most: int) -> int:
        return await self._database.write(attempts.trim, now=now, most=most)

    async def add_audit_entries(self, entries: Sequence[AuditEntry]) -> None:
        await self._database.write(audit.add, entries)

    async def list_audit_entries(self, query: AuditQuery, *, index: int = 0, limit: int = 20) -> Page[AuditEntry]:
        return await self._database.read(audit.page, query, index=index, limit=limit)

    async def trim_audit_entries(self, *, before: int, most: int) -> int:
        return await self._database.write(audit.trim, before=before, most=most)

    async def erase_audit_traces(self, user_id: str, names: Sequence[str], *, pseudonym: str) -> int:
        return await self._database.write(audit.erase, user_id, names, pseudonym=pseudonym)

    async def create_app(self, app: App) -> None:
        await self._database.write(apps.create, app)

    async def get_app(self, app_id: str) -> App | None:
        return await self._database.read(apps.get, app_id)

    async def find_app_by_key(self, key: str) -> App | None:
        return await self._database.read(apps.find_by_key, key)

    async def list_apps(self, *, owner_id: str | None = None, index: int = 0, limit: int = 20) -> Page[App]:
        return await self._database.read(apps.page, owner_id=owner_id, index=index, limit=limit)

    async def replace_app(self, app: App) -> bool:
        return await self._database.write(apps.replace, app)

    async def delete_app(self, app_id: str) -> bool:
        return await self._database.write(apps.delete, app_id)

    async def get_import(self, name: str) -> dict[str, JSON] | None:
        return await self._database.read(imports.get, name)

    async def put_import(self, name: str, state: Mapping[str, JSON]) -> None:
        await self._database.write(imports.put, name, state)

    async def claim_idempotency_key(
        self, scope: str, key: str, *, fingerprint: str, now: int, abandoned_at: int, expires_at: int
    ) -> KeptAnswer | None:
        return await self._database.write(
            idempotency.claim,
            scope,
            key,
            fingerprint=fingerprint,
            now=now,
            abandoned_at=abandoned_at,
            expires_at=expires_at,
        )

    async def keep_answer(self, scope: str, key: str, *, answer: str) -> None:
        await self._database.write(idempotency.keep, scope, key, answer=answer)

    async def release_idempotency_key(self, scope: str, key: str) -> None:
        await self._database.write(idempotency.release, scope, key)

    async def trim_idempotency_keys(self, *, now: int, most: int) -> int:
        forgotten = 0
        while batch := await self._database.write(idempotency.trim, now=now, most=most, limit=BATCH):
            forgotten += batch
        return forgotten

    def history(self, clock: Clock | None = None) -> SQLiteHistory:
        return SQLiteHistory(self._database, clock or SystemClock())


def _read_schema(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
