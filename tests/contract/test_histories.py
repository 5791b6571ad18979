"""What :class:`~users_server.core.interfaces.History` promises, in memory and in every database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from tests.contract.databases import Database, opened
from users_server.backends.memory import MemoryHistory
from users_server.core.interfaces import History
from users_server.core.messages import ClientInfo, HistoryRule, Publication, StreamPosition

pytestmark = pytest.mark.gen_test(timeout=30)

RULE = HistoryRule(size=10, seconds=60)
DAYS = 24 * 60 * 60.0


class ManualClock:
    def __init__(self) -> None:
        self.milliseconds = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.milliseconds

    def monotonic(self) -> float:
        return self.milliseconds / 1000

    def advance(self, seconds: float) -> None:
        self.milliseconds += round(seconds * 1000)


class Histories(Protocol):
    """Opens one history; what a second opening finds is what has outlived the first."""

    is_durable: bool
    clock: ManualClock

    def opened(self) -> contextlib.AbstractAsyncContextManager[History]: ...


class MemoryHistories:
    is_durable = False

    def __init__(self) -> None:
        self.clock = ManualClock()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[History]:
        history = MemoryHistory(self.clock)
        await history.open()
        yield history


class DatabaseHistories:
    is_durable = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self.clock = ManualClock()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[History]:
        async with opened(self._database) as store:
            history = store.history(self.clock)
            await history.open()
            yield history


@pytest.fixture(params=["memory", "sqlite", "mongodb"])
def histories(request: pytest.FixtureRequest) -> Histories:
    if request.param == "memory":
        return MemoryHistories()
    return DatabaseHistories(request.getfixturevalue(f"{request.param}_database"))


def message(data: Any, channel: str = "room", app: str = "one", **fields: Any) -> Publication:
    return Publication(app, channel, "said", data, **fields)


async def fill(history: History, count: int, rule: HistoryRule = RULE, first: int = 1) -> StreamPosition:
    """Publications 1, 2, … whose data is their offset; the last one's position."""
    positions = [await history.append(message(number), rule) for number in range(first, first + count)]
    return positions[-1]


async def data_of(history: History, **arguments: Any) -> list[Any]:
    page = await history.read("one", "room", **arguments)
    assert page.is_complete
    return [publication.data for publication in page.publications]


class TestAppending:
    async def test_offsets_count_from_one_in_each_channel(self, histories: Histories) -> None:
        async with histories.opened() as history:
            room = [await history.append(message(number), RULE) for number in range(3)]
            other_channel = await history.append(message(0, channel="other"), RULE)
            other_app = await history.append(message(0, app="two"), RULE)
            assert [position.offset for position in room] == [1, 2, 3]
            assert len({position.epoch for position in room}) == 1
            assert (other_channel.offset, other_app.offset) == (1, 1)

    async def test_a_publication_comes_back_as_it_was(self, histories: Histories) -> None:
        data = {"text": "ß \\ '😀 \0", "list": [1, 2.5, None, True, {"$set": {}}], "": 2**53}
        publications = [
            message(data, by=ClientInfo("connection", "Ann", "7"), to_user="7", except_connection="c1"),
            message(None, by=ClientInfo("connection")),
            message("text"),
        ]
        async with histories.opened() as history:
            for publication in publications:
                await history.append(publication, RULE)
            page = await history.read("one", "room")
            assert [publication.position for publication in page.publications] == [
                StreamPosition(offset, page.top.epoch) for offset in (1, 2, 3)
            ]
            without = [
                Publication(p.app, p.channel, p.event, p.data, p.by, None, p.to_user, p.except_connection)
                for p in page.publications
            ]
            assert without == publications

    async def test_the_order_is_that_of_the_calls(self, histories: Histories) -> None:
        async with histories.opened() as history:
            waiting = [history.append(message(number), HistoryRule(100, 60)) for number in range(1, 31)]
            positions = [await each for each in waiting]
            assert [position.offset for position in positions] == list(range(1, 31))
            assert await data_of(history) == list(range(1, 31))

    async def test_channels_do_not_mix(self, histories: Histories) -> None:
        names = [("a", "b/c"), ("a.b", "c"), ("a", "b"), ("a", "b.c"), ("A", "b"), ("a", "b "), ("a", "ü:*$")]
        async with histories.opened() as history:
            for app, channel in names:
                await history.append(message([app, channel], channel=channel, app=app), RULE)
            for app, channel in names:
                page = await history.read(app, channel)
                assert [publication.data for publication in page.publications] == [[app, channel]]

    async def test_it_goes_on_where_it_ended_or_with_a_new_epoch(self, histories: Histories) -> None:
        async with histories.opened() as history:
            before = await fill(history, 3)
        async with histories.opened() as history:
            after = await history.append(message(4), RULE)
            page = await history.read("one", "room", since=before)
            if histories.is_durable:
                assert after == StreamPosition(4, before.epoch)
                assert [publication.data for publication in page.publications] == [4]
            else:
                assert after.epoch != before.epoch
                assert not page.is_complete


class TestReading:
    async def test_an_empty_channel_has_a_position(self, histories: Histories) -> None:
        async with histories.opened() as history:
            page = await history.read("one", "room")
            assert (page.publications, page.top.offset, page.is_complete) == ((), 0, True)
            assert (await history.read("one", "room", since=page.top)).is_complete
            await fill(history, 2)
            assert await data_of(history, since=page.top) == [1, 2]

    async def test_what_came_after_a_position(self, histories: Histories) -> None:
        async with histories.opened() as history:
            epoch = (await fill(history, 5)).epoch
            for offset in range(6):
                expected = list(range(offset + 1, 6))
                assert await data_of(history, since=StreamPosition(offset, epoch)) == expected
                assert await data_of(history, since=StreamPosition(offset, epoch), limit=2) == expected[:2]

    async def test_without_a_position_the_newest(self, histories: Histories) -> None:
        async with histories.opened() as history:
            top = await fill(history, 5)
            assert await data_of(history) == [1, 2, 3, 4, 5]
            assert await data_of(history, limit=2) == [4, 5]
            assert await data_of(history, limit=100) == [1, 2, 3, 4, 5]
            page = await history.read("one", "room", limit=0)
            assert (page.publications, page.top, page.is_complete) == ((), top, True)

    async def test_the_top_alone_says_whether_a_position_is_complete(self, histories: Histories) -> None:
        async with histories.opened() as history:
            top = await fill(history, 15)
            for offset, is_complete in ((4, False), (5, True), (15, True)):
                page = await history.read("one", "room", since=StreamPosition(offset, top.epoch), limit=0)
                assert (page.publications, page.top, page.is_complete) == ((), top, is_complete)

    async def test_a_position_that_is_not_of_this_stream_is_not_complete(self, histories: Histories) -> None:
        async with histories.opened() as history:
            top = await fill(history, 3)
            for since in (
                StreamPosition(2, "another epoch"),
                StreamPosition(0, ""),
                StreamPosition(4, top.epoch),
                StreamPosition(10**30, top.epoch),
            ):
                page = await history.read("one", "room", since=since)
                assert (page.publications, page.top, page.is_complete) == ((), top, False)

    async def test_a_position_of_another_channel_is_not_complete(self, histories: Histories) -> None:
        async with histories.opened() as history:
            position = await history.append(message(1, "here"), RULE)
            assert await history.append(message(1, "there"), RULE) != position
            assert not (await history.read("one", "there", since=position)).is_complete
            empty = (await history.read("one", "empty", limit=0)).top
            assert not (await history.read("one", "another", since=empty)).is_complete

    async def test_reading_while_somebody_appends_gives_no_gap(self, histories: Histories) -> None:
        async with histories.opened() as history:
            start = (await history.read("one", "room")).top
            small = HistoryRule(5, 60)

            async def append_all() -> None:
                for number in range(1, 41):
                    await history.append(message(number), small)

            appending = asyncio.ensure_future(append_all())
            since = start
            while not appending.done():
                page = await history.read("one", "room", since=since)
                offsets = [p.position.offset for p in page.publications if p.position is not None]
                first = since.offset + 1
                assert offsets == (list(range(first, first + len(offsets))) if page.is_complete else [])
                since = StreamPosition(offsets[-1], start.epoch) if offsets else page.top
                await asyncio.sleep(0)
            await appending


class TestBounds:
    async def test_only_the_newest_are_kept(self, histories: Histories) -> None:
        async with histories.opened() as history:
            top = await fill(history, 75)
            assert await data_of(history) == list(range(66, 76))
            assert await data_of(history, since=StreamPosition(65, top.epoch)) == list(range(66, 76))
            page = await history.read("one", "room", since=StreamPosition(64, top.epoch))
            assert (page.publications, page.top, page.is_complete) == ((), top, False)

    async def test_none_is_older_than_the_rule_says(self, histories: Histories) -> None:
        async with histories.opened() as history:
            await fill(history, 2)
            histories.clock.advance(30)
            await fill(history, 1, first=3)
            histories.clock.advance(29.999)
            assert await data_of(history) == [1, 2, 3]
            histories.clock.advance(0.001)
            assert await data_of(history) == [3]
            top = (await history.read("one", "room")).top
            assert (await history.read("one", "room", since=StreamPosition(2, top.epoch))).is_complete
            assert not (await history.read("one", "room", since=StreamPosition(1, top.epoch))).is_complete
            histories.clock.advance(30)
            assert await data_of(history) == []
            assert await data_of(history, since=top) == []
            assert not (await history.read("one", "room", since=StreamPosition(2, top.epoch))).is_complete

    async def test_a_shorter_rule_makes_no_hole(self, histories: Histories) -> None:
        async with histories.opened() as history:
            await history.append(message(1), HistoryRule(10, 1000))
            await history.append(message(2), HistoryRule(10, 10))
            await history.append(message(3), HistoryRule(10, 1000))
            histories.clock.advance(20)
            for _ in range(2):
                top = (await history.read("one", "room")).top
                for offset in range(3):
                    page = await history.read("one", "room", since=StreamPosition(offset, top.epoch))
                    data = [publication.data for publication in page.publications]
                    assert data == (list(range(offset + 1, 4)) if page.is_complete else [])
                newest = [publication.data for publication in (await history.read("one", "room")).publications]
                assert newest == list(range(4 - len(newest), 4))
                await history.expire()

    async def test_a_rule_that_keeps_nothing(self, histories: Histories) -> None:
        async with histories.opened() as history:
            top = await fill(history, 3, HistoryRule(0, 60))
            assert top.offset == 3
            assert await data_of(history) == []
            assert await data_of(history, since=top) == []
            assert not (await history.read("one", "room", since=StreamPosition(2, top.epoch))).is_complete

    async def test_expiring_changes_no_answer(self, histories: Histories) -> None:
        async with histories.opened() as history:
            await fill(history, 3)
            histories.clock.advance(40)
            top = await fill(history, 3, first=4)
            histories.clock.advance(30)
            before = [await history.read("one", "room", since=StreamPosition(n, top.epoch)) for n in range(8)]
            await history.expire()
            assert [await history.read("one", "room", since=StreamPosition(n, top.epoch)) for n in range(8)] == before
            histories.clock.advance(30)
            await history.expire()
            assert await data_of(history, since=top) == []
            assert await history.append(message(7), RULE) == StreamPosition(7, top.epoch)

    async def test_a_counter_that_is_lost_is_told(self, histories: Histories) -> None:
        async with histories.opened() as history:
            top = await fill(history, 3)
            empty = (await history.read("one", "empty")).top
            histories.clock.advance(400 * DAYS)
            await history.expire()
            position = await history.append(message(1), RULE)
            page = await history.read("one", "room", since=top)
            if position.epoch == top.epoch:
                assert (position.offset, len(page.publications)) == (4, 1)
            else:
                assert (position.offset, page.is_complete) == (1, False)
            assert await data_of(history) == [1]
            later = await history.read("one", "empty", since=empty)
            assert later.is_complete == (later.top == empty)

    async def test_many_channels_expire(self, histories: Histories) -> None:
        async with histories.opened() as history:
            for number in range(110):
                await history.append(message(number, channel=f"room{number}"), RULE)
            histories.clock.advance(60)
            await history.expire()
            for number in (0, 50, 109):
                page = await history.read("one", f"room{number}")
                assert (page.publications, page.top.offset) == ((), 1)
