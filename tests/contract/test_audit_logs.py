"""What :class:`~users_server.core.safety_stores.AuditStore` promises, on every store."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import NOW
from users_server.core.audit import AuditEntry, AuditQuery, make_audit_id
from users_server.core.interfaces import Store

pytestmark = pytest.mark.gen_test(timeout=30)

ALL = AuditQuery()

_moments = itertools.count(NOW)


def make_entry(**fields: Any) -> AuditEntry:
    at = fields.pop("at", None) or next(_moments)
    values: dict[str, Any] = {"action": "login", "username": "Bob", "user_id": "b" * 24}
    return AuditEntry(id=make_audit_id(at), at=at, **{**values, **fields})


async def found(store: Store, query: AuditQuery = ALL) -> list[AuditEntry]:
    page = await store.list_audit_entries(query, limit=1000)
    assert page.count == len(page.items)
    return page.items


class TestAuditLog:
    async def test_entries_come_back_as_they_were_the_newest_first(self, database: Database) -> None:
        entry = make_entry(
            by_id="a" * 24,
            by_name="Alice",
            address="192.0.2.1",
            user_agent="a browser; ünïcode",
            details={"text": "a.b", "$number": 1, "flag": True, "nothing": None, "list": [1, 2]},
        )
        others = [make_entry() for _ in range(3)]
        async with opened(database) as store:
            await store.add_audit_entries([entry, *others])
            await store.add_audit_entries([])
            assert await found(store) == [*reversed(others), entry]
            assert {type(value) for value in (await found(store))[-1].details.values()} == {
                str,
                int,
                bool,
                type(None),
                list,
            }

    async def test_an_entry_is_added_once(self, database: Database) -> None:
        first, second = make_entry(), make_entry()
        async with opened(database) as store:
            await store.add_audit_entries([first])
            await store.add_audit_entries([first, second])
            assert await found(store) == [second, first]

    async def test_pages_join(self, database: Database) -> None:
        entries = [make_entry() for _ in range(25)]
        async with opened(database) as store:
            await store.add_audit_entries(entries)
            seen = []
            for index in range(0, 30, 10):
                page = await store.list_audit_entries(ALL, index=index, limit=10)
                assert page.count == 25
                seen += page.items
            assert seen == entries[::-1]
            assert (await store.list_audit_entries(ALL, limit=0)).items == []

    async def test_filters(self, database: Database) -> None:
        about = make_entry(user_id="1", username="Ann", by_id="2", by_name="Root", action="account_created")
        done = make_entry(user_id="3", username="Carl", by_id="1", by_name="Ann", action="session_revoked")
        failed = make_entry(user_id="", username="ANN", action="login_failed", address="192.0.2.9")
        other = make_entry(user_id="4", username="ann.other")
        async with opened(database) as store:
            await store.add_audit_entries([about, done, failed, other])
            assert await found(store, AuditQuery(user_id="1")) == [done, about]
            assert await found(store, AuditQuery(name="ann")) == [failed, done, about]
            assert await found(store, AuditQuery(user_id="1", name="carl")) == [done, about]
            assert await found(store, AuditQuery(action="login_failed")) == [failed]
            assert await found(store, AuditQuery(address="192.0.2.9", name="Ann")) == [failed]
            assert await found(store, AuditQuery(since=done.at, until=other.at)) == [failed, done]
            assert await found(store, AuditQuery(name=".*")) == []

    async def test_retention_and_number_are_bounded(self, database: Database) -> None:
        entries = [make_entry() for _ in range(10)]
        async with opened(database) as store:
            await store.add_audit_entries(entries)
            assert await store.trim_audit_entries(before=entries[3].at, most=100) == 3
            assert await found(store) == entries[:2:-1]
            assert await store.trim_audit_entries(before=0, most=4) == 3
            assert await found(store) == entries[:5:-1]
            assert await store.trim_audit_entries(before=0, most=4) == 0
            assert await store.trim_audit_entries(before=0, most=0) == 4

    async def test_erased_people_leave_what_happened_and_nothing_of_themselves(self, database: Database) -> None:
        where = {"address": "192.0.2.1", "user_agent": "browser", "details": {"email": "ann@example.com"}}
        about = make_entry(user_id="1", username="Ann", by_id="2", by_name="Root", **where)
        done = make_entry(user_id="3", username="Carl", by_id="1", by_name="Ann", **where)
        own = make_entry(user_id="1", username="Ann", by_id="1", by_name="Ann", **where)
        failed = make_entry(user_id="", username="ANN@example.com", **where)
        other = make_entry(user_id="3", username="Annette", by_id="2", by_name="Root", **where)
        async with opened(database) as store:
            await store.add_audit_entries([about, done, own, failed, other])
            assert await store.erase_audit_traces("1", ["ann", "ann@example.com"], pseudonym="erased-x") == 4
            kept = {entry.id: entry for entry in await found(store)}
            assert kept.pop(other.id) == other
            for entry in kept.values():
                assert (entry.address, entry.user_agent, dict(entry.details)) == ("", "", {})
                assert "ann" not in repr(entry).casefold()
            assert (kept[about.id].user_id, kept[about.id].by_name) == ("erased-x", "Root")
            assert (kept[done.id].username, kept[done.id].by_id) == ("Carl", "erased-x")
            assert await store.erase_audit_traces("1", ["ann"], pseudonym="erased-y") == 0
