"""What an app may use on one node, and what becomes of its connections when it changes."""

from __future__ import annotations

import pytest

from tests.unit.core.doubles import Bench, Client, assert_nothing_is_left
from users_server.core import usage
from users_server.core.apps import App, AppLimits
from users_server.core.messages import DEFAULT_APP, USERS_CHANNEL
from users_server.errors import AppGone, InvalidValue, LimitExceeded, ServerFull


def app(app_id: str = "one", *, is_enabled: bool = True, protocols: tuple[str, ...] = (), **limits: float) -> App:
    return App(
        app_id,
        app_id,
        (),
        created_on=0,
        protocols=protocols,
        limits=AppLimits(**limits),  # type: ignore[arg-type]
        is_enabled=is_enabled,
    )


@pytest.mark.gen_test
async def test_an_app_has_room_for_so_many_connections() -> None:
    async with Bench() as bench:
        bench.node.use_app(app(connections=1))
        first = bench.client("first", app="one")
        with pytest.raises(ServerFull):
            bench.client("second", app="one")
        bench.client("other", app="two")
        bench.node.disconnect(first.connection)
        bench.client("third", app="one")
        assert bench.statistics.connections == 2


@pytest.mark.gen_test
async def test_an_app_has_room_for_so_many_channels_on_a_node() -> None:
    async with Bench() as bench:
        bench.node.use_app(app(channels=1))
        first, second = (bench.client(name, app="one") for name in "ab")
        await first.subscribe("news")
        await second.subscribe("news")
        with pytest.raises(LimitExceeded):
            await first.subscribe("sport")
        bench.node.disconnect(first.connection)
        bench.node.disconnect(second.connection)
        third = bench.client("c", app="one")
        await third.subscribe("sport")
        assert third.connection.subscriptions == ("sport",)


@pytest.mark.gen_test
async def test_an_app_publishes_so_fast_and_says_when_to_come_back() -> None:
    async with Bench() as bench:
        bench.node.use_app(app(publishes_per_second=2))
        for _ in range(2):
            await bench.node.publish("one", "news", "a", {})
        with pytest.raises(LimitExceeded) as caught:
            await bench.node.publish("one", "news", "a", {})
        assert caught.value.retry_after_seconds == pytest.approx(0.5)
        await bench.node.publish("two", "news", "a", {})
        bench.clock.seconds += 0.5
        await bench.node.publish("one", "news", "a", {})
        bench.node.use_app(app())
        for _ in range(5):
            await bench.node.publish("one", "news", "a", {})


@pytest.mark.gen_test
async def test_the_user_service_publishes_as_fast_as_it_must() -> None:
    async with Bench() as bench:
        bench.node.use_app(app(DEFAULT_APP, publishes_per_second=1))
        for _ in range(5):
            await bench.node.publish(DEFAULT_APP, USERS_CHANNEL, "Login", {})


@pytest.mark.gen_test
async def test_an_app_that_is_turned_off_loses_its_connections_and_gets_none() -> None:
    async with Bench() as bench:
        bench.node.use_app(app())
        mine, theirs = bench.client("mine", app="one"), bench.client("theirs", app="two")
        await mine.subscribe("news", is_member=True)
        bench.node.use_app(app(is_enabled=False))
        assert [reason.reason for reason in mine.closed] == ["app_gone"]
        assert theirs.closed == []
        with pytest.raises(AppGone):
            bench.client("again", app="one")
        bench.node.use_app(app())
        bench.client("again", app="one")


@pytest.mark.gen_test
async def test_an_app_keeps_the_connections_of_the_protocols_that_it_serves() -> None:
    async with Bench() as bench:
        clients = {name: bench.client(name, app="one", protocol=name) for name in ("relay", "pusher", "")}
        bench.node.use_app(app(protocols=("relay",)))
        assert {name: [reason.reason for reason in client.closed] for name, client in clients.items()} == {
            "relay": [],
            "pusher": ["app_gone"],
            "": [],
        }


@pytest.mark.gen_test
async def test_an_app_that_is_removed_takes_its_connections_along() -> None:
    async with Bench() as bench:
        bench.node.use_app(app(connections=1, publishes_per_second=1))
        client = bench.client("mine", app="one")
        bench.node.forget_app("one")
        assert [reason.reason for reason in client.closed] == ["app_gone"]
        bench.node.forget_app("one")
        for name in "ab":
            bench.node.disconnect(Client(bench.node, name, app="one").connect().connection)
        assert_nothing_is_left(bench.node)


@pytest.mark.gen_test
async def test_apps_that_rest_are_forgotten_beyond_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_IDLE_APPS", 2)
    async with Bench() as bench:
        bench.node.use_app(app("busy", connections=1))
        bench.client("c", app="busy")
        for name in ("a", "b", "c"):
            bench.node.use_app(app(name))
        assert list(bench.node._usage._apps) == ["busy", "c"]


@pytest.mark.gen_test
async def test_publications_are_counted_together_all_or_none() -> None:
    async with Bench() as bench:
        bench.node.use_app(app(publishes_per_second=4))
        bench.node.count_publications("one", 3)
        with pytest.raises(LimitExceeded) as caught:
            bench.node.count_publications("one", 2)
        assert caught.value.retry_after_seconds == pytest.approx(0.25)
        bench.node.count_publications("one", 1)
        await bench.node.publish("one", "news", "a", {}, is_counted=True)
        with pytest.raises(LimitExceeded):
            await bench.node.publish("one", "news", "a", {})
        with pytest.raises(InvalidValue):
            bench.node.count_publications("one", 5)
        bench.node.count_publications("two", 1000)
