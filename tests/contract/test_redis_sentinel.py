"""Redis with Sentinel: another server takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.buses import RULE, RedisBuses, member, publication, until
from tests.contract.test_redis_outages import wait
from tests.redis_server import SentinelSet, find_redis
from users_server.core.messages import Publication
from users_server.errors import BrokerUnavailable

pytestmark = pytest.mark.gen_test(timeout=90)


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelSet]:
    started = SentinelSet(find_redis(), tmp_path)
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_the_replica_takes_over(sentinels: SentinelSet, how: str) -> None:
    buses = RedisBuses(
        sentinels.url, command_timeout_seconds=1.0, connect_timeout_seconds=1.0, max_waiting_seconds=30.0
    )
    async with buses.node() as one, buses.node() as other:
        await other.broker.subscribe("app", "room")
        await one.presence.join("app", "room", member("a"))
        first = [await one.broker.publish(publication(number), RULE) for number in range(20)]
        await other.handler.until(lambda: len(other.handler.data) >= 20)
        await asyncio.to_thread(sentinels.wait_for_replica)
        getattr(sentinels.master, how)()
        waiting = [one.broker.publish(publication(number), RULE) for number in range(20, 40)]
        await asyncio.gather(*(wait(each) for each in waiting))
        await until(lambda: other.bus.statistics.is_connected)
        await other.handler.until(lambda: other.handler.data[-1:] == [39])
        assert other.handler.data == list(range(40))
        page = await other.broker.history("app", "room", since=first[9])
        assert page.is_complete
        assert [item.data for item in page.publications] == list(range(10, 40))
        assert (await other.presence.state("app", "room")).members == (member("a"),)
        assert len({item.position.epoch for item in other.handler.of(Publication) if item.position}) == 2


async def test_a_service_that_nobody_knows(sentinels: SentinelSet) -> None:
    with pytest.raises(BrokerUnavailable):
        async with RedisBuses(sentinels.url.replace("/main/", "/other/"), connect_timeout_seconds=0.5).node():
            pass
