"""What :class:`~users_server.core.safety_stores.AttemptStore` promises, on every store."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import NOW
from users_server.core.attempts import BUSY_MS, AttemptOutcome
from users_server.core.interfaces import Store

pytestmark = pytest.mark.gen_test(timeout=30)

WINDOW = 60_000


async def begin(store: Store, now: int = NOW, **limits: int) -> int:
    return await store.begin_attempt(limits, window_ms=WINDOW, now=now)


async def end(store: Store, now: int = NOW, **outcomes: AttemptOutcome) -> None:
    await store.end_attempt(outcomes, window_ms=WINDOW, now=now)


async def fail(store: Store, times: int, now: int = NOW, **limits: int) -> None:
    for _ in range(times):
        assert await begin(store, now, **limits) == 0
        await end(store, now, **dict.fromkeys(limits, AttemptOutcome.FAILED))


class TestAttempts:
    async def test_the_limit_holds_until_the_window_ends(self, database: Database) -> None:
        async with opened(database) as store:
            await fail(store, 3, a=3)
            assert await begin(store, a=3) == WINDOW
            assert await begin(store, NOW + WINDOW - 1, a=3) == 1
            assert await begin(store, NOW + WINDOW, a=3) == 0

    async def test_the_window_opens_with_the_first_failure(self, database: Database) -> None:
        async with opened(database) as store:
            assert await begin(store, a=2) == 0
            await end(store, NOW + 10, a=AttemptOutcome.FAILED)
            await fail(store, 1, NOW + 20, a=2)
            assert await begin(store, NOW + 30, a=2) == WINDOW - 20

    async def test_every_node_sees_the_same_counters(self, database: Database) -> None:
        async with opened(database) as store, opened(database) as other:
            await fail(store, 2, a=3)
            await fail(other, 1, a=3)
            assert await begin(store, a=3) == await begin(other, a=3) == WINDOW

    async def test_keys_are_counted_apart_and_refused_together(self, database: Database) -> None:
        async with opened(database) as store:
            await fail(store, 2, a=5, b=2)
            assert await begin(store, c=9, b=2) == WINDOW
            # What was refused was counted nowhere.
            assert await begin(store, c=1) == 0
            assert await begin(store, a=3) == 0

    async def test_attempts_under_way_count_and_wait_only_a_moment(self, database: Database) -> None:
        async with opened(database) as store:
            waits = await asyncio.gather(*(begin(store, a=5) for _ in range(20)))
            assert sorted(waits) == [0] * 5 + [BUSY_MS] * 15
            await end(store, a=AttemptOutcome.RELEASED)
            assert await begin(store, a=5) == 0

    async def test_of_many_nodes_at_once_no_more_than_the_limit_begin(self, database: Database) -> None:
        if not database.has_atomic_changes:
            pytest.skip("FerretDB 1 is for one node")
        async with opened(database) as store, opened(database) as other:
            waits = await asyncio.gather(*(begin(node, a=5) for node in (store, other) * 10))
            assert waits.count(0) == 5

    async def test_success_forgives_and_release_does_not(self, database: Database) -> None:
        async with opened(database) as store:
            await fail(store, 2, a=3, b=3)
            assert await begin(store, a=3, b=3) == 0
            await end(store, a=AttemptOutcome.SUCCEEDED, b=AttemptOutcome.RELEASED)
            await fail(store, 1, b=3)
            assert await begin(store, b=3) == WINDOW
            await fail(store, 3, a=3)

    async def test_an_attempt_of_a_node_that_died_is_forgotten_with_its_window(self, database: Database) -> None:
        async with opened(database) as store:
            assert await begin(store, a=1) == 0
            assert await begin(store, NOW + WINDOW - 1, a=1) == 1
            assert await begin(store, NOW + WINDOW, a=1) == 0

    async def test_nothing_is_kept_of_successes(self, database: Database) -> None:
        async with opened(database) as store:
            assert await begin(store, a=1, b=1) == 0
            await end(store, a=AttemptOutcome.SUCCEEDED, b=AttemptOutcome.RELEASED)
            assert await store.trim_attempts(now=NOW + 10 * WINDOW, most=0) == 0

    async def test_an_end_without_a_beginning_harms_nothing(self, database: Database) -> None:
        async with opened(database) as store:
            await end(store, a=AttemptOutcome.SUCCEEDED, b=AttemptOutcome.RELEASED)
            assert await begin(store, a=1, b=1) == 0

    async def test_what_has_ended_is_forgotten_and_the_rest_is_bounded(self, database: Database) -> None:
        async with opened(database) as store:
            await fail(store, 1, old=9)
            for number in range(6):
                await fail(store, number + 1, NOW + WINDOW, **{f"key{number}": 9})
            assert await store.trim_attempts(now=NOW + WINDOW, most=2) == 1 + 4
            # Those with the most failures stay.
            assert await begin(store, NOW + WINDOW, key5=6) == await begin(store, NOW + WINDOW, key4=5) == WINDOW
            assert await begin(store, NOW + WINDOW, key3=1) == 0
            assert await store.trim_attempts(now=NOW + WINDOW, most=10) == 0
