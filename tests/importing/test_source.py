"""The database of the original, as it is read."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorCursor
from pymongo.errors import CursorNotFound

from tests.importing.original import Original, make_user
from users_server.backends.mongodb.webinate import WebinateSource

pytestmark = pytest.mark.gen_test(timeout=60)


async def read(original: Original, *, after: str = "", size: int) -> list[list[str]]:
    source = WebinateSource(original.url)
    await source.open()
    try:
        async with aclosing(source.read("users", after=after, size=size)) as batches:
            return [[record.id for record in batch] async for batch in batches]
    finally:
        await source.close()


def fill(original: Original, count: int) -> list[str]:
    users = [make_user(f"user{number}") for number in range(count)]
    original.database["users"].insert_many(users)
    return [str(user["_id"]) for user in users]


async def test_lists_of_records_by_their_ids(original: Original) -> None:
    ids = fill(original, 7)
    original.user("strange", _id="text")
    assert await read(original, size=3) == [ids[:3], ids[3:6], ids[6:]]
    assert await read(original, after=ids[4], size=3) == [ids[5:]]
    assert await read(original, after=ids[6], size=3) == []


async def test_a_cursor_that_the_source_has_forgotten(original: Original, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a list that took more than ten minutes: what comes next is found again."""
    ids = fill(original, 7)
    real, calls = AsyncIOMotorCursor.to_list, 0

    def to_list(cursor: Any, length: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise CursorNotFound("cursor id 1 not found")
        return real(cursor, length=length)

    monkeypatch.setattr(AsyncIOMotorCursor, "to_list", to_list)
    assert await read(original, size=3) == [ids[:3], ids[3:6], ids[6:]]
