"""What becomes of the members of a node that dies, hangs, or is cut off, and of all when Redis forgets them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.buses import RedisBuses, RedisNode, member, until, until_async
from tests.contract.test_presence_managers import refs, story
from tests.redis_server import RedisServer, find_redis
from tests.tcp_proxy import TCPProxy
from users_server.core.messages import PresenceChange
from users_server.errors import BrokerUnavailable

pytestmark = pytest.mark.gen_test(timeout=60)

LEASE_SECONDS = 0.9

NODE = """
import asyncio, sys
from tests.contract.buses import RedisBuses, member
async def main():
    async with RedisBuses(sys.argv[1], lease_seconds=float(sys.argv[2])).node() as node:
        for number in range(250):
            await node.presence.join("app", f"room {number % 3}", member(f"dead {number}", f"user {number % 5}"))
        print("joined", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@asynccontextmanager
async def other_process(redis: RedisServer) -> AsyncIterator[asyncio.subprocess.Process]:
    """A node with members in three rooms, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NODE, redis.url, str(LEASE_SECONDS), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        while await process.stdout.readline() != b"joined\n":
            assert not process.stdout.at_eof()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def members_of(node: RedisNode, channel: str = "room") -> list[str]:
    return [each.connection_id for each in (await node.presence.state("app", channel)).members]


async def until_members(node: RedisNode, *expected: str, channel: str = "room", seconds: float = 15) -> None:
    async def is_so() -> bool:
        return await members_of(node, channel) == list(expected)

    await until_async(is_so, seconds=seconds)


class TestADeadNode:
    async def test_its_members_leave_once(self, own_redis: RedisServer) -> None:
        buses = RedisBuses(own_redis.url, lease_seconds=LEASE_SECONDS)
        async with other_process(own_redis) as process, buses.node() as one, buses.node() as other:
            await one.presence.join("app", "room 0", member("alive", "user 0"))
            for number in range(3):
                await one.broker.subscribe("app", f"room {number}")
            process.send_signal(signal.SIGKILL)
            await one.handler.until(lambda: len(one.handler.of(PresenceChange)) >= 250)
            await until_members(other, "alive", channel="room 0")
            await until_members(other, channel="room 1")
            left = [change for change in one.handler.of(PresenceChange) if not change.is_join]
            assert sorted(change.member.connection_id for change in left) == sorted(f"dead {n}" for n in range(250))
            users = [(change.channel, change.member.user_id) for change in left if change.is_of_user]
            assert len(users) == len(set(users)) == 14  # five users in three rooms; one still is in the first
            await until(lambda: own_redis.call("ZCARD", "users-server:{/leases}:reaping") == 0)
            assert len(own_redis.call("KEYS", "*claimed/*")) == 1

    async def test_a_node_that_hung_comes_back_with_its_members(self, own_redis: RedisServer) -> None:
        async with (
            other_process(own_redis) as process,
            RedisBuses(own_redis.url, lease_seconds=LEASE_SECONDS).node() as one,
        ):
            before = await members_of(one, "room 1")
            assert len(before) == 83
            process.send_signal(signal.SIGSTOP)
            await until_members(one, channel="room 1")
            process.send_signal(signal.SIGCONT)

            async def are_back() -> bool:
                return sorted(await members_of(one, "room 1")) == sorted(before)

            await until_async(are_back)

    async def test_a_node_that_stops_leaves_at_once(self, own_redis: RedisServer) -> None:
        async with RedisBuses(own_redis.url, lease_seconds=60).node() as one:
            await one.broker.subscribe("app", "room")
            async with RedisBuses(own_redis.url, lease_seconds=60).node() as other:
                await other.presence.join("app", "room", member("a"))
                await other.presence.join("app", "room", member("b"))
            await one.handler.until(lambda: len(one.handler.events) >= 4)
            assert await members_of(one) == []
        assert own_redis.call("KEYS", "*claim*") == []
        assert own_redis.call("ZRANGE", "users-server:{/leases}:alive", 0, -1) == []


class TestACutLine:
    async def test_a_short_cut_changes_nothing(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with (
                RedisBuses(own_redis.url, lease_seconds=10).node() as near,
                RedisBuses(f"redis://127.0.0.1:{proxy.port}/0", lease_seconds=10).node() as far,
            ):
                await near.broker.subscribe("app", "room")
                await far.presence.join("app", "room", member("a"))
                async with proxy.outage():
                    await until(lambda: not far.bus.statistics.is_connected)
                    leaving = far.presence.leave("app", "room", "a")
                    joining = far.presence.join("app", "room", member("b"))
                await leaving
                await joining
                await near.handler.until(lambda: len(near.handler.events) >= 3)
                assert story(near) == [("a", True, True), ("a", False, True), ("b", True, True)]
                assert far.bus.statistics.lapses == 0

    async def test_after_its_lease_a_node_claims_again_what_it_still_has(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with (
                RedisBuses(own_redis.url, lease_seconds=LEASE_SECONDS).node() as near,
                RedisBuses(f"redis://127.0.0.1:{proxy.port}/0", lease_seconds=LEASE_SECONDS).node() as far,
            ):
                await near.broker.subscribe("app", "room")
                for name in "abc":
                    await far.presence.join("app", "room", member(name))
                async with proxy.outage():
                    far.presence.leave("app", "room", "b")
                    await until_members(near)
                await near.handler.until(lambda: len(near.handler.events) >= 8)
                await until_members(near, "a", "c")
                await far.presence.leave("app", "room", "a")
                await until_members(near, "c")
                assert far.bus.statistics.lapses == 1

    async def test_a_join_that_failed_leaves_nothing(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            buses = RedisBuses(f"redis://127.0.0.1:{proxy.port}/0", max_waiting_seconds=0.3)
            async with RedisBuses(own_redis.url).node() as near, buses.node() as far:
                await far.presence.join("app", "room", member("a"))
                proxy.swallow_answers()
                joining = far.presence.join("app", "room", member("b"))
                await until_members(near, "a", "b")
                with pytest.raises(BrokerUnavailable):
                    await joining
                proxy.cut()
                with pytest.raises(BrokerUnavailable):
                    await far.presence.join("app", "room", member("c"))
                proxy.mend()
                await until_members(near, "a")

    async def test_a_change_that_was_missed_is_told(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with (
                RedisBuses(own_redis.url).node() as near,
                RedisBuses(f"redis://127.0.0.1:{proxy.port}/0").node() as far,
            ):
                await far.broker.subscribe("app", "room")
                await far.broker.subscribe("app", "empty")
                async with proxy.outage():
                    await until(lambda: not far.bus.statistics.is_connected)
                    await near.presence.join("app", "room", member("a"))
                await far.handler.until(lambda: len(far.handler.events) >= 1)
                assert story(far) == [("a", True, True)]
                async with proxy.outage():
                    await until(lambda: not far.bus.statistics.is_connected)
                    await near.presence.join("app", "room", member("b"))
                    await near.presence.leave("app", "room", "a")
                await far.handler.until(lambda: len(far.handler.events) >= 2)
                assert story(far)[1:] == [("a", False, True)]
                assert [change.version for change in far.handler.of(PresenceChange)] == [1, 3]

    async def test_that_everybody_is_gone_is_told(self, own_redis: RedisServer) -> None:
        async with RedisBuses(own_redis.url).node() as one:
            async with RedisBuses(own_redis.url).node() as other:
                await one.broker.subscribe("app", "room")
                await other.presence.join("app", "room", member("a"))
                await one.handler.until(lambda: len(one.handler.events) >= 1)
                own_redis.kill()
            own_redis.start()
            await one.handler.until(lambda: len({change.epoch for change in one.handler.of(PresenceChange)}) == 2)
            assert await members_of(one) == []


class TestARestart:
    async def test_everybody_is_claimed_again_when_redis_has_forgotten(self, own_redis: RedisServer) -> None:
        buses = RedisBuses(own_redis.url)
        async with buses.node() as one, buses.node() as other:
            await other.broker.subscribe("app", "room")
            for number in range(120):
                await (one, other)[number % 2].presence.join("app", "room", member(f"{number}"))
            own_redis.kill()
            one.presence.leave("app", "room", "0")
            own_redis.start()

            async def are_back() -> bool:
                return sorted(map(int, await members_of(one))) == list(range(1, 120))

            await until_async(are_back)
            assert len({change.epoch for change in other.handler.of(PresenceChange)}) == 2

    async def test_what_is_claimed_again_has_the_ref_of_now(self, own_redis: RedisServer) -> None:
        buses = RedisBuses(own_redis.url)
        async with buses.nodes(2) as (one, other):
            await other.broker.subscribe("app", "room")
            await one.presence.join("app", "room", member("a", "ann", {"n": 1}, "first"))
            await one.presence.join("app", "room", member("b", "bob", {"n": 2}, "of bob"))
            own_redis.kill()
            one.presence.leave("app", "room", "a")
            joining = one.presence.join("app", "room", member("a", "ann", {"n": 1}, "second"))
            own_redis.start()
            await joining
            await until_members(other, "b", "a")
            state = await other.presence.state("app", "room")
            assert [each.ref for each in state.members] == ["of bob", "second"]

    async def test_a_claim_of_a_former_time_is_replaced(self, own_redis: RedisServer) -> None:
        """As after a failover to a replica that had not heard of the last changes."""
        async with RedisBuses(own_redis.url).nodes(2) as (one, other):
            await other.broker.subscribe("app", "room")
            await one.presence.join("app", "room", member("a", "ann", None, "first"))
            (key,) = own_redis.call("KEYS", "*claims")
            former = own_redis.call("HGET", key, "a")
            await one.presence.leave("app", "room", "a")
            await one.presence.join("app", "room", member("a", "ann", None, "second"))
            own_redis.call("HSET", key, "a", former)
            own_redis.call("DEL", "users-server:{/leases}:alive")

            async def is_replaced() -> bool:
                return [each.ref for each in (await other.presence.state("app", "room")).members] == ["second"]

            await until_async(is_replaced)
            await other.handler.until(lambda: len(other.handler.events) >= 5)
            assert refs(other)[-2:] == [("first", False), ("second", True)]

    async def test_a_restart_that_keeps_the_data_keeps_the_members(self, tmp_path: Path) -> None:
        server = RedisServer(find_redis(), tmp_path / "redis", is_durable=True)
        server.start()
        try:
            async with RedisBuses(server.url).node() as one, RedisBuses(server.url).node() as other:
                await other.broker.subscribe("app", "room")
                for name in "abc":
                    await one.presence.join("app", "room", member(name))
                server.kill()
                one.presence.leave("app", "room", "b")
                server.start()
                await until_members(other, "a", "c")
                await one.presence.join("app", "room", member("d"))
                await other.handler.until(lambda: len(other.handler.events) >= 5)
                assert [line[:2] for line in story(other)[3:]] == [("b", False), ("d", True)]
                await until(lambda: one.bus.statistics.lapses == 1)
                await until_members(other, "a", "c", "d")
        finally:
            server.kill()
