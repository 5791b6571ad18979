"""Records that are imported side by side."""

from __future__ import annotations

import asyncio

import pytest

from users_server.services.importing.lanes import side_by_side

pytestmark = pytest.mark.gen_test(timeout=10)


def letters(item: str) -> set[str]:
    return set(item)


async def test_results_keep_the_order_and_so_many_run_at_once() -> None:
    running, most = 0, 0

    async def work(item: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(ord("z") - ord(item)):  # the first one takes longest
            await asyncio.sleep(0)
        running -= 1
        return item.upper()

    assert await side_by_side("abcdefgh", letters, work, at_once=3) == list("ABCDEFGH")
    assert most == 3


async def test_what_shares_a_key_keeps_its_order() -> None:
    done: list[str] = []

    async def work(item: str) -> None:
        for _ in range(10 - len(done)):
            await asyncio.sleep(0)
        done.append(item)

    await side_by_side(["ab", "x", "bc", "cd", "y", "a"], letters, work, at_once=2)
    chain = [item for item in done if item not in ("x", "y")]
    assert chain.index("ab") < chain.index("bc") < chain.index("cd")
    assert chain.index("ab") < chain.index("a")
    assert sorted(done) == ["a", "ab", "bc", "cd", "x", "y"]


async def test_the_first_failure_ends_all_and_what_comes_after_it_never_begins() -> None:
    begun: list[str] = []
    ended: list[str] = []

    async def work(item: str) -> None:
        begun.append(item)
        if item == "a":
            raise ValueError(item)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(ValueError, match="a"):
        await side_by_side(["a", "x", "ab", "y"], letters, work, at_once=2)
    assert "ab" not in begun
    assert sorted(ended) == sorted(set(begun) - {"a"})


async def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    begun = asyncio.Event()
    ended = False

    async def work(_item: str) -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    task = asyncio.create_task(side_by_side(["a", "a"], letters, work, at_once=2))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended
