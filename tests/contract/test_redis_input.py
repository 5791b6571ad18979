"""What other programs publish in Redis: one of all nodes handles each message, whatever happens to nodes and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.buses import until
from tests.redis_server import RedisServer, find_redis
from tests.tcp_proxy import TCPProxy
from users_server.backends.redis import RedisBus
from users_server.core.clock import SystemClock
from users_server.core.interfaces import ExternalInput
from users_server.services.settings import BrokerSettings

pytestmark = pytest.mark.gen_test(timeout=60)

CHANNEL = "laravel_broadcast"


class Listening:
    """What all nodes together have handled, in order, and how often each node did."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []
        self.by: list[str] = []
        self.may_go = asyncio.Event()
        self.may_go.set()

    @asynccontextmanager
    async def node(self, url: str, name: str) -> AsyncIterator[ExternalInput]:
        """One more node that listens."""
        found = RedisBus(BrokerSettings(url=url), "node", SystemClock()).open_input("")

        async def handle(message: bytes) -> None:
            await self.may_go.wait()
            self.handled.append(message)
            self.by.append(name)

        await found.listen(CHANNEL, handle)
        try:
            yield found
        finally:
            await found.close()


def numbers(first: int, last: int) -> list[bytes]:
    return [b"message %d" % number for number in range(first, last)]


def publish(redis: RedisServer, messages: list[bytes]) -> None:
    for message in messages:
        redis.call("PUBLISH", CHANNEL, message)


async def test_one_node_handles_each_message_in_order(own_redis: RedisServer) -> None:
    listening = Listening()
    async with (
        listening.node(own_redis.url, "a"),
        listening.node(own_redis.url, "b"),
        listening.node(own_redis.url, "c"),
    ):
        await asyncio.to_thread(publish, own_redis, numbers(0, 200))
        await until(lambda: len(listening.handled) >= 200)
        assert listening.handled == numbers(0, 200)
        assert set(listening.by) == {"a"}


async def test_the_next_one_goes_on_when_a_node_stops(own_redis: RedisServer) -> None:
    listening = Listening()
    async with listening.node(own_redis.url, "a") as first:
        async with listening.node(own_redis.url, "b"):
            await asyncio.to_thread(publish, own_redis, numbers(0, 20))
            await until(lambda: len(listening.handled) >= 20)
            await first.close()
            await asyncio.to_thread(publish, own_redis, numbers(20, 40))
            await until(lambda: len(listening.handled) >= 40)
            assert listening.handled == numbers(0, 40)
            assert listening.by[-1] == "b"


async def test_the_next_one_handles_what_came_meanwhile_when_a_node_is_cut_off(own_redis: RedisServer) -> None:
    listening = Listening()
    async with TCPProxy(own_redis.port) as proxy:
        async with (
            listening.node(f"redis://127.0.0.1:{proxy.port}/0", "a"),
            listening.node(own_redis.url, "b"),
            listening.node(own_redis.url, "c"),
        ):
            await asyncio.to_thread(publish, own_redis, [*numbers(0, 20), b"same", b"same", b"same"])
            await until(lambda: len(listening.handled) >= 23)
            # what is handled and not recorded yet would be handled again, as is promised
            await until(lambda: own_redis.call("LLEN", f"users-server:{{/input/{CHANNEL}}}:handled") == 23)
            proxy.cut()
            await asyncio.to_thread(publish, own_redis, [b"same", b"same", *numbers(23, 40)])
            await until(lambda: len(listening.handled) >= 42)
            proxy.mend()
            await asyncio.to_thread(publish, own_redis, numbers(40, 60))
            await until(lambda: len(listening.handled) >= 62)
            assert listening.handled == [*numbers(0, 20), *[b"same"] * 5, *numbers(23, 60)]
            assert listening.by == ["a"] * 23 + ["b"] * 39


async def test_the_next_one_handles_what_a_node_had_heard_and_not_handled(own_redis: RedisServer) -> None:
    stuck, listening = Listening(), Listening()
    async with TCPProxy(own_redis.port) as proxy:
        async with stuck.node(f"redis://127.0.0.1:{proxy.port}/0", "a"), listening.node(own_redis.url, "b"):
            await asyncio.to_thread(publish, own_redis, numbers(0, 5))
            await until(lambda: len(stuck.handled) >= 5)
            await until(lambda: own_redis.call("LLEN", f"users-server:{{/input/{CHANNEL}}}:handled") == 5)
            stuck.may_go.clear()
            await asyncio.to_thread(publish, own_redis, numbers(5, 30))
            proxy.cut()
            await until(lambda: len(listening.handled) >= 25)
            assert listening.handled == numbers(5, 30)
            stuck.may_go.set()
            proxy.mend()


@pytest.mark.parametrize("is_durable", [True, False])
async def test_it_survives_a_restart_of_redis(tmp_path: Path, is_durable: bool) -> None:
    redis = RedisServer(find_redis(), tmp_path / "redis", is_durable=is_durable)
    redis.start()
    listening = Listening()
    try:
        async with listening.node(redis.url, "a"), listening.node(redis.url, "b"):
            await asyncio.to_thread(publish, redis, numbers(0, 10))
            await until(lambda: len(listening.handled) >= 10)
            await asyncio.to_thread(redis.restart)
            await until(lambda: redis.call("PUBSUB", "NUMSUB", CHANNEL)[1] == 2)
            await asyncio.to_thread(publish, redis, numbers(10, 40))
            await until(lambda: len(listening.handled) >= 40)
            assert listening.handled == numbers(0, 40)
    finally:
        redis.kill()


async def test_a_handler_that_fails_ends_nothing(own_redis: RedisServer) -> None:
    found = RedisBus(BrokerSettings(url=own_redis.url), "node", SystemClock()).open_input("")
    handled: list[bytes] = []

    async def handle(message: bytes) -> None:
        handled.append(message)
        if message == b"bad":
            raise RuntimeError("a bug")

    await found.listen(CHANNEL, handle)
    try:
        await asyncio.to_thread(publish, own_redis, [b"bad", b"good"])
        await until(lambda: len(handled) >= 2)
        assert handled == [b"bad", b"good"]
    finally:
        await found.close()
        await found.close()
