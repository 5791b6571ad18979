"""Turns, retries, and endpoints that do not answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.unit.services.webhooks.conftest import Call, World, unreachable
from users_server.core.outbox import Delivery
from users_server.services.webhooks.app_work import FIRST_ALLOWANCE, AppWork
from users_server.services.webhooks.dispatcher import MAX_DELIVERIES, NO_ENDPOINT
from users_server.services.webhooks.retries import DELAYS_SECONDS, RetrySchedule, after_failure

Run = Callable[[Any], None]

DAY_MS = 86_400_000


async def announce(world: World, app: Any, queue: str, number: int) -> None:
    await world.nodes[0].announce(app, queue, {"n": number}, None)


def test_delays_grow_and_end_with_the_day() -> None:
    schedule = RetrySchedule(86_400, lambda: 0.0)
    latest = RetrySchedule(86_400, lambda: 1.0)
    delivery = Delivery("x", "app", "lobby", "{}", 0)
    now, attempts = 0, []
    while not schedule.is_too_old(delivery, now):
        delivery = after_failure(delivery, "no")
        attempts.append(now / 1000)
        assert now < latest.next_attempt_at(delivery, now) <= DAY_MS
        now = schedule.next_attempt_at(delivery, now)
    assert attempts[:6] == [0, 1, 6, 36, 156, 756]
    assert now == DAY_MS
    assert len(attempts) == 19
    assert all(first < second for first, second in itertools.pairwise(DELAYS_SECONDS))
    old = after_failure(Delivery("y", "app", "lobby", "{}", 0), "x" * 1000)
    assert len(old.last_error) == 300
    assert schedule.next_attempt_at(old, 2 * DAY_MS) == 2 * DAY_MS


def test_one_that_fails_is_tried_again_and_holds_up_its_queue_alone(run: Run) -> None:
    async def test(world: World) -> None:
        app, _ = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = lambda call: _bad(call, {0})
        for number in range(3):
            await announce(world, app, "lobby", number)
        await announce(world, app, "other", 9)
        await world.settled(3)
        await world.tried(1)
        assert sorted(call.body["n"] for call in world.endpoints.calls) == [0, 9]
        (first, *_) = await world.waiting()
        assert (first.attempts, first.last_error) == (1, "The endpoint answered 500")
        await world.pass_time(0.5)
        await world.idle()
        assert len(world.endpoints.calls) == 2
        await world.pass_time(1)
        await world.tried(2)
        world.endpoints.answers.clear()
        await world.pass_time(7)
        await world.settled()
        assert [body["n"] for body in world.endpoints.bodies()][2:] == [0, 0, 1, 2]
        ids = [call.id for call in world.endpoints.calls if call.body["n"] == 0]
        assert len(set(ids)) == 1

    run(test)


async def _bad(call: Call, numbers: set[int]) -> int:
    return 500 if call.body["n"] in numbers else 200


def test_after_a_day_it_is_dead_and_the_queue_goes_on(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = lambda call: _bad(call, {0})
        await announce(world, app, "lobby", 0)
        await announce(world, app, "lobby", 1)
        await world.tried(1)
        await world.idle()
        await world.pass_time(86_400)
        (dead,) = await world.settled(1, is_dead=True)
        assert (dead.attempts, dead.last_error) == (2, "The endpoint answered 500")
        assert dead.died_on == world.clock.now_ms()
        await world.settled()
        assert [body["n"] for body in world.endpoints.bodies()] == [0, 0, 1]
        assert (node.figures.failed, node.figures.dead, node.figures.delivered) == (2, 1, 1)
        world.endpoints.answers.clear()
        assert await world.store.replay_deliveries("app", [dead.id], now=world.clock.now_ms()) == 1
        await world.pass_time(0)
        await world.endpoints.wait_for(4)
        await world.settled()
        assert await world.waiting(is_dead=True) == []

    run(test)


def test_redirects_and_other_answers_fail(run: Run) -> None:
    async def test(world: World) -> None:
        await world.start()
        for number, status in enumerate((199, 301, 302, 307, 404, 410, 500)):
            app = await world.make_app(f"app{number}")
            world.endpoints.answers[f"app{number}.test"] = status
            await announce(world, app, "lobby", number)
        app = await world.make_app("fine")
        world.endpoints.answers["fine.test"] = 299
        await announce(world, app, "lobby", 0)
        await world.endpoints.wait_for(8)
        await world.settled(7)

    run(test)


def test_an_unreachable_endpoint_is_tried_by_one_call_at_a_time(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = unreachable()
        for number in range(50):
            await announce(world, app, f"{number}", number)
        await world.idle()
        first = len(world.endpoints.calls)
        assert first <= FIRST_ALLOWANCE
        for tries in range(1, 4):
            await world.pass_time(40)
            await world.idle()
            assert len(world.endpoints.calls) == first + tries
        assert len(world.endpoints.calls) == first + 3
        assert len({call.id for call in world.endpoints.calls}) == first + 3  # others have their turns
        world.endpoints.answers.clear()
        await world.pass_time(40)
        await world.settled()  # all at once, without their own delays
        assert len(world.endpoints.calls) == first + 3 + 50
        assert node.figures.delivered == 50

    run(test)


def test_what_is_too_old_for_an_unreachable_endpoint_is_given_up_untried(run: Run) -> None:
    async def test(world: World) -> None:
        app, _ = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = unreachable()
        for number in range(100):
            await announce(world, app, f"{number % 40}", number)
        await world.idle()
        before = len(world.endpoints.calls)
        await world.pass_time(86_401)
        dead = await world.settled(100, is_dead=True)
        assert len(world.endpoints.calls) <= before + 1
        assert all("endpoint" in delivery.last_error for delivery in dead)

    run(test)


def test_a_dead_endpoint_delays_no_other(run: Run) -> None:
    async def test(world: World) -> None:
        await world.start(max_in_flight=16, max_in_flight_per_app=16)
        release = asyncio.Event()

        async def hang(_: Call) -> int:
            await release.wait()
            raise unreachable()

        dead = [await world.make_app(f"dead{number}") for number in range(10)]
        for number, app in enumerate(dead):
            world.endpoints.answers[f"dead{number}.test"] = hang
            for queue in range(10):
                await announce(world, app, f"{queue}", queue)
        good = await world.make_app("good")
        await announce(world, good, "lobby", 0)
        hanging = len(world.endpoints.calls)
        assert hanging <= 12  # a part of all calls is for endpoints that answer
        release.set()
        await world.endpoints.wait_for(1, "good.test")
        release.clear()
        for number in range(1, 50):
            await announce(world, good, f"{number}", number)
        await world.endpoints.wait_for(50, "good.test")

    run(test)


def test_apps_take_turns(run: Run) -> None:
    async def test(world: World) -> None:
        node = await world.start(max_in_flight=4, max_in_flight_per_app=4)
        loud, quiet = await world.make_app("loud"), await world.make_app("quiet")
        gate = asyncio.Event()

        async def wait(_: Call) -> int:
            await gate.wait()
            return 200

        world.endpoints.answers["loud.test"] = wait
        await asyncio.gather(*(node.announce(loud, f"{number}", {"n": number}, None) for number in range(200)))
        await announce(world, quiet, "lobby", 0)
        gate.set()
        await world.endpoints.wait_for(1, "quiet.test")
        assert len(world.endpoints.bodies("loud.test")) < 50
        await world.endpoints.wait_for(201)
        assert world.endpoints.most_at_once["loud.test"] <= 4

    run(test)


def test_one_app_has_so_many_calls_and_not_more(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start(max_in_flight_per_app=8)

        async def slow(_: Call) -> int:
            await asyncio.sleep(0.002)
            return 200

        world.endpoints.answers["app.test"] = slow
        await asyncio.gather(*(node.announce(app, f"{number}", {"n": 1}, None) for number in range(300)))
        await world.endpoints.wait_for(300)
        assert 4 < world.endpoints.most_at_once["app.test"] <= 8
        await world.settled()
        assert len(node._dispatcher._works) == 1
        work = node._dispatcher._works["app"]
        await world.idle()
        assert work.is_idle
        assert (node._dispatcher._in_flight, node._dispatcher._unproven_in_flight) == (0, 0)

    run(test)


def test_a_long_queue_keeps_its_order(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        count = MAX_DELIVERIES * 5 + 3
        for number in range(count):
            await announce(world, app, "lobby", number)
        await world.endpoints.wait_for(count)
        assert [body["n"] for body in world.endpoints.bodies()] == list(range(count))
        await world.settled()
        assert node.figures.latency.total >= 0

    run(test)


def test_two_nodes_send_each_once(run: Run) -> None:
    async def test(world: World) -> None:
        app = await world.make_app()
        nodes = [await world.start(), await world.start()]
        for number in range(100):
            await nodes[number % 2].announce(app, f"{number % 7}", {"n": number}, None)
            if number % 10 == 0:
                await world.pass_time(0)
        await world.endpoints.wait_for(100)
        await world.settled()
        assert len(world.endpoints.calls) == len({call.id for call in world.endpoints.calls}) == 100
        for queue in range(7):
            numbers = [body["n"] for body in world.endpoints.bodies() if body["n"] % 7 == queue]
            assert numbers == sorted(numbers)

    run(test)


def test_an_app_whose_endpoint_is_gone(run: Run) -> None:
    async def test(world: World) -> None:
        app = await world.make_app()
        node = world.node()
        node._writer.start()
        await node.announce(app, "lobby", {"n": 1}, None)
        current = await world.store.get_app("app")
        assert current

        assert await world.store.replace_app(replace(current, webhook_endpoint=""))
        await node.start()
        (dead,) = await world.settled(1, is_dead=True)
        assert dead.last_error == NO_ENDPOINT
        assert not world.endpoints.calls

    run(test)


def test_an_app_that_is_gone(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = 500
        await announce(world, app, "lobby", 1)
        await node.announce(app, "lobby", None, {"n": 2})
        await world.tried(1)
        await world.store.delete_app("app")
        node.handle_app_change("app", None)
        await world.settled()
        await node.stop(1.0)
        assert await world.waiting() == []

    run(test)


def test_an_endpoint_that_is_moved_is_tried_at_once(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = unreachable()
        for number in range(5):
            await announce(world, app, f"{number}", number)
        await world.idle()
        for _ in range(4):
            await world.pass_time(40)
            await world.idle()
        current = await world.store.get_app("app")
        assert current
        moved = replace(current, webhook_endpoint="http://moved.test/")
        assert await world.store.replace_app(moved)
        node.handle_app_change("app", moved)
        await world.endpoints.wait_for(5, "moved.test")
        await world.settled()

    run(test)


def test_a_claim_is_settled_when_the_store_comes_back(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()

        async def cut(_: Call) -> int:
            world.store.is_away = True
            return 200

        world.endpoints.answers["app.test"] = cut
        await announce(world, app, "lobby", 1)
        await world.endpoints.wait_for(1)
        assert len(await world.waiting()) == 1
        world.store.is_away = False
        await world.settled()
        assert (len(world.endpoints.calls), node.figures.delivered) == (1, 1)

    run(test)


def test_a_stop_lets_go_of_what_is_under_way(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()

        async def hang(call: Call) -> int:
            if call.body["n"] == 1:
                await asyncio.Event().wait()
            return 200

        world.endpoints.answers["app.test"] = hang
        for number in range(3):
            await announce(world, app, "lobby", number)
        await world.endpoints.wait_for(2)
        await node.stop(0.1)
        assert [delivery.attempts for delivery in await world.waiting()] == [0, 0]
        world.endpoints.answers.clear()
        await world.start()  # at once: the claim was given back
        await world.endpoints.wait_for(4)
        assert [body["n"] for body in world.endpoints.bodies()] == [0, 1, 1, 2]

    run(test)


def test_a_bug_of_the_client_is_a_failure_of_one_delivery(run: Run) -> None:
    async def test(world: World) -> None:
        app, node = await world.make_app(), await world.start()
        world.endpoints.answers["app.test"] = ValueError("a bug")
        await announce(world, app, "lobby", 1)
        await world.endpoints.wait_for(1)
        (waiting,) = await world.tried(1)
        assert node.figures.in_flight == 0
        assert waiting.last_error == "The server could not send it"

    run(test)


def test_what_is_known_of_an_app() -> None:
    work = AppWork("app", 64)
    assert [work.note_answer(float(second), second + 0.1) for second in range(3)] == [False] * 3
    assert (work.allowance, work.is_proven) == (7, True)
    assert work.note_unreachable(9.0, 10.0)
    assert not work.note_unreachable(9.5, 10.1)  # made side by side
    assert not work.note_answer(9.5, 10.1)
    assert (work.allowance, work.failures, work.is_proven) == (1, 1, False)
    work.has_more = True
    assert not work.can_claim(10.5)
    assert work.can_claim(12.0)
    assert not work.note_unreachable(12.0, 13.0)
    assert work.failures == 2
    assert work.note_answer(16.0, 17.5)
    assert (work.allowance, work.failures, work.is_proven) == (FIRST_ALLOWANCE, 0, False)
