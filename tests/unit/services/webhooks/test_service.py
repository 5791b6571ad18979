"""What protocols announce, and what becomes of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.unit.services.webhooks.conftest import KEY, World
from users_server.core.outbox import OutboxNode
from users_server.errors import Overloaded, StoreUnavailable
from users_server.services.webhooks.process_identity import is_gone, own_process

Run = Callable[[Any], None]

JOIN = {"channel": "lobby", "event": "join", "socket_id": "ann"}
LEAVE = {"channel": "lobby", "event": "leave", "socket_id": "ann"}


def test_begin_and_end_are_sent_once_in_order(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        announcement = await node.announce(app, "lobby", JOIN, LEAVE)
        assert announcement
        await world.endpoints.wait_for(1)
        node.end(announcement)
        node.end(announcement)
        first, second = await world.endpoints.wait_for(2)
        assert (first.body, second.body) == (JOIN, LEAVE)
        assert (first.id, second.id) == (f"{announcement}-now", f"{announcement}-end")
        await world.settled()
        assert (node.figures.announced, node.figures.delivered, node.figures.open) == (1, 2, 0)

    run(test)


def test_a_join_that_is_left_at_once_is_still_two_deliveries(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), world.node()
        node._writer.start()
        for _ in range(20):
            announcement = await node.announce(app, "lobby", JOIN, LEAVE)
            assert announcement
            node.end(announcement)
        await node.start()
        await world.endpoints.wait_for(40)
        assert world.endpoints.bodies() == [JOIN, LEAVE] * 20
        await world.settled()
        assert world.endpoints.most_at_once == {"app.test": 1}

    run(test)


def test_one_half_only(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        first = await node.announce(app, "lobby", JOIN, None)
        second = await node.announce(app, "lobby", None, LEAVE)
        assert first
        assert second
        node.end(first)
        await world.endpoints.wait_for(1)
        assert await node.announce(app, "lobby", None, None) is None
        node.end(second)
        await world.endpoints.wait_for(2)
        assert world.endpoints.bodies() == [JOIN, LEAVE]

    run(test)


def test_what_did_not_happen_is_not_told(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), world.node()
        node._writer.start()
        announcement = await node.announce(app, "lobby", JOIN, LEAVE)
        assert announcement
        node.retract(announcement)
        await world.settled(0)
        announcement = await node.announce(app, "lobby", JOIN, None)
        await node.start()
        await world.endpoints.wait_for(1)
        assert world.endpoints.calls[0].id == f"{announcement}-now"

    run(test)


def test_what_was_told_already_is_ended(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        announcement = await node.announce(app, "lobby", JOIN, LEAVE)
        await world.endpoints.wait_for(1)
        assert announcement
        node.retract(announcement)
        await world.endpoints.wait_for(2)
        assert world.endpoints.bodies() == [JOIN, LEAVE]

    run(test)


def test_an_app_without_an_endpoint_is_owed_nothing(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(endpoint=""), await world.start()
        assert await node.announce(app, "lobby", JOIN, LEAVE) is None
        node.end("unknown")
        node.retract("unknown")
        assert world.store.tried_writes == []

    run(test)


def test_headers(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        open_app = await world.make_app("open", key="")
        await node.announce(app, "lobby", {"a": "ä"}, None)
        (call,) = await world.endpoints.wait_for(1)
        timestamp = str(world.clock.now_ms() // 1000)
        signed = f"{call.id}.{timestamp}.".encode() + orjson.dumps({"a": "ä"})
        signature = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
        assert call.headers == {
            "content-type": "application/json",
            "webhook-id": call.id,
            "webhook-timestamp": timestamp,
            "authorization": KEY,
            "webhook-signature": f"v1,{signature}",
        }
        assert call.id.count(".") == 0
        await node.announce(open_app, "lobby", JOIN, None)
        (call,) = await world.endpoints.wait_for(1, "open.test")
        assert set(call.headers) == {"content-type", "webhook-id", "webhook-timestamp"}

    run(test)


def test_those_that_wait_for_a_write_are_written_together(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        await asyncio.gather(*(node.announce(app, f"{number}", JOIN, None) for number in range(200)))
        assert sum(world.store.tried_writes) == 200
        assert len(world.store.tried_writes) <= 3
        await world.endpoints.wait_for(200)

    run(test)


def test_too_many_that_wait_are_refused(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start(max_unwritten=10)
        outcomes = await asyncio.gather(
            *(node.announce(app, "lobby", JOIN, None) for _ in range(30)), return_exceptions=True
        )
        assert sum(isinstance(outcome, str) for outcome in outcomes) == 10
        assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 20

    run(test)


def test_while_the_store_is_away_nothing_begins_and_no_end_is_lost(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        announcements = [await node.announce(app, f"{number}", JOIN, LEAVE) for number in range(5)]
        await world.endpoints.wait_for(5)
        await world.settled()
        world.store.is_away = True
        for announcement in announcements:
            assert announcement
            node.end(announcement)
        outcomes = await asyncio.gather(
            *(node.announce(app, "lobby", JOIN, LEAVE) for _ in range(50)), return_exceptions=True
        )
        assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
        with pytest.raises(StoreUnavailable):
            await node.announce(app, "lobby", JOIN, LEAVE)
        assert node.figures.unwritten <= 5 + 50
        world.store.is_away = False
        await world.endpoints.wait_for(10)
        await world.settled()
        assert world.endpoints.bodies().count(LEAVE) == 5
        assert len(world.endpoints.calls) == 10
        assert await node.announce(app, "lobby", JOIN, None)

    run(test)


def test_a_caller_that_gives_up_owes_nothing(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), world.node()
        node._writer.start()
        tasks = [asyncio.create_task(node.announce(app, "lobby", JOIN, LEAVE)) for _ in range(5)]
        await asyncio.sleep(0)  # some wait to be written
        tasks[0].cancel()
        await asyncio.sleep(0)  # and now they are being written
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [task.cancelled() for task in tasks] == [True, True, False, False, False]
        await world.settled(3)
        await node.stop(1.0)
        assert [delivery.id.split("-")[1] for delivery in await world.waiting()].count("end") <= 3

    run(test)


def test_what_nobody_ended_is_ended_when_the_process_stops(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        await node.announce(app, "lobby", JOIN, LEAVE)
        await world.endpoints.wait_for(1)
        await node.stop(5.0)
        assert world.endpoints.bodies() == [JOIN, LEAVE]
        assert await world.store.list_outbox_nodes() == []
        with pytest.raises(Overloaded):
            await node.announce(app, "lobby", JOIN, LEAVE)

    run(test)


def test_what_cannot_be_written_at_the_stop_is_left_to_the_will(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        announcement = await node.announce(app, "lobby", JOIN, LEAVE)
        await world.endpoints.wait_for(1)
        await world.settled()
        world.store.is_away = True
        assert announcement
        node.end(announcement)
        await node.stop(0.2)
        world.store.is_away = False
        # the record of the first is still there, and its process is this one: only its lease tells
        second = await world.start()
        for _ in range(4):
            world.clock.advance(5)
            await second._wills.look()
        await world.endpoints.wait_for(2)
        assert world.endpoints.bodies() == [JOIN, LEAVE]

    run(test)


def test_the_will_of_a_node_that_is_silent_for_longer_than_its_lease(run: Run) -> None:
    async def test(world: World) -> None:
        app = await world.make_app()
        first, second = world.node(), await world.start()
        first._writer.start()
        await first._wills.look()
        await first.announce(app, "lobby", None, LEAVE)
        await second._wills.look()
        world.clock.advance(14)
        await second._wills.look()
        await first._wills.look()  # it lives
        world.clock.advance(10)
        await second._wills.look()
        assert not world.endpoints.calls
        world.clock.advance(16)
        await second._wills.look()
        await world.endpoints.wait_for(1)
        assert second.figures.wills == 1
        assert [node.id for node in await world.store.list_outbox_nodes()] == ["node1"]

    run(test)


def test_an_outage_of_the_store_kills_nobody(run: Run) -> None:
    async def test(world: World) -> None:
        app = await world.make_app()
        first, second = world.node(), await world.start()
        first._writer.start()
        await first._wills.look()
        await first.announce(app, "lobby", None, LEAVE)
        await second._wills.look()
        world.store.is_away = True
        world.clock.advance(1000)
        with pytest.raises(StoreUnavailable):
            await second._wills.look()
        world.store.is_away = False
        await second._wills.look()
        world.clock.advance(5)
        await first._wills.look()
        await second._wills.look()
        world.clock.advance(11)
        await second._wills.look()
        assert not world.endpoints.calls

    run(test)


def test_the_will_of_a_neighbour_that_has_ended_is_executed_at_the_start(run: Run) -> None:
    async def test(world: World) -> None:
        app, gone = await world.make_app(), world.node()
        gone._writer.start()
        await gone.announce(app, "lobby", JOIN, LEAVE)
        ended = await asyncio.create_subprocess_exec("true")
        place = own_process().partition("/")[0]
        await ended.wait()
        alive_until = world.clock.now_ms() + 1_000_000
        await world.store.renew_outbox_node(OutboxNode("node0", f"{place}/{ended.pid}/1", alive_until))
        await world.start()
        await world.endpoints.wait_for(2)
        assert world.endpoints.bodies() == [JOIN, LEAVE]
        assert [node.id for node in await world.store.list_outbox_nodes()] == ["node1"]

    run(test)


def test_which_processes_are_gone() -> None:
    own = own_process()
    place, pid, start_time = own.split("/")
    assert not is_gone(own)
    assert is_gone(f"{place}/{pid}/{int(start_time) + 1}")
    assert not is_gone(f"other-boot:1/{pid}/{int(start_time) + 1}")
    assert not is_gone(f"{place}/1/{own.split('/')[2]}x") or pid == "1" or is_gone(f"{place}/1/0")
    for text in ("", "/", "//", f"{place}//", f"{place}/x/1", "x/1/1"):
        assert not is_gone(text)
