"""Which other nodes a node waits for, while time stands still and the bus does as the test says."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from tests.unit.core.doubles import ManualClock
from tests.unit.core.slow_bus import SlowBus
from users_server.backends.memory import MemoryBroker, MemoryHistory
from users_server.core import neighbours
from users_server.core.acceptance import DONE, Pending
from users_server.core.messages import DEFAULT_APP, HistoryRule, Publication, StreamPosition
from users_server.core.neighbours import ALIVE, ALL_NODES, DEAF_SECONDS, GONE, HELLO, LEASE_SECONDS, Neighbours


class FarBus(SlowBus):
    """What a node tells is kept; the outcome is known later, as over a network."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Publication] = []

    def subscribe(self, app: str, channel: str) -> Awaitable[None]:
        return DONE

    def publish(self, publication: Publication, history: HistoryRule | None = None) -> Awaitable[StreamPosition | None]:
        self.told.append(publication)
        outcome: Pending[StreamPosition | None] = Pending()
        outcome.succeed(None)
        return outcome


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bus = FarBus()
        self.neighbours = Neighbours(self.bus, self.clock)

    async def __aenter__(self) -> Stage:
        await self.neighbours.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.neighbours.stop()

    def hear(self, sender: str, kind: str) -> None:
        self.neighbours.handle_publication(Publication(DEFAULT_APP, ALL_NODES, kind, {"from": sender}))

    def hear_myself(self, kind: str) -> None:
        self.hear(self.neighbours.id, kind)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(publication.channel, publication.event) for publication in self.bus.told]


@pytest.mark.gen_test
async def test_without_a_network_there_is_nobody_else() -> None:
    clock = ManualClock()
    broker = MemoryBroker(MemoryHistory(clock), clock)
    alone = Neighbours(broker, clock)

    class Handler(SlowBus):
        def handle_publication(self, publication: Publication) -> None:
            alone.handle_publication(publication)

    await broker.start(Handler())  # type: ignore[arg-type]
    await alone.start()
    clock.seconds += 1000
    assert alone.are_known()
    assert alone.alive() == set()
    await alone.stop()
    await broker.stop()


@pytest.mark.gen_test
async def test_whoever_says_hello_is_answered_and_waited_for_until_its_lease_ends() -> None:
    async with Stage() as s:
        assert s.told == [(ALL_NODES, HELLO)]
        s.hear("other", HELLO)
        assert s.told[1:] == [(" node other", ALIVE)]
        s.hear("third", ALIVE)
        assert s.neighbours.alive() == {"other", "third"}
        s.clock.seconds += LEASE_SECONDS - 1
        s.hear("other", ALIVE)
        assert s.neighbours.alive() == {"other", "third"}
        s.clock.seconds += 2
        assert s.neighbours.alive() == {"other"}
        s.hear("other", GONE)
        s.hear("unknown", GONE)
        assert s.neighbours.alive() == set()
    assert s.told[-1] == (ALL_NODES, GONE)


@pytest.mark.gen_test
async def test_all_are_known_when_they_have_had_the_time_to_answer() -> None:
    async with Stage() as s:
        assert not s.neighbours.are_known()
        s.hear_myself(HELLO)
        assert not s.neighbours.are_known()
        s.clock.seconds += s.neighbours.settling_seconds()
        assert s.neighbours.are_known()


@pytest.mark.gen_test
async def test_who_has_not_heard_himself_asks_again() -> None:
    async with Stage() as s:
        s.hear_myself(HELLO)
        s.clock.seconds += DEAF_SECONDS - 1
        s.hear_myself(ALIVE)
        s.clock.seconds += DEAF_SECONDS - 1
        assert s.neighbours.are_known()
        s.clock.seconds += 2
        assert not s.neighbours.are_known()
        s.hear_myself(ALIVE)  # one that was on its way while the line was cut
        assert not s.neighbours.are_known()
        s.hear_myself(HELLO)
        s.clock.seconds += 1
        assert s.neighbours.are_known()


@pytest.mark.gen_test
async def test_beats_go_out_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BEAT_SECONDS", 0.001)
    bus = FarBus()
    clock = ManualClock()
    node = Neighbours(bus, clock)
    count = 0

    def publish(publication: Publication, history: HistoryRule | None = None) -> Awaitable[StreamPosition | None]:
        nonlocal count
        count += 1
        node.handle_publication(publication)
        outcome: Pending[StreamPosition | None] = Pending()
        if count == 5:
            enough.succeed(None)
        outcome.succeed(None)
        bus.told.append(publication)
        return outcome

    enough: Pending[None] = Pending()
    monkeypatch.setattr(bus, "publish", publish)
    await node.start()
    await enough
    await node.stop()
    await node.stop()
    assert [publication.event for publication in bus.told[:5]] == [HELLO, *[ALIVE] * 4]
    assert [publication.event for publication in bus.told].count(GONE) == 1


@pytest.mark.gen_test
async def test_so_many_nodes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_NEIGHBOURS", 3)
    async with Stage() as s:
        for name in "abcd":
            s.hear(name, ALIVE)
        assert s.neighbours.alive() == set("abc")
        s.clock.seconds += LEASE_SECONDS + 1
        s.hear("d", ALIVE)
        assert s.neighbours.alive() == {"d"}


@pytest.mark.parametrize("data", [None, [], {}, {"from": 1}])
@pytest.mark.gen_test
async def test_what_is_no_message_of_a_node_is_ignored(data: object) -> None:
    async with Stage() as s:
        s.neighbours.handle_publication(Publication(DEFAULT_APP, ALL_NODES, HELLO, data))
        s.hear("other", "of a later version")
        assert s.neighbours.alive() == set()
