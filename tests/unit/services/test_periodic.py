"""The task that ends expired sessions, and with it every :class:`~users_server.services.periodic.PeriodicTask`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.services.conftest import LIFETIME_SECONDS, Services
from users_server.core.messages import Revocation
from users_server.services.periodic import PeriodicTask

QUICK = 0.001
FAILED = "periodic work failed"


class Watched:
    """Lets a test wait until the sweeper has called ``expire`` some times more."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions
        self._calls = 0
        self._called = asyncio.Condition()

    async def expire(self) -> int:
        try:
            return int(await self._sessions.expire())
        finally:
            async with self._called:
                self._calls += 1
                self._called.notify_all()

    async def passes(self, count: int) -> None:
        """Return after ``count`` calls that began after this one."""
        async with self._called:
            last = self._calls + count + 1
            await self._called.wait_for(lambda: self._calls >= last)


@pytest.mark.gen_test
async def test_the_sweeper_ends_expired_sessions(services: Services) -> None:
    session, _ = await services.sessions.open(await services.add_user())
    watched = Watched(services.sessions)
    sweeper = PeriodicTask("session-sweeper", watched.expire, interval_seconds=QUICK)
    await sweeper.start()
    await sweeper.start()
    await watched.passes(3)
    assert services.node.record == [("Login", "bob")]
    services.clock.advance(LIFETIME_SECONDS)
    await watched.passes(3)
    await sweeper.stop()
    assert services.node.record == [("Login", "bob"), ("Logout", "bob"), Revocation(session_id=session.id)]


@pytest.mark.gen_test
async def test_an_outage_is_logged_once_and_survived(services: Services) -> None:
    await services.sessions.open(await services.add_user())
    services.node.record.clear()
    watched = Watched(services.sessions)
    sweeper = PeriodicTask("session-sweeper", watched.expire, interval_seconds=QUICK)
    with capture_logs() as logs:
        await sweeper.start()
        for _ in range(2):
            await services.store.close()
            await watched.passes(5)
            await services.store.open()
            await watched.passes(5)
        assert [(entry["event"], entry["exc_info"]) for entry in logs] == [(FAILED, False), (FAILED, False)]
        services.clock.advance(LIFETIME_SECONDS)
        await watched.passes(2)
    assert services.node.events() == [("Logout", "bob")]
    await sweeper.stop()


@pytest.mark.gen_test
async def test_a_bug_is_logged_once_with_its_traceback_and_survived() -> None:
    class Broken:
        async def expire(self) -> int:
            raise ZeroDivisionError

    watched = Watched(Broken())
    sweeper = PeriodicTask("session-sweeper", watched.expire, interval_seconds=QUICK)
    with capture_logs() as logs:
        await sweeper.start()
        await watched.passes(5)
        await sweeper.stop()
    assert [(entry["event"], entry["exc_info"]) for entry in logs] == [(FAILED, True)]


class Held:
    """An ``expire`` in the middle of which a test stands."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.is_done = False

    async def expire(self) -> int:
        self.entered.set()
        await self.go.wait()
        self.is_done = True
        return 0


@pytest.mark.gen_test
async def test_stop_lets_a_sweep_finish() -> None:
    held = Held()
    sweeper = PeriodicTask("session-sweeper", held.expire, interval_seconds=3600)
    await sweeper.start()
    await held.entered.wait()
    stopping = asyncio.ensure_future(sweeper.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    held.go.set()
    await stopping
    assert held.is_done
    await sweeper.stop()


@pytest.mark.gen_test
async def test_stop_does_not_wait_for_the_interval() -> None:
    held = Held()
    held.go.set()
    sweeper = PeriodicTask("session-sweeper", held.expire, interval_seconds=3600)
    await sweeper.start()
    await held.entered.wait()
    await sweeper.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.gen_test
async def test_a_stop_that_is_cancelled_cancels_the_sweeper() -> None:
    held = Held()
    sweeper = PeriodicTask("session-sweeper", held.expire, interval_seconds=3600)
    await sweeper.start()
    await held.entered.wait()
    task = sweeper._task
    assert task is not None
    stopping = asyncio.ensure_future(sweeper.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait({stopping, task})
    assert stopping.cancelled()
    assert task.cancelled()
    assert not held.is_done
