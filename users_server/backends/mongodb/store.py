"""The store as the rest of the server sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from users_server.backends.mongodb import apps, attempts, audit, idempotency, imports, keys, sessions, users
from users_server.backends.mongodb.client import Client, Database
from users_server.backends.mongodb.content import MongoContent
from users_server.backends.mongodb.history import MongoHistory
from users_server.backends.mongodb.location import parse_mongodb_url
from users_server.backends.mongodb.migrations import migrate
from users_server.backends.mongodb.outbox import MongoOutbox
from users_server.backends.mongodb.outbox_records import BATCH
from users_server.core.accounts import KeyKind, OneTimeKey, Page, Session, User
from users_server.core.apps import App
from users_server.core.attempts import AttemptOutcome
from users_server.core.audit import AuditEntry, AuditQuery
from users_server.core.clock import Clock, SystemClock
from users_server.core.idempotency import KeptAnswer
from users_server.core.messages import JSON


class MongoStore(MongoContent, MongoOutbox):
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
        return await self._client.run(
            users.page,
            search=search,
            search_emails=search_emails,
            index=index,
            limit=limit,
        )

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

    async def set_email(self, user_id: str, email: str, *, expected: str) -> bool:
        return await self._client.run_in_turn(user_id, users.set_email, user_id, email, expected=expected)

    async def renew_register_key(self, user_id: str, register_key: str) -> bool:
        return await self._client.run_in_turn(user_id, users.renew_register_key, user_id, register_key)

    async def set_password_tag(self, user_id: str, password_tag: str) -> bool:
        return await self._client.run_in_turn(user_id, users.set_password_tag, user_id, password_tag)

    async def put_key(self, key: OneTimeKey) -> None:
        await self._client.run_in_turn(keys.key_id(key.kind, key.user_id), keys.put, key)

    async def find_key(self, kind: KeyKind, user_id: str, *, now: int) -> OneTimeKey | None:
        return await self._client.run(keys.find, kind, user_id, now=now)

    async def take_key(self, key: OneTimeKey) -> bool:
        return await self._client.run_in_turn(keys.key_id(key.kind, key.user_id), keys.take, key)

    async def delete_keys_of_user(self, user_id: str) -> None:
        await self._client.run(keys.delete_of_user, user_id)

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

    async def list_sessions_of_user(self, user_id: str, *, now: int, limit: int = 100) -> Sequence[Session]:
        return await self._client.run(sessions.alive_of_user, user_id, now=now, limit=limit)

    async def take_expired_sessions(self, *, now: int, limit: int) -> Sequence[Session]:
        if self._unreported:
            most = max(limit, 0)
            taken, self._unreported = self._unreported[:most], self._unreported[most:]
            return taken
        return await self._take(await self._client.run(sessions.expired, now=now, limit=limit), expired_at=now)

    async def begin_attempt(self, limits: Mapping[str, int], *, window_ms: int, now: int) -> int:
        begun: dict[str, AttemptOutcome] = {}
        wait = 0
        try:
            for key, limit in limits.items():
                wait = await self._client.run_in_turn(
                    key,
                    attempts.begin,
                    key,
                    limit,
                    window_ms=window_ms,
                    now=now,
                )
                if wait:
                    break
                begun[key] = AttemptOutcome.RELEASED
        finally:
            if len(begun) < len(limits):
                await self.end_attempt(begun, window_ms=window_ms, now=now)
        return wait

    async def end_attempt(self, outcomes: Mapping[str, AttemptOutcome], *, window_ms: int, now: int) -> None:
        for key, outcome in outcomes.items():
            await self._client.run_in_turn(key, attempts.end, key, outcome, window_ms=window_ms, now=now)

    async def trim_attempts(self, *, now: int, most: int) -> int:
        return await self._client.run(attempts.trim, now=now, most=most)

    async def add_audit_entries(self, entries: Sequence[AuditEntry]) -> None:
        await self._client.run(audit.add, entries)

    async def list_audit_entries(self, query: AuditQuery, *, index: int = 0, limit: int = 20) -> Page[AuditEntry]:
        return await self._client.run(audit.page, query, index=index, limit=limit)

    async def trim_audit_entries(self, *, before: int, most: int) -> int:
        return await self._client.run(audit.trim, before=before, most=most)

    async def erase_audit_traces(self, user_id: str, names: Sequence[str], *, pseudonym: str) -> int:
        return await self._client.run(audit.erase, user_id, names, pseudonym=pseudonym)

    async def create_app(self, app: App) -> None:
        await self._client.run_in_turn(app.id, apps.create, app)

    async def get_app(self, app_id: str) -> App | None:
        return await self._client.run(apps.get, app_id)

    async def find_app_by_key(self, key: str) -> App | None:
        return await self._client.run(apps.find_by_key, key)

    async def list_apps(self, *, owner_id: str | None = None, index: int = 0, limit: int = 20) -> Page[App]:
        return await self._client.run(apps.page, owner_id=owner_id, index=index, limit=limit)

    async def replace_app(self, app: App) -> bool:
        return await self._client.run_in_turn(app.id, apps.replace, app)

    async def delete_app(self, app_id: str) -> bool:
        return await self._client.run_in_turn(app_id, apps.delete, app_id)

    async def get_import(self, name: str) -> dict[str, JSON] | None:
        return await self._client.run(imports.get, name)

    async def put_import(self, name: str, state: Mapping[str, JSON]) -> None:
        await self._client.run_in_turn(f"import:{name}", imports.put, name, state)

    async def claim_idempotency_key(
        self, scope: str, key: str, *, fingerprint: str, now: int, abandoned_at: int, expires_at: int
    ) -> KeptAnswer | None:
        return await self._client.run_in_turn(
            f"request:{idempotency.key_id(scope, key)}",
            idempotency.claim,
            scope,
            key,
            fingerprint=fingerprint,
            now=now,
            abandoned_at=abandoned_at,
            expires_at=expires_at,
        )

    async def keep_answer(self, scope: str, key: str, *, answer: str) -> None:
        turn = f"request:{idempotency.key_id(scope, key)}"
        await self._client.run_in_turn(turn, idempotency.keep, scope, key, answer=answer)

    async def release_idempotency_key(self, scope: str, key: str) -> None:
        turn = f"request:{idempotency.key_id(scope, key)}"
        await self._client.run_in_turn(turn, idempotency.release, scope, key)

    async def trim_idempotency_keys(self, *, now: int, most: int) -> int:
        forgotten = 0
        while batch := await self._client.run(idempotency.trim, now=now, most=most, limit=BATCH):
            forgotten += batch
        return forgotten

    def history(self, clock: Clock | None = None) -> MongoHistory:
        return MongoHistory(self._client, clock or SystemClock())

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
