"""What :class:`~users_server.core.idempotency.IdempotencyStore` promises, on every store."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.databases import Database, opened
from tests.contract.records import NOW
from users_server.core.idempotency import KeptAnswer
from users_server.core.interfaces import Store

pytestmark = pytest.mark.gen_test(timeout=60)

ABANDONED = 60_000
EXPIRED = 1_000_000


async def claim(
    store: Store, key: str = "key", *, scope: str = "shop", fingerprint: str = "first", now: int = NOW
) -> KeptAnswer | None:
    return await store.claim_idempotency_key(
        scope, key, fingerprint=fingerprint, now=now, abandoned_at=now + ABANDONED, expires_at=now + EXPIRED
    )


class TestKeys:
    async def test_one_caller_makes_the_request_and_others_see_its_answer(self, database: Database) -> None:
        async with opened(database) as store:
            assert await claim(store) is None
            assert await claim(store, fingerprint="other") == KeptAnswer("first", "")
            await store.keep_answer("shop", "key", answer='{"ok":1}')
            assert await claim(store, fingerprint="other") == KeptAnswer("first", '{"ok":1}')

    async def test_of_many_callers_at_once_one_makes_the_request(self, database: Database) -> None:
        async with opened(database) as store, opened(database) as other:
            answers = await asyncio.gather(*(claim((store, other)[number % 2]) for number in range(50)))
            assert answers.count(None) == 1
            assert answers.count(KeptAnswer("first", "")) == 49

    async def test_of_many_that_find_it_abandoned_one_makes_the_request(self, database: Database) -> None:
        async with opened(database) as store, opened(database) as other:
            assert await claim(store) is None
            now = NOW + ABANDONED
            nodes = (store, other if database.has_atomic_changes else store)  # FerretDB 1 is for one node
            answers = await asyncio.gather(
                *(claim(nodes[number % 2], fingerprint="second", now=now) for number in range(50))
            )
            assert answers.count(None) == 1
            assert answers.count(KeptAnswer("second", "")) == 49

    async def test_a_request_without_an_answer_is_abandoned_in_time(self, database: Database) -> None:
        async with opened(database) as store:
            assert await claim(store) is None
            assert await claim(store, now=NOW + ABANDONED - 1) == KeptAnswer("first", "")
            assert await claim(store, now=NOW + ABANDONED) is None

    async def test_an_answer_is_kept_until_it_expires(self, database: Database) -> None:
        async with opened(database) as store:
            assert await claim(store) is None
            await store.keep_answer("shop", "key", answer="1")
            assert await claim(store, now=NOW + EXPIRED - 1) == KeptAnswer("first", "1")
            assert await claim(store, fingerprint="second", now=NOW + EXPIRED) is None
            assert await claim(store, now=NOW + EXPIRED) == KeptAnswer("second", "")

    async def test_keys_and_scopes_are_apart(self, database: Database) -> None:
        async with opened(database) as store:
            pairs = [("shop", "key"), ("shop", "KEY"), ("shop:", "key"), ("shop", ":key"), ("", "1:shop:key")]
            for scope, key in pairs:
                assert await claim(store, key, scope=scope) is None
            for scope, key in pairs:
                await store.keep_answer(scope, key, answer=f"{scope} {key}")
            for scope, key in pairs:
                assert await claim(store, key, scope=scope) == KeptAnswer("first", f"{scope} {key}")

    async def test_a_released_key_is_free_unless_it_has_an_answer(self, database: Database) -> None:
        async with opened(database) as store:
            assert await claim(store) is None
            await store.release_idempotency_key("shop", "key")
            assert await claim(store) is None
            await store.keep_answer("shop", "key", answer="1")
            await store.release_idempotency_key("shop", "key")
            assert await claim(store) == KeptAnswer("first", "1")
            await store.release_idempotency_key("shop", "unknown")

    async def test_an_answer_to_a_forgotten_key_is_dropped(self, database: Database) -> None:
        async with opened(database) as store:
            await store.keep_answer("shop", "key", answer="1")
            assert await claim(store) is None

    async def test_what_has_expired_is_forgotten_and_the_rest_is_bounded_in_each_scope(
        self, database: Database
    ) -> None:
        async with opened(database) as store:
            for number in range(8):
                assert await claim(store, f"key{number}", now=NOW + number // 2) is None
            for number in range(3):
                assert await claim(store, f"key{number}", scope="other", now=NOW + number) is None
            now = NOW + EXPIRED
            assert await store.trim_idempotency_keys(now=now, most=5) == 2 + 1 + 1
            assert await store.trim_idempotency_keys(now=now, most=5) == 0
            kept = [await claim(store, f"key{number}", now=NOW + 5) is not None for number in range(8)]
            assert kept == [False] * 3 + [True] * 5

    async def test_very_many_can_be_forgotten(self, database: Database) -> None:
        async with opened(database) as store:
            await asyncio.gather(*(claim(store, f"key{number}") for number in range(600)))
            await claim(store, now=NOW + 1)
            assert await store.trim_idempotency_keys(now=NOW + EXPIRED, most=10) == 600
            assert await store.trim_idempotency_keys(now=NOW, most=0) == 1
