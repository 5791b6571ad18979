from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.services.conftest import ADMIN, PASSWORD, Services, identity_of
from tests.unit.services.doubles import ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.core.audit import AuditEntry, AuditQuery
from users_server.core.messages import Identity
from users_server.errors import LimitExceeded, StoreUnavailable, Unauthenticated
from users_server.services.audit import Action, AuditLog
from users_server.services.settings import AuditSettings, LoginLimits

pytestmark = pytest.mark.gen_test

STRANGER = Identity(address="192.0.2.1", user_agent="browser")


async def actions(audit: AuditLog, **query: Any) -> list[tuple[str, str, str]]:
    page = await audit.list(AuditQuery(**query), limit=1000)
    return [(entry.action, entry.username, entry.by_name) for entry in reversed(page.items)]


class FailingStore:
    """Takes entries while it is not away; remembers how they came."""

    def __init__(self) -> None:
        self.is_away = False
        self.batches: list[list[AuditEntry]] = []
        self.changed = asyncio.Event()

    async def add_audit_entries(self, entries: Sequence[AuditEntry]) -> None:
        self.changed.set()
        if self.is_away:
            raise StoreUnavailable
        self.batches.append(list(entries))

    @property
    def names(self) -> list[str]:
        return [entry.username for batch in self.batches for entry in batch]


def log_of(store: FailingStore, clock: ManualClock, **settings: Any) -> AuditLog:
    return AuditLog(store, AuditSettings(**{"flush_seconds": 0.01, **settings}), clock)  # type: ignore[arg-type]


async def test_entries_are_written_together_without_anybody_waiting(clock: ManualClock) -> None:
    store = FailingStore()
    audit = log_of(store, clock)
    await audit.start()
    for number in range(1200):
        audit.record(Action.LOGIN_FAILED, name=f"user{number}", by=STRANGER)
    assert store.batches == []
    async with asyncio.timeout(5):
        while len(store.names) < 1200:
            store.changed.clear()
            await store.changed.wait()
    assert store.names == [f"user{number}" for number in range(1200)]
    assert [len(batch) for batch in store.batches] == [500, 500, 200]
    await audit.stop()


async def test_what_was_accepted_is_written_before_the_end(clock: ManualClock) -> None:
    store = FailingStore()
    audit = log_of(store, clock, flush_seconds=60)
    await audit.start()
    audit.record(Action.LOGIN, name="bob")
    await audit.stop()
    assert store.names == ["bob"]
    audit.record(Action.LOGOUT, name="bob")
    await audit.stop()
    assert store.names == ["bob", "bob"]


async def test_entries_outlive_an_outage_in_order(clock: ManualClock) -> None:
    store = FailingStore()
    store.is_away = True
    audit = log_of(store, clock)
    await audit.start()
    with capture_logs() as logs:
        audit.record(Action.LOGIN, name="first")
        for _ in range(3):
            async with asyncio.timeout(5):
                store.changed.clear()
                await store.changed.wait()
        audit.record(Action.LOGIN, name="second")
        store.is_away = False
        await audit.stop()
    assert store.names == ["first", "second"]
    assert [entry["event"] for entry in logs] == ["the audit log waits for the store"]


async def test_too_many_that_wait_are_dropped_and_told(clock: ManualClock) -> None:
    store = FailingStore()
    audit = log_of(store, clock, max_waiting=3)
    with capture_logs() as logs:
        for number in range(10):
            audit.record(Action.LOGIN, name=f"user{number}")
        await audit.flush()
    assert store.names == ["user0", "user1", "user2"]
    assert [(entry["log_level"], entry.get("entries")) for entry in logs] == [("error", None), ("warning", 7)]


async def test_what_cannot_be_written_at_the_end_is_told(clock: ManualClock) -> None:
    store = FailingStore()
    store.is_away = True
    audit = log_of(store, clock)
    audit.record(Action.LOGIN, name="bob")
    with capture_logs() as logs:
        await audit.stop()
    assert [(entry["log_level"], entry["entries"]) for entry in logs] == [("error", 1)]


async def test_what_a_stranger_sends_is_bounded_and_printable(clock: ManualClock, store: SQLiteStore) -> None:
    audit = AuditLog(store, AuditSettings(), clock)
    by = Identity(address="x" * 1000, user_agent="\n" * 1000)
    audit.record(Action.LOGIN_FAILED, name="\x00\ud800" * 1000, by=by, details={"reason": "y" * 1000})
    (entry,) = (await audit.list(AuditQuery())).items
    assert max(len(entry.username), len(entry.address)) <= 64
    assert len(entry.user_agent) <= 256
    assert len(entry.details["reason"]) <= 256
    assert entry.username.isprintable()
    assert entry.user_agent.isprintable()


async def test_retention(clock: ManualClock, store: SQLiteStore) -> None:
    audit = AuditLog(store, AuditSettings(retention_seconds=60, max_entries=2), clock)
    for name in ("a", "b", "c", "d"):
        audit.record(Action.LOGIN, name=name)
        clock.advance(1)
    await audit.flush()
    await audit.trim()
    assert [name for _, name, _ in await actions(audit)] == ["c", "d"]
    clock.advance(58.5)
    await audit.trim()
    assert [name for _, name, _ in await actions(audit)] == ["d"]


async def test_logins_and_what_admins_do_are_recorded(services: Services) -> None:
    bob = await services.add_user("bob")
    idle = await services.add_user("idle", is_active=False)
    with pytest.raises(Unauthenticated):
        await services.users.login("bob", "wrong", address="192.0.2.1", user_agent="browser")
    services.clock.advance(0.001)
    _, session, _ = await services.users.login("bob", PASSWORD, address="192.0.2.1")
    services.clock.advance(0.001)
    await services.users.logout(session.id, by=identity_of(bob))
    services.clock.advance(0.001)
    await services.users.approve_activation(ADMIN, "idle")
    services.clock.advance(0.001)
    await services.users.create(ADMIN, username="new", email="new@example.com", password="x")
    services.clock.advance(0.001)
    await services.users.set_password("bob", "another one")
    assert await actions(services.audit) == [
        ("login_failed", "bob", ""),
        ("login", "bob", "bob"),
        ("logout", "bob", "bob"),
        ("account_activated", idle.username, "boss"),
        ("account_created", "new", "boss"),
        ("password_changed", "bob", "server"),
    ]
    page = await services.audit.list(AuditQuery(action="login_failed"))
    assert (page.items[0].address, page.items[0].user_agent) == ("192.0.2.1", "browser")
    assert PASSWORD not in repr((await services.audit.list(AuditQuery(), limit=100)).items)


async def test_a_lockout_is_recorded_once_and_the_same_for_all_names(services: Services) -> None:
    await services.add_user("bob")
    node = services.rebuilt(limits=LoginLimits(failures_per_account=2))
    for name in ("bob", "nobody"):
        for kind in (Unauthenticated, Unauthenticated, LimitExceeded, LimitExceeded, LimitExceeded):
            services.clock.advance(0.001)
            with pytest.raises(kind):
                await node.users.login(name, "wrong")
    expected = ["login_failed", "login_failed", "login_locked"]
    assert [action for action, _, _ in await actions(node.audit)] == expected * 2


async def test_a_removed_account_leaves_no_personal_data(services: Services) -> None:
    bob = await services.add_user("bob")
    for name in ("bob", "BOB@example.com"):
        with pytest.raises(Unauthenticated):
            await services.users.login(name, "wrong", address="192.0.2.1")
    await services.users.login("bob", PASSWORD, address="192.0.2.1")
    await services.users.remove(ADMIN, "bob")
    entries = (await services.audit.list(AuditQuery(), limit=100)).items
    assert sorted(entry.action for entry in entries) == ["account_removed", "login", "login_failed", "login_failed"]
    pseudonyms = {entry.username for entry in entries}
    assert len(pseudonyms) == 1
    assert pseudonyms.pop().startswith("erased-")
    for trace in ("bob", bob.id, "192.0.2.1"):
        assert trace not in repr(entries).casefold()
    assert [entry.by_name for entry in entries if entry.action == "account_removed"] == ["boss"]


async def test_entries_survive_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    store = SQLiteStore(tmp_path / "other.db")
    await store.open()
    audit = AuditLog(store, AuditSettings(flush_seconds=60), clock)
    await audit.start()
    audit.record(Action.LOGIN, name="bob", by=STRANGER)
    await audit.stop()
    await store.close()
    await store.open()
    assert await actions(AuditLog(store, AuditSettings(), clock)) == [("login", "bob", "")]
    await store.close()
