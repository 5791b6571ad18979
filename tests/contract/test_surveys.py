"""What all nodes know together, and what is done on all of them: nodes over each bus, as many as it can join."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from tests.contract.buses import Buses, RedisBuses, until, until_async
from tests.memory_node import memory_node
from tests.tcp_proxy import TCPProxy
from tests.unit.core.doubles import Client
from users_server.backends.redis import RedisBus
from users_server.core import neighbours, surveys
from users_server.core.channels import ChannelLimits
from users_server.core.clock import SystemClock
from users_server.core.hub import Hub
from users_server.core.messages import DEFAULT_APP, USERS_CHANNEL, Publication
from users_server.core.neighbours import ALL_NODES
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.core.surveys import MAX_CHANNELS, SURVEY, ChannelSurvey
from users_server.errors import BrokerUnavailable, DisconnectedByApp, InvalidValue, Overloaded

pytestmark = pytest.mark.gen_test(timeout=60)

APP = "arena"


PROCESS = """
import asyncio, sys
from tests.contract.buses import RedisBuses
from tests.contract.test_surveys import running, subscribe
async def main():
    async with running(RedisBuses(sys.argv[1], prefix=sys.argv[2]), 1) as (node,):
        await subscribe(node, "room", "theirs")
        print("subscribed", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def other_process(buses: RedisBuses) -> AsyncIterator[asyncio.subprocess.Process]:
    """A node with two subscriptions in a process of its own."""
    arguments = ("-c", PROCESS, buses.settings.url, buses.settings.prefix)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        while await process.stdout.readline() != b"subscribed\n":
            assert not process.stdout.at_eof()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def make_node(buses: Buses) -> Node:
    """One that is not started."""
    schedule = asyncio.get_running_loop().call_soon
    if not isinstance(buses, RedisBuses):
        return memory_node(schedule)
    clock = SystemClock()
    bus = RedisBus(buses.settings, "node", clock)
    return Node(bus.broker, bus.presence, Hub(schedule, clock.monotonic, Statistics()), clock)


@contextlib.asynccontextmanager
async def running(buses: Buses, count: int = 3) -> AsyncIterator[list[Node]]:
    """So many nodes, or one many times where nothing joins several."""
    made = [make_node(buses) for _ in range(count if isinstance(buses, RedisBuses) else 1)]
    async with contextlib.AsyncExitStack() as stack:
        for node in made:
            await node.start()
            stack.push_async_callback(node.stop)
        yield [made[number % len(made)] for number in range(count)]


async def subscribe(node: Node, *channels: str, app: str = APP, user_id: str | None = None) -> Client:
    client = Client(node, f"c{random.getrandbits(64)}", app=app, user_id=user_id).connect()
    for channel in channels:
        await client.subscribe(channel)
    return client


def surveys_of(node: Node) -> dict[int, surveys._Survey]:
    """Those that are being made."""
    under_way: dict[int, surveys._Survey] = node.survey_channels.__self__._surveys  # type: ignore[attr-defined]
    return under_way


def names(survey: ChannelSurvey) -> list[str]:
    return [name for name, _ in survey.channels]


class TestSurveys:
    async def test_the_subscriptions_of_all_nodes_are_added_up(self, buses: Buses) -> None:
        async with running(buses) as (one, two, three):
            await subscribe(one, "room", "first")
            await subscribe(one, "room")
            await subscribe(two, "room", "second")
            leaving = await subscribe(three, "room", "third", "ä", "Z")
            await subscribe(three, "theirs", app="another")
            for node in (one, two, three):
                assert await node.survey_channels(APP) == ChannelSurvey(
                    (("Z", 1), ("first", 1), ("room", 4), ("second", 1), ("third", 1), ("ä", 1)),
                    is_complete=True,
                    has_more=False,
                )
                assert await node.survey_channel(APP, "room") == ChannelSurvey((("room", 4),), True, False)
                assert await node.survey_channel(APP, "theirs") == ChannelSurvey((), True, False)
            three.disconnect(leaving.connection)
            assert (await two.survey_channels(APP)).channels == (("first", 1), ("room", 3), ("second", 1))
            assert (await two.survey_channels("nowhere")).channels == ()

    async def test_what_is_the_servers_own_never_shows(self, buses: Buses) -> None:
        async with running(buses) as (one, two, _):
            pinned = Client(one, "pinned").connect(USERS_CHANNEL)
            await one.watch_app(pinned.connection)
            await subscribe(two, "users", "room", app=APP)
            watcher = await subscribe(two, app=APP)
            await two.watch_app(watcher.connection)
            for node in (one, two):
                assert (await node.survey_channels(DEFAULT_APP)).channels == ()
                assert (await node.survey_channel(DEFAULT_APP, USERS_CHANNEL)).channels == ()
                assert names(await node.survey_channels(APP)) == ["room", "users"]
            with pytest.raises(InvalidValue):
                await one.survey_channel(DEFAULT_APP, ALL_NODES)

    async def test_pages_of_the_union_are_whole(self, buses: Buses) -> None:
        chance = random.Random(7)
        async with running(buses) as nodes:
            expected: dict[str, int] = {}
            for number in range(40):
                name = f"{chance.choice(['a', 'b', 'ä'])}{number}"
                for _ in range(chance.randint(1, 4)):
                    await subscribe(chance.choice(nodes), name)
                    expected[name] = expected.get(name, 0) + 1
            for prefix in ("", "a", "b1", "zz"):
                wanted = sorted((name, count) for name, count in expected.items() if name.startswith(prefix))
                for limit in (1, 3, 40, 100):
                    found: list[tuple[str, int]] = []
                    while True:
                        page = await nodes[1].survey_channels(
                            APP, prefix=prefix, after=found[-1][0] if found else "", limit=limit
                        )
                        assert page.is_complete
                        assert len(page.channels) == limit or not page.has_more
                        found.extend(page.channels)
                        if not page.has_more:
                            break
                    assert found == wanted

    async def test_what_cannot_be_asked_for_is_refused(self, buses: Buses) -> None:
        async with running(buses, 1) as (node,):
            for limit in (0, -1, MAX_CHANNELS + 1):
                with pytest.raises(InvalidValue):
                    await node.survey_channels(APP, limit=limit)
            for text in ("x" * (ChannelLimits().name_bytes + 1), "\0", "\ud800"):
                with pytest.raises(InvalidValue):
                    await node.survey_channels(APP, prefix=text)
                with pytest.raises(InvalidValue):
                    await node.survey_channels(APP, after=text)
                with pytest.raises(InvalidValue):
                    await node.survey_channel(APP, text)

    async def test_a_stopped_node_makes_no_surveys(self, buses: Buses) -> None:
        async with running(buses, 1) as (node,):
            await node.stop()
            with pytest.raises(BrokerUnavailable):
                await node.survey_channels(APP)

    async def test_a_user_is_disconnected_on_all_nodes(self, buses: Buses) -> None:
        async with running(buses) as nodes:
            anns = [await subscribe(node, "room", user_id="ann") for node in nodes]
            others = [
                await subscribe(nodes[0], "room", user_id="bob"),
                await subscribe(nodes[1], app="b", user_id="ann"),
            ]
            await nodes[2].disconnect_user(APP, "ann")
            await until(lambda: all(ann.closed for ann in anns))
            assert {type(reason) for ann in anns for reason in ann.closed} == {DisconnectedByApp}
            assert (await nodes[0].survey_channels(APP)).channels == (("room", 1),)
            assert not any(other.closed for other in others)


class TestSeveralNodes:
    """What can only go wrong between processes."""

    async def test_a_node_is_known_as_soon_as_it_has_started(self, redis_buses: RedisBuses) -> None:
        async with running(redis_buses, 2) as (one, _):
            await subscribe(one, "room")
            newcomer = make_node(redis_buses)
            await newcomer.start()
            await subscribe(newcomer, "room")
            assert await newcomer.survey_channels(APP) == ChannelSurvey((("room", 2),), True, False)
            assert await one.survey_channels(APP) == ChannelSurvey((("room", 2),), True, False)
            await newcomer.stop()
            started = time.monotonic()
            assert await one.survey_channels(APP) == ChannelSurvey((("room", 1),), True, False)
            assert time.monotonic() - started < 0.9  # nobody waits for a node that has said that it goes

    async def test_a_node_that_does_not_answer_makes_a_survey_incomplete(self, redis_buses: RedisBuses) -> None:
        async with running(redis_buses) as (one, two, hung):
            await subscribe(two, "room")
            await subscribe(hung, "room")
            assert await one.survey_channels(APP) == ChannelSurvey((("room", 2),), True, False)
            answers, hung._neighbours._handlers[SURVEY] = hung._neighbours._handlers[SURVEY], []
            started = time.monotonic()
            assert await one.survey_channels(APP) == ChannelSurvey((("room", 1),), False, False)
            assert 0.9 < time.monotonic() - started < 3.0
            hung._neighbours._handlers[SURVEY] = answers
            assert await one.survey_channel(APP, "room") == ChannelSurvey((("room", 2),), True, False)
            hung._neighbours._handlers[SURVEY] = []
            asking = asyncio.ensure_future(one.survey_channels(APP))
            await until(lambda: bool(surveys_of(one)))
            await hung.stop()
            assert await asking == ChannelSurvey((("room", 1),), True, False)

    async def test_a_dead_node_is_waited_for_no_longer_than_its_lease(
        self, redis_buses: RedisBuses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neighbours, "BEAT_SECONDS", 0.1)
        monkeypatch.setattr(neighbours, "DEAF_SECONDS", 0.7)
        monkeypatch.setattr(neighbours, "LEASE_SECONDS", 1.5)
        async with running(redis_buses, 1) as (one,), redis_buses.node() as bus:
            await bus.broker.publish(Publication(DEFAULT_APP, ALL_NODES, neighbours.HELLO, {"from": "dead"}))
            await until(lambda: one._neighbours.alive() == {"dead"})
            assert not (await one.survey_channels(APP)).is_complete

            async def is_complete() -> bool:
                return (await one.survey_channels(APP)).is_complete

            await until_async(is_complete)

    async def test_a_process_that_hangs_and_is_killed(
        self, redis_buses: RedisBuses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neighbours, "LEASE_SECONDS", 4.0)
        whole = ChannelSurvey((("room", 2), ("theirs", 1)), True, False)
        async with running(redis_buses, 1) as (one,), other_process(redis_buses) as process:
            await subscribe(one, "room")
            assert await one.survey_channels(APP) == whole
            process.send_signal(signal.SIGSTOP)
            assert await one.survey_channels(APP) == ChannelSurvey((("room", 1),), False, False)
            process.send_signal(signal.SIGCONT)
            assert await one.survey_channels(APP) == whole
            process.kill()

            async def is_complete() -> bool:
                survey = await one.survey_channels(APP)
                assert survey.channels == (("room", 1),)
                return survey.is_complete

            assert not await is_complete()
            await until_async(is_complete)

    async def test_a_node_that_was_cut_off_knows_that_it_knows_nothing(
        self, redis_buses: RedisBuses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neighbours, "BEAT_SECONDS", 0.1)
        monkeypatch.setattr(neighbours, "DEAF_SECONDS", 0.5)
        monkeypatch.setattr(neighbours, "LEASE_SECONDS", 1.0)
        _, _, address = redis_buses.settings.url.rpartition("@")
        port = int(address.rpartition(":")[2].partition("/")[0])
        async with TCPProxy(port) as proxy, running(redis_buses, 1) as (near,):
            far_buses = RedisBuses(
                f"redis://127.0.0.1:{proxy.port}/0", prefix=redis_buses.settings.prefix, max_waiting_seconds=0.3
            )
            async with running(far_buses, 1) as (far,):
                await subscribe(near, "room")
                await subscribe(far, "room")
                assert await far.survey_channels(APP) == ChannelSurvey((("room", 2),), True, False)
                async with proxy.outage():
                    with pytest.raises(BrokerUnavailable):
                        await far.survey_channels(APP)
                    await until(lambda: not far._neighbours.alive())
                    assert not far._neighbours.are_known()

                async def is_whole() -> bool:
                    with contextlib.suppress(BrokerUnavailable):
                        survey = await far.survey_channels(APP)
                        assert not survey.is_complete or survey.channels == (("room", 2),)
                        return survey.is_complete
                    return False

                await until_async(is_whole)

    async def test_what_others_say_wrongly_is_left_out(self, redis_buses: RedisBuses) -> None:
        async with running(redis_buses, 2) as (one, two), redis_buses.node() as bus:
            await subscribe(one, "room")
            await subscribe(two, "room")
            assert (await one.survey_channels(APP)).is_complete
            two._neighbours._handlers[SURVEY] = []
            asking = asyncio.ensure_future(one.survey_channels(APP))
            await until(lambda: bool(surveys_of(one)))
            (number,) = surveys_of(one)
            own = f" node {one._neighbours.id}"
            for data in (
                {"number": [], "channels": []},
                {"number": number, "channels": None},
                {"number": number, "channels": [["room"]]},
                {"number": number, "channels": [["room", "many"]]},
                {"number": number + 1, "channels": [["room", 1]]},
            ):
                await bus.broker.publish(
                    Publication(DEFAULT_APP, own, surveys.SURVEY_ANSWER, {"from": two._neighbours.id, **data})
                )
            for question in (None, [], [1, 2], [APP, None, "", "", "many"]):
                await bus.broker.publish(
                    Publication(DEFAULT_APP, ALL_NODES, SURVEY, {"from": "x", "number": 1, "question": question})
                )
            assert await asking == ChannelSurvey((("room", 1),), False, False)

    async def test_so_many_surveys_at_once(self, redis_buses: RedisBuses, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(surveys, "MAX_SURVEYS", 2)
        async with running(redis_buses, 2) as (one, _):
            made = await asyncio.gather(*(one.survey_channels(APP) for _ in range(5)), return_exceptions=True)
            assert [type(each) for each in made] == [ChannelSurvey] * 2 + [Overloaded] * 3
            assert (await one.survey_channels(APP)).is_complete
            assert surveys_of(one) == {}
