"""The Redis broker when Redis, or the line to it, goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from tests.contract.buses import RULE, RedisBuses, RedisNode, publication, until
from tests.launcher import Certificate
from tests.ports import free_ports
from tests.redis_server import RedisServer, find_redis
from tests.tcp_proxy import TCPProxy
from users_server.core.messages import Gap, HistoryRule, Member, Notice, Publication, Revocation, StreamPosition
from users_server.errors import BrokerUnavailable, Overloaded

RIGHTS = ["~users-server:*", "&users-server:*", "+@all", "-@dangerous", "+info"]

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(find_redis(), tmp_path / "redis", is_durable=True)
    server.start()
    yield server
    server.kill()


def url(proxy: TCPProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def is_down(node: RedisNode) -> bool:
    return not node.bus.statistics.is_connected


class TestACutLine:
    async def test_what_was_missed_is_brought_in_order_and_once(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                for node in (near, far):
                    await node.broker.subscribe("app", "room")
                await near.broker.publish(publication(0), RULE)
                await far.handler.until_data(0)
                async with proxy.outage():
                    await until(lambda: is_down(far))
                    for number in range(1, 50):
                        await near.broker.publish(publication(number), RULE)
                    await near.broker.revoke(Revocation("u"))
                await far.handler.until(lambda: len(far.handler.events) >= 51)
                assert far.handler.data == list(range(50))
                assert far.handler.of(Revocation) == [Revocation("u")]
                assert far.handler.of(Gap) == []
                assert far.handler.interruptions == 0
                assert far.bus.statistics.reconnects == 1
                assert far.bus.statistics.gaps == 0

    async def test_a_first_publication_that_was_missed_is_brought(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                await far.broker.subscribe("app", "room")
                async with proxy.outage():
                    await until(lambda: is_down(far))
                    await near.broker.publish(publication(1), RULE)
                await far.handler.until_data(1)

    async def test_a_gap_is_told_if_too_much_was_missed_and_what_is_kept_follows(self, own_redis: RedisServer) -> None:
        rule = HistoryRule(size=3, seconds=60)
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                await far.broker.subscribe("app", "room")
                await near.broker.publish(publication(0), rule)
                await far.handler.until_data(0)
                async with proxy.outage():
                    await until(lambda: is_down(far))
                    for number in range(1, 10):
                        await near.broker.publish(publication(number), rule)
                await near.broker.publish(publication(10), rule)
                await far.handler.until(lambda: far.handler.data[-1] == 10)
                gap = far.handler.of(Gap)[0]
                kept = far.handler.of(Publication)[1:]
                assert far.handler.events[1] == gap
                assert [item.data for item in kept] == list(range(gap.top.offset, 11))
                assert len(kept) >= 3

    async def test_more_than_a_page_is_caught_up(self, own_redis: RedisServer) -> None:
        rule = HistoryRule(size=2000, seconds=60)
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                await far.broker.subscribe("app", "room")
                async with proxy.outage():
                    await until(lambda: is_down(far))
                    await asyncio.gather(*(near.broker.publish(publication(n), rule) for n in range(1500)))
                for number in range(1500, 1600):
                    near.broker.publish(publication(number), rule)
                await far.handler.until_data(*range(1600))

    async def test_publications_wait_for_the_line_in_order(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                for node in (near, far):
                    await node.broker.subscribe("app", "room")
                async with proxy.outage():
                    await until(lambda: is_down(far))
                    waiting = [far.broker.publish(publication(n), RULE if n % 2 else None) for n in range(50)]
                    assert far.bus.statistics.waiting >= 50
                    with pytest.raises(BrokerUnavailable):
                        await far.broker.check()
                await asyncio.gather(*(wait(one) for one in waiting))
                await near.handler.until_data(*range(50))
                await far.handler.until_data(*range(50))

    async def test_an_answer_that_was_lost_doubles_nothing(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                for node in (near, far):
                    await node.broker.subscribe("app", "room")
                proxy.swallow_answers()
                kept = [far.broker.publish(publication(number), RULE) for number in range(20)]
                unkept = far.broker.publish(publication("unkept"))
                await near.handler.until(lambda: len(near.handler.data) >= 21)
                proxy.cut()
                await until(lambda: is_down(far))
                proxy.mend()
                positions = await asyncio.gather(*(wait(one) for one in kept))
                assert [position and position.offset for position in positions] == list(range(1, 21))
                with pytest.raises(BrokerUnavailable, match="nobody knows"):
                    await unkept
                await far.broker.publish(publication(20), RULE)
                await near.handler.until_data(*range(20), "unkept", 20)
                await far.handler.until_data(*range(21))

    async def test_nothing_waits_for_ever_and_not_too_much_waits(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            buses = RedisBuses(url(proxy), max_waiting=10, max_waiting_seconds=0.3)
            async with buses.node() as node:
                async with proxy.outage():
                    await until(lambda: is_down(node))
                    waiting = [node.broker.publish(publication(number), RULE) for number in range(12)]
                    outcomes = await asyncio.gather(*(wait(one) for one in waiting), return_exceptions=True)
                    assert [type(outcome) for outcome in outcomes] == [BrokerUnavailable] * 10 + [Overloaded] * 2
                    with pytest.raises(BrokerUnavailable):
                        await node.broker.subscribe("app", "room")
                    with pytest.raises(BrokerUnavailable):
                        await node.broker.history("app", "room")
                await until(lambda: not is_down(node))
                assert (await node.broker.history("app", "room")).publications == ()
                assert await node.broker.publish(publication(1), RULE)

    async def test_a_line_that_is_silent_is_taken_for_dead(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            buses = RedisBuses(url(proxy), command_timeout_seconds=0.4, connect_timeout_seconds=0.4)
            async with RedisBuses(own_redis.url).node() as near, buses.node() as far:
                await far.broker.subscribe("app", "room")
                await near.broker.publish(publication(1), RULE)
                await far.handler.until_data(1)
                proxy.block()
                await near.broker.publish(publication(2), RULE)
                await until(lambda: is_down(far))
                proxy.mend()
                await far.handler.until_data(1, 2)

    async def test_who_missed_too_many_notices_is_told(self, own_redis: RedisServer) -> None:
        async with TCPProxy(own_redis.port) as proxy:
            async with RedisBuses(own_redis.url).node() as near, RedisBuses(url(proxy)).node() as far:
                async with proxy.outage():
                    await until(lambda: is_down(far))
                    await near.broker.notify(Notice("n", {"number": 1}))
                    own_redis.call("XTRIM", "users-server:{/control}:stream", "MAXLEN", 0)
                await far.handler.until(lambda: far.handler.interruptions == 1)
                await near.broker.notify(Notice("n", {"number": 2}))
                await far.handler.until(lambda: bool(far.handler.of(Notice)))
                assert far.handler.of(Notice) == [Notice("n", {"number": 2})]


class TestARestart:
    @pytest.mark.parametrize("how", ["stop", "kill"])
    async def test_nothing_is_lost_if_redis_keeps_its_data(self, durable_redis: RedisServer, how: str) -> None:
        async with RedisBuses(durable_redis.url).node() as one, RedisBuses(durable_redis.url).node() as other:
            await other.broker.subscribe("app", "room")
            first = await one.broker.publish(publication(0), RULE)
            await other.handler.until_data(0)
            getattr(durable_redis, how)()
            waiting = [one.broker.publish(publication(number), RULE) for number in range(1, 40)]
            await until(lambda: is_down(one) and is_down(other))
            durable_redis.start()
            await asyncio.gather(*(wait(each) for each in waiting))
            await other.handler.until_data(*range(40))
            assert other.handler.of(Gap) == []
            page = await other.broker.history("app", "room", since=first)
            assert [item.data for item in page.publications] == list(range(1, 40))
            assert page.is_complete

    async def test_redis_without_its_data_begins_anew_and_says_so(self, own_redis: RedisServer) -> None:
        async with RedisBuses(own_redis.url).node() as one, RedisBuses(own_redis.url).node() as other:
            await other.broker.subscribe("app", "room")
            old = await one.broker.publish(publication(0), RULE)
            await other.handler.until_data(0)
            own_redis.kill()
            waiting = one.broker.publish(publication(1), RULE)
            await until(lambda: is_down(one) and is_down(other))
            own_redis.start()
            new = await waiting
            assert old is not None
            assert new is not None
            assert new.epoch != old.epoch
            await other.handler.until(lambda: other.handler.data[-1:] == [1] and other.handler.interruptions == 1)
            assert other.handler.data == [0, 1]
            assert len(other.handler.of(Gap)) == 1
            page = await other.broker.history("app", "room", since=old)
            assert (page.publications, page.is_complete, page.top) == ((), False, new)

    async def test_a_redis_that_has_lost_its_last_writes_is_found_out(self, durable_redis: RedisServer) -> None:
        """It would give the same positions to other publications."""
        async with RedisBuses(durable_redis.url).node() as one, RedisBuses(durable_redis.url).node() as other:
            await other.broker.subscribe("app", "room")
            positions = [await one.broker.publish(publication(number), RULE) for number in range(6)]
            await other.handler.until_data(*range(6))
            lost = durable_redis.call(
                "EVAL",
                "redis.call('HSET', KEYS[1], 'serial', 3) "
                "local function newest() return redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1][1] end "
                "for n = 4, 6 do redis.call('XDEL', KEYS[2], newest()) end "
                "redis.call('XSETID', KEYS[2], '3-9999999999999') return 1",
                2,
                "users-server:{app/room}:meta",
                "users-server:{app/room}:stream",
            )
            assert lost == 1
            durable_redis.restart()
            await until(lambda: one.bus.statistics.reconnects == 1 and other.bus.statistics.reconnects == 1)
            new = await one.broker.publish(publication(6), RULE)
            assert new is not None
            await other.handler.until(lambda: other.handler.data[-1] == 6)
            assert other.handler.data == list(range(7))
            assert len(other.handler.of(Gap)) == 1
            for since in positions:
                assert since is not None
                assert new.epoch != since.epoch
                page = await one.broker.history("app", "room", since=since)
                assert not page.is_complete or since.offset <= 3

    async def test_redis_hangs_for_a_while(self, own_redis: RedisServer) -> None:
        buses = RedisBuses(own_redis.url, command_timeout_seconds=0.4, connect_timeout_seconds=0.4)
        async with buses.node() as one, buses.node() as other:
            await other.broker.subscribe("app", "room")
            await one.broker.publish(publication(0), RULE)
            own_redis.pause()
            try:
                waiting = [one.broker.publish(publication(number), RULE) for number in range(1, 30)]
                await until(lambda: is_down(one))
            finally:
                own_redis.resume()
            await asyncio.gather(*(wait(each) for each in waiting))
            await other.handler.until_data(*range(30))

    async def test_redis_forgets_its_scripts(self, own_redis: RedisServer) -> None:
        async with RedisBuses(own_redis.url).node() as one, RedisBuses(own_redis.url).node() as other:
            await other.broker.subscribe("app", "room")
            waiting = []
            for number in range(60):
                if number % 20 == 10:
                    own_redis.call("SCRIPT", "FLUSH")
                waiting.append(one.broker.publish(publication(number), RULE))
                if number % 7 == 0:
                    await other.broker.history("app", "room", limit=0)
            await asyncio.gather(*(wait(each) for each in waiting))
            await other.handler.until_data(*range(60))

    async def test_it_starts_when_redis_does(self, own_redis: RedisServer) -> None:
        own_redis.stop()
        with pytest.raises(BrokerUnavailable):
            async with RedisBuses(own_redis.url, connect_timeout_seconds=0.3).node():
                pass
        own_redis.start()
        async with RedisBuses(own_redis.url).node() as node:
            await node.broker.check()


class TestSecrets:
    async def test_password_and_database(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        server = RedisServer(find_redis(), tmp_path / "redis")
        server.start()
        try:
            # what docs/operation.md says that a user needs
            server.call("ACL", "SETUSER", "ann", "on", ">s3cret/", *RIGHTS)
            good = f"redis://ann:s3cret%2F@127.0.0.1:{server.port}/3"
            async with RedisBuses(good).node() as node:
                await node.broker.subscribe("app", "room")
                await node.broker.publish(publication(1), RULE)
                await node.presence.join("app", "room", Member("a", "a"))
                await node.handler.until(lambda: len(node.handler.events) >= 2)
                assert node.handler.data == [1]
                assert len((await node.broker.history("app", "room")).publications) == 1
                assert "s3cret" not in repr(node.bus)
            bad = f"redis://ann:wr0ng@127.0.0.1:{server.port}/3"
            with pytest.raises(BrokerUnavailable) as error:
                async with RedisBuses(bad, connect_timeout_seconds=0.5).node():
                    pass
            assert "wr0ng" not in f"{error.value!r}{caplog.text}"
        finally:
            server.kill()


class TestTLS:
    async def test_redis_behind_tls(
        self, tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = ["--tls-cert-file", str(certificate.certificate), "--tls-key-file", str(certificate.key)]
        options = [*files, "--tls-auth-clients", "no", "--tls-port", str(free_ports())]
        server = RedisServer(find_redis(), tmp_path / "redis", options=options)
        server.start()
        try:
            url = f"rediss://localhost:{options[-1]}/0"
            with pytest.raises(BrokerUnavailable):
                async with RedisBuses(url, connect_timeout_seconds=0.5).node():
                    pass
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
            async with RedisBuses(url).node() as node:
                await node.broker.subscribe("app", "room")
                await node.broker.publish(publication("x" * 300_000), RULE)
                await node.handler.until_data("x" * 300_000)
        finally:
            server.kill()


async def wait(publishing: Awaitable[StreamPosition | None]) -> StreamPosition | None:
    """For gather, which takes futures and coroutines alone when the same one is given twice."""
    return await publishing
