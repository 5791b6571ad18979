"""Requests that take effect once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.unit.services.doubles import ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.errors import Conflict, InvalidValue, LimitExceeded, StoreUnavailable
from users_server.services.idempotency import IdempotencySettings, IdempotentRequests, RequestChanged

pytestmark = pytest.mark.gen_test

SETTINGS = IdempotencySettings(kept_seconds=500, max_keys=7, abandoned_seconds=20)


class Work:
    """Something that must not happen twice."""

    def __init__(self) -> None:
        self.times = 0
        self.error: BaseException | None = None
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> str:
        self.times += 1
        self.has_begun.set()
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return f'"answer {self.times}"'


class Frail:
    """A store that can be away."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store
        self.away: set[str] = set()
        self.called: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            self.called.append({"name": name, **options})
            if name in self.away:
                raise StoreUnavailable
            return await getattr(self._store, name)(*arguments, **options)

        return call


@pytest.fixture
def frail(store: SQLiteStore) -> Frail:
    return Frail(store)


@pytest.fixture
def requests(frail: Frail, clock: ManualClock) -> IdempotentRequests:
    return IdempotentRequests(frail, clock, SETTINGS)


async def test_a_request_is_made_once(requests: IdempotentRequests) -> None:
    work = Work()
    answers = [await requests.once("a", "key", "print", work) for _ in range(3)]
    assert (answers, work.times) == (['"answer 1"'] * 3, 1)
    await requests.once("a", "other", "print", work)
    await requests.once("b", "key", "print", work)
    assert work.times == 3


async def test_another_node_knows(requests: IdempotentRequests, clock: ManualClock, tmp_path: Path) -> None:
    work = Work()
    await requests.once("a", "key", "print", work)
    other = SQLiteStore(tmp_path / "users.db")
    await other.open()
    try:
        assert await IdempotentRequests(other, clock, SETTINGS).once("a", "key", "print", work) == '"answer 1"'
    finally:
        await other.close()
    assert work.times == 1


async def test_one_that_is_being_made(requests: IdempotentRequests, clock: ManualClock) -> None:
    work = Work()
    work.may_end.clear()
    first = asyncio.create_task(requests.once("a", "key", "print", work))
    await work.has_begun.wait()
    with pytest.raises(Conflict):
        await requests.once("a", "key", "print", work)
    with pytest.raises(RequestChanged):
        await requests.once("a", "key", "other print", work)
    clock.advance(SETTINGS.abandoned_seconds - 1)
    with pytest.raises(Conflict):
        await requests.once("a", "key", "print", work)
    work.may_end.set()
    assert await first == await requests.once("a", "key", "print", work) == '"answer 1"'
    assert work.times == 1


async def test_one_whose_process_has_died(requests: IdempotentRequests, store: SQLiteStore, clock: ManualClock) -> None:
    now = clock.now_ms()
    claim = {
        "fingerprint": "print",
        "now": now,
        "abandoned_at": now + SETTINGS.abandoned_seconds * 1000,
        "expires_at": now + 10**8,
    }
    assert await store.claim_idempotency_key("a", "key", **claim) is None
    work = Work()
    with pytest.raises(Conflict):
        await requests.once("a", "key", "print", work)
    clock.advance(SETTINGS.abandoned_seconds)
    assert await requests.once("a", "key", "print", work) == '"answer 1"'


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\n", "\0"])
async def test_keys_that_are_none(requests: IdempotentRequests, frail: Frail, key: str) -> None:
    with pytest.raises(InvalidValue):
        await requests.once("a", key, "print", Work())
    assert frail.called == []
    assert await requests.once("a", "! ~" + "x" * 252, "print", Work()) == '"answer 1"'


async def test_one_that_failed_may_be_sent_again(requests: IdempotentRequests) -> None:
    work = Work()
    for error in (LimitExceeded(), RuntimeError(), asyncio.CancelledError()):
        work.error = error
        with pytest.raises(type(error)):
            await requests.once("a", "key", "print", work)
    work.error = None
    assert await requests.once("a", "key", "other print", work) == '"answer 4"'


async def test_nothing_is_made_while_the_keys_cannot_be_looked_up(requests: IdempotentRequests, frail: Frail) -> None:
    work = Work()
    frail.away = {"claim_idempotency_key"}
    with pytest.raises(StoreUnavailable):
        await requests.once("a", "key", "print", work)
    assert work.times == 0


async def test_a_store_that_is_away_afterwards_changes_no_answer(
    requests: IdempotentRequests, frail: Frail, clock: ManualClock
) -> None:
    work = Work()
    frail.away = {"keep_answer", "release_idempotency_key"}
    with structlog.testing.capture_logs() as records:
        assert await requests.once("a", "key", "print", work) == '"answer 1"'
        work.error = LimitExceeded()
        with pytest.raises(LimitExceeded):
            await requests.once("a", "other", "print", work)
    assert [record["event"] for record in records] == ["an idempotency key could not be kept"] * 2
    frail.away = set()
    work.error = None
    for key in ("key", "other"):
        with pytest.raises(Conflict):
            await requests.once("a", key, "print", work)
    clock.advance(SETTINGS.abandoned_seconds)
    await requests.once("a", "key", "print", work)
    assert work.times == 3


async def test_keys_are_forgotten(requests: IdempotentRequests, frail: Frail, clock: ManualClock) -> None:
    work = Work()
    await requests.once("a", "key", "print", work)
    clock.advance(SETTINGS.kept_seconds - 1)
    await requests.expire()
    await requests.once("a", "key", "print", work)
    assert work.times == 1
    clock.advance(1)
    await requests.once("a", "key", "other print", work)
    assert work.times == 2
    await requests.expire()
    assert [call for call in frail.called if call["name"] == "trim_idempotency_keys"][-1] == {
        "name": "trim_idempotency_keys",
        "now": clock.now_ms(),
        "most": SETTINGS.max_keys,
    }
