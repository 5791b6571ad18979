"""The services of one node over a real store in a temporary file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.unit.services.doubles import CountingPasswords, ManualClock, RecordingNode
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import Privilege, User
from users_server.core.messages import Identity
from users_server.services.account_observers import AccountObservers
from users_server.services.audit import AuditLog
from users_server.services.passwords import Argon2Costs
from users_server.services.sessions import SessionService
from users_server.services.settings import AuditSettings, LoginLimits, PasswordSettings, SessionSettings
from users_server.services.throttle import LoginThrottle
from users_server.services.user_events import UserEventPublisher
from users_server.services.users import UserService

CHEAP = Argon2Costs(time_cost=1, memory_kibibytes=8, parallelism=1)
LIFETIME_SECONDS = 1000
MAX_META_BYTES = 1000
PASSWORD = "correct horse"

SUPER = Identity("0" * 24, "root", Privilege.SUPER_ADMIN)
ADMIN = Identity("1" * 24, "boss", Privilege.ADMIN)
SERVICE = Identity(username="mailer", is_trusted=True)


def identity_of(user: User) -> Identity:
    return Identity(user.id, user.username, user.privileges)


@dataclass
class Services:
    """The services of one node."""

    store: Any
    node: RecordingNode
    clock: ManualClock
    passwords: CountingPasswords
    sessions: SessionService
    throttle: LoginThrottle
    users: UserService
    audit: AuditLog

    @classmethod
    def build(
        cls,
        store: Any,
        node: RecordingNode,
        clock: ManualClock,
        passwords: CountingPasswords,
        limits: LoginLimits | None = None,
    ) -> Services:
        events = UserEventPublisher(node)
        sessions = SessionService(store, events, node, SessionSettings(lifetime_seconds=LIFETIME_SECONDS), clock)
        throttle = LoginThrottle(store, limits or LoginLimits(), clock)
        audit = AuditLog(store, AuditSettings(), clock)
        observers = AccountObservers()
        observers.add(audit)
        users = UserService(
            store,
            passwords,
            sessions,
            events,
            throttle,
            clock,
            max_meta_bytes=MAX_META_BYTES,
            observers=observers,
            audit=audit,
        )
        return cls(store, node, clock, passwords, sessions, throttle, users, audit)

    def rebuilt(self, store: Any = None, limits: LoginLimits | None = None) -> Services:
        """Another node, with a store or limits of its own; who listens is the same."""
        return self.build(store or self.store, self.node, self.clock, self.passwords, limits)

    async def add_user(self, username: str = "bob", *, is_active: bool = True, **changes: Any) -> User:
        """An account as a registration or an admin has left it."""
        user = User(
            id=username.encode().hex().ljust(24, "0")[:24],
            username=username,
            email=f"{username}@example.com",
            password_hash=await self.passwords.hash(PASSWORD),
            privileges=Privilege.REGULAR,
            created_on=self.clock.now_ms(),
            register_key="" if is_active else "key",
        )
        user = replace(user, **changes)
        await self.store.create_user(user)
        return user


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def node() -> RecordingNode:
    return RecordingNode()


@pytest.fixture
def store(io_loop: IOLoop, tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "users.db")
    io_loop.run_sync(store.open)
    yield store
    io_loop.run_sync(store.close)


@pytest.fixture
def passwords(io_loop: IOLoop) -> Iterator[CountingPasswords]:
    passwords = CountingPasswords(PasswordSettings(), costs=CHEAP)
    yield passwords
    io_loop.run_sync(passwords.close)


@pytest.fixture
def services(store: SQLiteStore, node: RecordingNode, clock: ManualClock, passwords: CountingPasswords) -> Services:
    return Services.build(store, node, clock, passwords)
