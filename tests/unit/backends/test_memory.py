"""What is special in memory: a history that takes its time, and bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from tests.unit.core.doubles import ManualClock
from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.backends.memory.broker import STUCK_SECONDS
from users_server.core.acceptance import Accepted
from users_server.core.messages import (
    Gap,
    HistoryPage,
    HistoryRule,
    Member,
    Notice,
    PresenceChange,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.errors import BrokerUnavailable, LimitExceeded, Overloaded, StoreUnavailable

RULE = HistoryRule(10, 60.0)


class Recorder:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.publications: list[tuple[str, int | None]] = []
        self.changes: list[tuple[str, int]] = []

    def handle_publication(self, publication: Publication) -> None:
        self.publications.append((publication.event, publication.position.offset if publication.position else None))

    def handle_presence(self, change: PresenceChange) -> None:
        self.changes.append((("+" if change.is_join else "-") + change.member.connection_id, change.version))

    def handle_gap(self, gap: Gap) -> None: ...

    def handle_revocation(self, revocation: Revocation) -> None: ...

    def handle_notice(self, notice: Notice) -> None: ...

    def handle_interruption(self) -> None: ...


class SlowHistory:
    """A database whose answers a test gives; the fault that no real one produces at will."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[StreamPosition]] = []

    async def open(self) -> None: ...

    def append(self, publication: Publication, rule: HistoryRule) -> Awaitable[StreamPosition]:
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def read(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        raise StoreUnavailable

    async def expire(self) -> None: ...


def publication(event: str, channel: str = "c") -> Publication:
    return Publication("app", channel, event, {"text": "x" * 10})


async def started(history: MemoryHistory | SlowHistory, **options: int) -> tuple[MemoryBroker, Recorder, ManualClock]:
    clock, recorder = ManualClock(), Recorder()
    broker = MemoryBroker(history, clock, **options)
    await broker.start(recorder)
    for channel in ("c", "d"):
        broker.subscribe("app", channel)
    return broker, recorder, clock


@pytest.mark.gen_test
async def test_what_is_kept_is_delivered_when_it_is_durable_and_in_order() -> None:
    history = SlowHistory()
    broker, recorder, _ = await started(history)
    first, second, plain = (
        asyncio.ensure_future(broker.publish(publication(event), rule))
        for event, rule in (("a", RULE), ("b", RULE), ("c", None))
    )
    elsewhere = broker.publish(publication("d", "d"))
    assert isinstance(elsewhere, Accepted)
    assert recorder.publications == [("d", None)]
    history.answers[1].set_result(StreamPosition(2, "e"))
    history.answers[0].set_result(StreamPosition(1, "e"))
    assert await plain is None
    assert (await first, await second) == (StreamPosition(1, "e"), StreamPosition(2, "e"))
    assert recorder.publications == [("d", None), ("a", 1), ("b", 2), ("c", None)]
    assert isinstance(broker.publish(publication("e")), Accepted)
    await broker.stop()


@pytest.mark.gen_test
async def test_what_could_not_be_kept_is_not_delivered() -> None:
    history = SlowHistory()
    broker, recorder, _ = await started(history)
    first = asyncio.ensure_future(broker.publish(publication("a"), RULE))
    second = asyncio.ensure_future(broker.publish(publication("b"), RULE))
    history.answers[0].set_exception(StoreUnavailable())
    history.answers[1].set_result(StreamPosition(1, "e"))
    with pytest.raises(BrokerUnavailable):
        await first
    await second
    assert recorder.publications == [("b", 1)]
    with pytest.raises(BrokerUnavailable):
        await broker.history("app", "c")
    await broker.stop()


@pytest.mark.gen_test
async def test_stopping_waits_for_what_was_accepted() -> None:
    history = SlowHistory()
    broker, recorder, _ = await started(history)
    asyncio.ensure_future(broker.publish(publication("a"), RULE)).add_done_callback(lambda done: done.exception())
    stopping = asyncio.ensure_future(broker.stop())
    history.answers[0].set_result(StreamPosition(1, "e"))
    await stopping
    assert recorder.publications == [("a", 1)]


@pytest.mark.gen_test
async def test_so_many_wait_and_one_that_waits_too_long_is_said_to_the_check() -> None:
    history = SlowHistory()
    broker, _, clock = await started(history, max_waiting=2)
    waiting = [asyncio.ensure_future(broker.publish(publication("a"), RULE)) for _ in range(2)]
    with pytest.raises(Overloaded):
        await broker.publish(publication("a"), RULE)
    await broker.check()
    clock.seconds += STUCK_SECONDS + 1
    with pytest.raises(BrokerUnavailable):
        await broker.check()
    for offset, answer in enumerate(history.answers, 1):
        answer.set_result(StreamPosition(offset, "e"))
    await asyncio.gather(*waiting)
    await broker.check()
    await broker.stop()


@pytest.mark.gen_test
async def test_a_channel_that_is_forgotten_begins_another_epoch() -> None:
    history = MemoryHistory(ManualClock(), max_channels=2)
    first = (await history.append(publication("a", "one"), RULE)).epoch
    for channel in ("two", "three"):
        await history.append(publication("a", channel), RULE)
    page = await history.read("app", "one", since=StreamPosition(1, first))
    assert (page.is_complete, page.publications, page.top.offset) == (False, (), 0)
    again = await history.append(publication("b", "one"), RULE)
    assert again.offset == 1
    assert again.epoch != first


@pytest.mark.gen_test
async def test_bytes_are_bounded_in_many_channels_and_in_one() -> None:
    size = len('{"text":"xxxxxxxxxx"}')
    history = MemoryHistory(ManualClock(), max_bytes=3 * size)
    for channel in ("one", "two", "three", "four"):
        await history.append(publication("a", channel), RULE)
    assert len((await history.read("app", "one")).publications) == 0
    assert len((await history.read("app", "four")).publications) == 1
    for event in "bcde":
        await history.append(publication(event, "four"), RULE)
    kept = (await history.read("app", "four")).publications
    assert [p.event for p in kept] == ["c", "d", "e"]
    assert history._bytes == 3 * size


@pytest.mark.gen_test
async def test_what_is_too_old_goes_without_a_publish() -> None:
    clock = ManualClock()
    history = MemoryHistory(clock)
    position = await history.append(publication("a"), HistoryRule(10, 5.0))
    clock.seconds += 5
    await history.expire()
    assert history._bytes == 0
    page = await history.read("app", "c", since=position)
    assert (page.is_complete, page.top) == (True, position)


@pytest.mark.gen_test
async def test_versions_of_a_channel_never_come_twice() -> None:
    broker, recorder, _ = await started(MemoryHistory(ManualClock()))
    presence = MemoryPresence(broker)
    await presence.join("app", "c", Member("a", "a"))
    await presence.leave("app", "c", "a")
    before = await presence.state("app", "c")
    for other in range(3):
        await presence.join("app", f"x{other}", Member("a", "a"))
    await presence.join("app", "c", Member("b", "b"))
    assert recorder.changes == [("+a", 1), ("-a", 2), ("+b", 3)]
    assert (before.version, before.members) == (2, ())
    assert (await presence.state("app", "c")).epoch == before.epoch
    with pytest.raises(LimitExceeded):
        await presence.join("app", "c", Member("c", "c"), max_members=1)
    await presence.join("app", "c", Member("b", "b"), max_members=1)
    await broker.stop()
    with pytest.raises(BrokerUnavailable):
        await presence.join("app", "c", Member("c", "c"))
