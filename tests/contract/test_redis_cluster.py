"""A Redis Cluster: everything of a channel is on one of its nodes, and may move to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.buses import RULE, BusNode, RedisBuses, RedisNode, member, publication, until
from tests.contract.test_brokers import TestControl, TestHistory, TestLifecycle, TestPublications
from tests.contract.test_presence_managers import TestPresence
from tests.contract.test_redis_outages import wait
from tests.contract.test_surveys import TestSurveys
from tests.redis_server import RedisCluster, find_redis
from users_server.backends.redis.keys import Keys
from users_server.core.messages import Gap, PresenceChange

pytestmark = pytest.mark.gen_test(timeout=90)

__all__ = ["TestControl", "TestHistory", "TestLifecycle", "TestPresence", "TestPublications", "TestSurveys"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """For tests that leave it as it was."""
    started = RedisCluster(find_redis(), tmp_path_factory.mktemp("cluster"))
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture
def buses(cluster: RedisCluster, request: pytest.FixtureRequest) -> RedisBuses:
    """In place of the one that runs each test for each kind: the promises hold in a Cluster, too."""
    return RedisBuses(cluster.url, prefix=f"{request.node.name}:")


async def test_channels_are_spread(buses: RedisBuses, cluster: RedisCluster) -> None:
    async with buses.nodes(2) as (one, other):
        names = [f"room {number}" for number in range(30)]
        await asyncio.gather(*(wait_for(other.broker.subscribe("app", name)) for name in names))
        for name in names:
            one.broker.publish(publication(name, name), RULE)
            one.broker.publish(publication(name, name))
            one.presence.join("app", name, member(name))
        await other.handler.until(lambda: len(other.handler.events) >= 90)
        for name in names:
            assert (await other.presence.state("app", name)).members == (member(name),)
            assert len((await other.broker.history("app", name)).publications) == 1
    owners = {cluster.owner_of(Keys("").of("app", name).slot).port for name in names}
    assert len(owners) == 3


async def test_a_channel_moves_while_it_is_used(buses: RedisBuses, cluster: RedisCluster) -> None:
    async with buses.nodes(2) as (one, other):
        await other.broker.subscribe("app", "room")
        for name in "ab":
            await one.presence.join("app", "room", member(name))
        stop = asyncio.Event()
        publishing = asyncio.create_task(publish_until(one, stop))
        await other.handler.until(lambda: len(other.handler.data) >= 20)
        slot = Keys("").of("app", "room").slot
        to = next(server for server in cluster.servers if server is not cluster.owner_of(slot))
        owner = await asyncio.to_thread(cluster.begin_move, slot, to)
        await asyncio.to_thread(cluster.move_keys, slot, owner, to)
        await one.presence.join("app", "room", member("c"))
        await asyncio.to_thread(cluster.end_move, slot, owner, to)
        count = len(other.handler.data)
        await other.handler.until(lambda: len(other.handler.data) >= count + 100)
        stop.set()
        published = await publishing
        await other.handler.until(lambda: len(other.handler.data) >= published)
        assert other.handler.data == list(range(published))
        assert other.handler.of(Gap) == []
        await one.presence.leave("app", "room", "a")
        await until(lambda: is_last_leave(other, "a"))
        assert [each.connection_id for each in (await other.presence.state("app", "room")).members] == ["b", "c"]


async def test_a_replica_takes_over(tmp_path: Path) -> None:
    cluster = RedisCluster(find_redis(), tmp_path, has_replicas=True)
    try:
        cluster.start()
        buses = RedisBuses(
            cluster.url, command_timeout_seconds=1.0, connect_timeout_seconds=1.0, max_waiting_seconds=30.0
        )
        async with buses.node() as one, buses.node() as other:
            names = [f"room {number}" for number in range(12)]
            for name in names:
                await other.broker.subscribe("app", name)
                await one.presence.join("app", name, member(name))
                await one.broker.publish(publication(0, name), RULE)
            await other.handler.until(lambda: len(other.handler.events) >= 24)
            await asyncio.to_thread(cluster.wait_for_replicas)
            cluster.servers[1].kill()
            waiting = [one.broker.publish(publication(number, name), RULE) for number in range(1, 20) for name in names]
            await asyncio.gather(*(wait(each) for each in waiting))
            await other.handler.until(lambda: len(other.handler.data) >= 240)
            for name in names:
                mine = [item for item in other.handler.events if getattr(item, "channel", "") == name]
                assert [item.data for item in mine if hasattr(item, "data")] == list(range(20))
                assert (await other.presence.state("app", name)).members == (member(name),)
            await one.broker.check()
    finally:
        cluster.stop()


async def publish_until(node: RedisNode | BusNode, stop: asyncio.Event) -> int:
    """Publish numbers, a few at a time; how many it were."""
    number = 0
    while not stop.is_set():
        waiting = [node.broker.publish(publication(number + n), RULE) for n in range(3)]
        number += 3
        for each in waiting:
            await each
    return number


def is_last_leave(node: BusNode, connection_id: str) -> bool:
    changes = node.handler.of(PresenceChange)
    return bool(changes) and not changes[-1].is_join and changes[-1].member.connection_id == connection_id


async def wait_for(awaitable: object) -> None:
    await awaitable  # type: ignore[misc]
