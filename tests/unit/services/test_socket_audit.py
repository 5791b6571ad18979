"""After an interruption: who is connected and may not be any more is closed, nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.memory_node import memory_node
from tests.unit.services.doubles import ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import Session, User
from users_server.core.connection import Connection
from users_server.core.messages import ANONYMOUS, Identity
from users_server.core.node import Node
from users_server.errors import Disconnect, StoreUnavailable
from users_server.services.socket_audit import SocketAudit

ANN, BOB, EVE = ("a" * 24, "ann"), ("b" * 24, "bob"), ("e" * 24, "eve")

pytestmark = pytest.mark.gen_test


class AwayAtFirst:
    """A store that is away for its first questions, and counts all."""

    def __init__(self, store: SQLiteStore, failures: int) -> None:
        self._store = store
        self.failures = failures
        self.questions = 0

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.questions += 1
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable
            return await original(*args, **kwargs)

        return call


class Scene:
    """A node, a store, and what was closed."""

    def __init__(self, node: Node, store: AwayAtFirst, clock: ManualClock) -> None:
        self.node = node
        self.store = store
        self.closed: list[str] = []
        self.audit = SocketAudit(node, store, clock, first_pause_seconds=0.001)  # type: ignore[arg-type]

    def connect(self, connection_id: str, identity: Identity) -> None:
        def closed(connection: Connection, reason: Disconnect) -> None:
            assert reason.reason == "session_expired"
            self.closed.append(connection.id)

        transport: Any = object()
        self.node.connect(Connection(connection_id, identity, transport, transport, closed))

    async def run(self) -> list[str]:
        self.audit.request()
        await self.audit.finished()
        return sorted(self.closed)


@asynccontextmanager
async def scene(directory: Path, *, failures: int = 0) -> AsyncIterator[Scene]:
    clock = ManualClock()
    store = SQLiteStore(f"sqlite:///{directory / 'users.db'}")
    await store.open()
    node = memory_node(lambda flush: None, clock)
    await node.start()
    for user_id, name in (ANN, EVE):
        register_key = "waits" if name == "eve" else ""
        await store.create_user(User(user_id, name, f"{name}@x", "", 3, created_on=0, register_key=register_key))
    for name, expires_at in (("live", 60_000), ("expired", -1)):
        now = clock.now_ms()
        await store.create_session(Session(name, name, *ANN, now, now + expires_at, 60_000, True))
    made = Scene(node, AwayAtFirst(store, failures), clock)
    await made.audit.start()
    yield made
    await made.audit.stop()
    await node.stop()
    await store.close()


async def test_who_may_stay_and_who_may_not(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for connection_id, identity in {
            "anonymous": ANONYMOUS,
            "service": Identity(username="mailer", is_trusted=True),
            "token of ann": Identity(*ANN),
            "login of ann": Identity(*ANN, session_id="live"),
            "expired login": Identity(*ANN, session_id="expired"),
            "unknown login": Identity(*ANN, session_id="gone"),
            "removed account": Identity(*BOB),
            "account that is not active": Identity(*EVE),
        }.items():
            here.connect(connection_id, identity)
        assert await here.run() == ["account that is not active", "expired login", "removed account", "unknown login"]


async def test_one_question_for_each_login_and_account(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for number in range(50):
            here.connect(f"c{number}", Identity(*ANN, session_id="live"))
        assert await here.run() == []
        assert here.store.questions == 2


async def test_while_the_store_is_away_nobody_is_closed_for_it(tmp_path: Path) -> None:
    async with scene(tmp_path, failures=3) as here:
        here.connect("ann", Identity(*ANN))
        here.connect("bob", Identity(*BOB))
        assert await here.run() == ["bob"]


async def test_it_can_be_asked_again_and_stopped_at_any_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert await here.run() == []
        here.connect("bob", Identity(*BOB))
        here.audit.request()
        assert await here.run() == ["bob"]
        here.audit.request()
        await here.audit.stop()
        await here.audit.stop()
