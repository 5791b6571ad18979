"""Anything may happen to the lines and to Redis: everything arrives in order and once, or a gap is told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.contract.buses import RedisBuses, RedisNode, publication, until
from tests.contract.test_redis_outages import wait
from tests.redis_server import RedisServer, find_redis
from tests.tcp_proxy import TCPProxy
from users_server.core.messages import Gap, HistoryRule, Publication

pytestmark = pytest.mark.gen_test(timeout=60)

RULE = HistoryRule(size=5000, seconds=60)
FAULTS = 12


async def one_fault(chance: random.Random, redis: RedisServer, proxies: list[TCPProxy]) -> None:
    proxy = chance.choice(proxies)
    await asyncio.sleep(chance.uniform(0, 0.15))
    match chance.randrange(5):
        case 0:
            proxy.cut()
            await asyncio.sleep(chance.uniform(0, 0.2))
        case 1:
            proxy.swallow_answers()
            await asyncio.sleep(chance.uniform(0, 0.1))
            proxy.cut()
        case 2:
            proxy.block()
            await asyncio.sleep(chance.uniform(0, 0.6))
        case 3:
            await asyncio.to_thread(redis.kill)
            await asyncio.to_thread(redis.start)
        case 4:
            redis.call("SCRIPT", "FLUSH")
    proxy.mend()


async def publish(nodes: list[RedisNode], stop: asyncio.Event, chance: random.Random) -> int:
    """Publish ``[node, number]`` in turn; how many it were."""
    outcomes = []
    while not stop.is_set():
        for _ in range(chance.randrange(1, 8)):
            number = len(outcomes)
            broker = nodes[number % 2].broker
            outcomes.append(asyncio.ensure_future(wait(broker.publish(publication([number % 2, number]), RULE))))
        await asyncio.sleep(chance.uniform(0, 0.02))
    await asyncio.gather(*outcomes)
    return len(outcomes)


@pytest.mark.parametrize("is_durable", [True, False])
@pytest.mark.parametrize("seed", range(3))
async def test_everything_in_order_and_once_or_a_gap(tmp_path: Path, seed: int, is_durable: bool) -> None:
    chance = random.Random(seed)
    redis = RedisServer(find_redis(), tmp_path / "redis", is_durable=is_durable)
    redis.start()
    times = {"max_waiting_seconds": 30.0, "command_timeout_seconds": 0.5, "connect_timeout_seconds": 1.0}
    try:
        async with TCPProxy(redis.port) as first, TCPProxy(redis.port) as second:
            urls = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in (first, second)]
            async with RedisBuses(urls[0], **times).node() as one, RedisBuses(urls[1], **times).node() as other:
                nodes = [one, other]
                for node in nodes:
                    await node.broker.subscribe("app", "room")
                stop = asyncio.Event()
                publishing = asyncio.create_task(publish(nodes, stop, chance))
                for _ in range(FAULTS):
                    await one_fault(chance, redis, [first, second])
                stop.set()
                count = await publishing
                await until(lambda: all(node.bus.statistics.is_connected for node in nodes))
                await one.broker.publish(publication("end"), RULE)
                for node in nodes:
                    await node.handler.until(lambda node=node: node.handler.data[-1:] == ["end"])  # type: ignore[misc]
                    check(node, count)
    finally:
        redis.kill()


def check(node: RedisNode, count: int) -> None:
    received = node.handler.data[:-1]
    for publisher in range(2):
        numbers = [number for by, number in received if by == publisher]  # type: ignore[misc]
        assert numbers == sorted(set(numbers))
    if not node.handler.of(Gap):
        assert len(received) == count
    positions = [each.position for each in node.handler.of(Publication)]
    assert len(positions) == len(set(positions))
