"""What :class:`~users_server.core.interfaces.Broker` promises, on every broker."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.buses import RULE, Buses, publication, until_async
from users_server.core.messages import (
    ClientInfo,
    HistoryRule,
    Notice,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.errors import BrokerUnavailable

pytestmark = pytest.mark.gen_test(timeout=30)


class TestPublications:
    async def test_a_publication_arrives_as_it_was_made_on_every_node(self, buses: Buses) -> None:
        full = Publication(
            "app", "räume/{1} *", "said", {"a": [1, 2.5, None, "ß😀"]}, ClientInfo("c", "ann", "7"), None, "7", "c"
        )
        bare = Publication("app", "räume/{1} *", "", None)
        async with buses.nodes(2) as nodes:
            for node in nodes:
                await node.broker.subscribe("app", "räume/{1} *")
            assert await nodes[0].broker.publish(full) is None
            assert await nodes[0].broker.publish(bare) is None
            for node in nodes:
                await node.handler.until(lambda node=node: len(node.handler.events) >= 2)  # type: ignore[misc]
                assert node.handler.events == [full, bare]

    async def test_order_is_kept_although_nothing_is_awaited(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            one.broker.subscribe("app", "room")
            await other.broker.subscribe("app", "room")
            for number in range(500):
                one.broker.publish(publication(number), RULE if number % 3 else None)
            await one.handler.until_data(*range(500))
            await other.handler.until_data(*range(500))

    async def test_every_node_sees_one_order(self, buses: Buses) -> None:
        async with buses.nodes(2) as nodes:
            await asyncio.gather(*(node.broker.subscribe("app", "room") for node in nodes))
            await asyncio.gather(
                *(node.broker.publish(publication([at, n]), RULE) for n in range(50) for at, node in enumerate(nodes))
            )
            for node in nodes:
                await node.handler.until(lambda node=node: len(node.handler.data) >= 100)  # type: ignore[misc]
            assert nodes[0].handler.data == nodes[1].handler.data
            for at in range(2):
                assert [n for where, n in nodes[1].handler.data if where == at] == list(range(50))  # type: ignore[misc]

    async def test_nothing_comes_of_other_channels_and_apps(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.subscribe("app", "room")
            for app, channel in [("app", "rooms"), ("ap", "p/room"), ("other", "room"), ("app", "roo")]:
                await node.broker.publish(publication("no", channel, app), RULE)
            await node.broker.publish(publication("yes"))
            await node.handler.until_data("yes")

    async def test_subscribing_twice_is_subscribing_once(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.subscribe("app", "room")
            await node.broker.subscribe("app", "room")
            await node.broker.publish(publication(1))
            node.broker.unsubscribe("app", "room")
            node.broker.unsubscribe("app", "room")
            await node.broker.publish(publication(2))
            await node.broker.subscribe("app", "room")
            await node.broker.publish(publication(3))
            await node.handler.until_data(1, 3)

    async def test_what_is_subscribed_before_it_is_published_arrives(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            node.broker.subscribe("app", "room")
            node.broker.publish(publication(1), RULE)
            node.broker.publish(publication(2))
            await node.handler.until_data(1, 2)


class TestHistory:
    async def test_positions_begin_at_one_and_grow_by_one(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            await other.broker.subscribe("app", "room")
            positions = [await one.broker.publish(publication(number), RULE) for number in range(3)]
            epochs = {position.epoch for position in positions if position}
            assert [position.offset for position in positions if position] == [1, 2, 3]
            assert len(epochs) == 1
            await other.handler.until_data(0, 1, 2)
            assert [item.position for item in other.handler.of(Publication)] == positions
            page = await other.broker.history("app", "room")
            assert [item.position for item in page.publications] == positions
            assert (page.top, page.is_complete) == (positions[-1], True)

    async def test_publications_without_history_have_no_position_and_are_not_kept(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.publish(publication("kept"), RULE)
            assert await node.broker.publish(publication("lost")) is None
            page = await node.broker.history("app", "room")
            assert [item.data for item in page.publications] == ["kept"]

    async def test_a_client_gets_what_it_missed(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            positions = [await node.broker.publish(publication(number), RULE) for number in range(10)]
            for missed, position in enumerate(reversed(positions)):
                page = await node.broker.history("app", "room", since=position)
                assert [item.data for item in page.publications] == list(range(10 - missed, 10))
                assert (page.is_complete, page.top) == (True, positions[-1])
            assert positions[4] is not None
            first = StreamPosition(0, positions[4].epoch)
            page = await node.broker.history("app", "room", since=first)
            assert [item.data for item in page.publications] == list(range(10))

    async def test_limits(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            positions = [await node.broker.publish(publication(number), RULE) for number in range(10)]

            async def read(since: StreamPosition | None, limit: int | None) -> list[object]:
                page = await node.broker.history("app", "room", since=since, limit=limit)
                assert page.is_complete
                assert page.top == positions[-1]
                return [item.data for item in page.publications]

            assert await read(None, 3) == [7, 8, 9]
            assert await read(None, 0) == []
            assert await read(None, 99) == list(range(10))
            assert await read(positions[2], 3) == [3, 4, 5]
            assert await read(positions[2], 0) == []

    async def test_what_is_lost_is_never_a_part(self, buses: Buses) -> None:
        rule = HistoryRule(size=3, seconds=60)
        async with buses.nodes() as (node,):
            positions = [await node.broker.publish(publication(number), rule) for number in range(10)]
            assert positions[0] is not None
            epoch = positions[0].epoch
            whole = await node.broker.history("app", "room")
            assert [item.data for item in whole.publications] == [7, 8, 9]
            good = await node.broker.history("app", "room", since=positions[6])
            assert [item.data for item in good.publications] == [7, 8, 9]
            for since in (
                positions[5],
                StreamPosition(11, epoch),
                StreamPosition(7, "other"),
                StreamPosition(0, epoch),
            ):
                for limit in (None, 0, 1):
                    page = await node.broker.history("app", "room", since=since, limit=limit)
                    assert (page.publications, page.is_complete, page.top) == ((), False, positions[-1])

    async def test_a_channel_without_history(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            page = await node.broker.history("app", "room")
            assert (page.publications, page.top.offset, page.is_complete) == ((), 0, True)
            assert (await node.broker.history("app", "room", since=page.top)).is_complete
            await node.broker.publish(publication(1), RULE)
            after = await node.broker.history("app", "room", since=page.top)
            assert [item.data for item in after.publications] == [1]

    async def test_old_publications_are_gone(self, buses: Buses) -> None:
        rule = HistoryRule(size=10, seconds=0.2)
        async with buses.nodes() as (node,):
            first = await node.broker.publish(publication("old"), rule)
            assert first is not None
            top = StreamPosition(0, first.epoch)

            async def is_gone() -> bool:
                return not (await node.broker.history("app", "room")).publications

            await until_async(is_gone)
            page = await node.broker.history("app", "room", since=top)
            assert (page.publications, page.is_complete, page.top) == ((), False, first)
            assert (await node.broker.history("app", "room", since=first)).is_complete
            second = await node.broker.publish(publication("new"), rule)
            assert second == StreamPosition(2, first.epoch)
            page = await node.broker.history("app", "room", since=first)
            assert [item.data for item in page.publications] == ["new"]


class TestControl:
    async def test_revocations_and_notices_reach_every_node_once(self, buses: Buses) -> None:
        messages = [
            Revocation("u"),
            Revocation(session_id="s", message="bye"),
            Notice("kind", {"a": [1]}),
            Notice("", {}),
        ]
        async with buses.nodes(2) as nodes:
            for number, message in enumerate(messages):
                broker = nodes[number % 2].broker
                await (broker.revoke(message) if isinstance(message, Revocation) else broker.notify(message))
            for node in nodes:
                await node.handler.until(lambda node=node: len(node.handler.events) >= 4)  # type: ignore[misc]
                assert node.handler.events == messages
                assert node.handler.interruptions == 0


class TestLifecycle:
    async def test_nothing_works_before_the_start_and_after_the_stop(self, buses: Buses) -> None:
        async with buses.nodes() as (node,):
            await node.broker.check()
            await node.broker.stop()
            for attempt in (
                node.broker.publish(publication(1)),
                node.broker.publish(publication(1), RULE),
                node.broker.subscribe("app", "room"),
                node.broker.revoke(Revocation("u")),
                node.broker.notify(Notice("n", {})),
                node.broker.check(),
                node.broker.history("app", "room"),
            ):
                with pytest.raises(BrokerUnavailable):
                    await attempt
            node.broker.unsubscribe("app", "room")
            await node.broker.stop()

    async def test_what_was_accepted_is_sent_before_the_end(self, buses: Buses) -> None:
        async with buses.nodes(2) as (one, other):
            await other.broker.subscribe("app", "room")
            for number in range(100):
                one.broker.publish(publication(number), RULE)
            if one is other:
                return  # it would hear itself no more
            await one.broker.stop()
            await other.handler.until_data(*range(100))
