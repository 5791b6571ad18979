"""The node over the memory broker: in by publish, out by the handlers, and the end of connections."""

from __future__ import annotations

import pytest

from tests.unit.core.doubles import Bench, Client, LineEncoder, assert_nothing_is_left
from users_server.core.acceptance import Accepted
from users_server.core.channels import ChannelRule, ChannelRules
from users_server.core.messages import (
    DEFAULT_APP,
    USERS_CHANNEL,
    HistoryRule,
    Identity,
    Notice,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.errors import BrokerUnavailable, DisconnectedByApp, Shutdown

KEPT = ChannelRules([ChannelRule("kept", history=HistoryRule(10, 60.0))])


@pytest.mark.gen_test
async def test_a_channel_with_history_gives_positions_of_one_epoch() -> None:
    async with Bench(rules=KEPT) as bench:
        first = await bench.node.publish(DEFAULT_APP, "kept", "a", {})
        second = await bench.node.publish(DEFAULT_APP, "kept", "b", {})
        assert first is not None
        assert first.offset == 1
        assert second == StreamPosition(2, first.epoch)
        assert await bench.node.publish(DEFAULT_APP, "news", "a", {}) is None


@pytest.mark.gen_test
async def test_the_memory_broker_delivers_before_publish_returns() -> None:
    async with Bench() as bench:
        accepted = bench.node.publish(DEFAULT_APP, USERS_CHANNEL, "a", {})
        assert bench.statistics.publications == 1
        assert isinstance(accepted, Accepted)


@pytest.mark.gen_test
async def test_without_its_broker_a_node_refuses_and_says_so_when_awaited() -> None:
    node = Bench().node
    refused = node.publish(DEFAULT_APP, "news", "a", {})
    with pytest.raises(BrokerUnavailable):
        await refused
    with pytest.raises(BrokerUnavailable):
        await node.revoke(Revocation(user_id="u1"))
    with pytest.raises(BrokerUnavailable):
        await node.check()
    assert node.statistics.publications == 0


@pytest.mark.gen_test
async def test_a_revocation_closes_once_and_delivers_first_what_came_before_it() -> None:
    async with Bench() as bench:
        ann = Client(bench.node, "ann", identity=Identity(user_id="u1")).connect(USERS_CHANNEL)
        bob = Client(bench.node, "bob", identity=Identity(user_id="u2")).connect(USERS_CHANNEL)
        await bench.node.publish(DEFAULT_APP, USERS_CHANNEL, "Logout", {})
        await bench.node.revoke(Revocation(user_id="u1", message="Logged out"))
        await bench.node.revoke(Revocation(user_id="u1"))
        assert [(reason.reason, reason.message) for reason in ann.closed] == [("session_expired", "Logged out")]
        assert bob.closed == []
        assert ann.lines == ["Logout"]
        assert bench.statistics.closed == {"session_expired": 1}
        assert bench.statistics.connections == 1


@pytest.mark.gen_test
async def test_close_all_closes_everybody_for_the_reason() -> None:
    async with Bench() as bench:
        clients = [bench.client(name) for name in ("ann", "bob")]
        bench.node.close_all(Shutdown())
        assert [client.closed[0].reason for client in clients] == ["shutdown", "shutdown"]
        assert bench.statistics.closed == {"shutdown": 2}


class Stumbling(LineEncoder):
    def encode(self, publication: Publication) -> bytes | None:
        raise ZeroDivisionError


@pytest.mark.gen_test
async def test_a_codec_or_a_handler_that_stumbles_stops_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    async with Bench() as bench:
        heard: list[object] = []
        bench.node.on_notice("news", stumble)
        bench.node.on_notice("news", heard.append)
        bench.node.on_interruption(stumble)
        bench.node.on_interruption(lambda: heard.append("interruption"))
        bench.node.observe_occupancy(stumble)
        clumsy, client = bench.client("clumsy", encoder=Stumbling()), bench.client("ann")
        await clumsy.subscribe("broken")
        await client.subscribe("news")
        await bench.node.publish(DEFAULT_APP, "broken", "a", {})
        await bench.node.publish(DEFAULT_APP, "news", "b", {})
        await bench.node.notify(Notice("news", {"x": 1}))
        bench.node.handle_interruption()
        bench.tick()
        assert client.lines == ["<news>", "b"]
        assert heard == [{"x": 1}, "interruption"]
        for connection in bench.hub.connections():
            bench.node.disconnect(connection)
        assert_nothing_is_left(bench.node)
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 7
        assert bench.statistics.interruptions == 1


@pytest.mark.gen_test
async def test_all_connections_of_a_user_of_one_app_are_closed() -> None:
    async with Bench() as bench:
        one, two = (bench.client(name, app="arena", user_id="ann") for name in ("one", "two"))
        bob = bench.client("bob", app="arena", user_id="bob")
        elsewhere = bench.client("elsewhere", app="another", user_id="ann")
        await one.subscribe("room", is_member=True)
        await bob.subscribe("room", is_member=True)
        await bench.node.publish("arena", "room", "a", {})
        await bench.node.disconnect_user("arena", "ann")
        await bench.node.disconnect_user("arena", "nobody")
        bench.tick()
        assert [type(reason) for reason in one.closed + two.closed] == [DisconnectedByApp] * 2
        assert one.lines == ["<room>", "+Ubob", "a"]
        assert bob.lines == ["<room>", "a", "-Uone"]
        assert bob.closed == elsewhere.closed == []
        assert bench.statistics.closed == {"disconnected_by_app": 2}
