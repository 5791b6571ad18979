"""Web hooks over a real store in a temporary file; the endpoints are in memory, and time stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.services.doubles import ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.core.apps import App
from users_server.core.outbox import Delivery
from users_server.errors import NotFound, StoreUnavailable
from users_server.services.webhooks import CallFailed, WebhookService, WebhookSettings

KEY = "a key of web hooks"
SETTINGS = WebhookSettings(max_in_flight=64, max_in_flight_per_app=16, node_lease_seconds=10)
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Call:
    url: str
    headers: Mapping[str, str]
    body: Any

    @property
    def host(self) -> str:
        return self.url.split("/")[2]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Endpoints:
    """A :class:`CallsEndpoints`: every host answers 200 until ``answers`` says another thing about it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, int | Exception | Callable[[Call], Awaitable[int]]] = {}
        self.at_once: dict[str, int] = {}
        self.most_at_once: dict[str, int] = {}
        self._changed = asyncio.Event()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float) -> int:
        call = Call(url, headers, orjson.loads(body))
        self.calls.append(call)
        self._changed.set()
        self.at_once[call.host] = self.at_once.get(call.host, 0) + 1
        self.most_at_once[call.host] = max(self.most_at_once.get(call.host, 0), self.at_once[call.host])
        try:
            await asyncio.sleep(0)
            answer = self.answers.get(call.host, 200)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, int) else await answer(call)
        finally:
            self.at_once[call.host] -= 1

    def bodies(self, host: str = "app.test") -> list[Any]:
        return [call.body for call in self.calls if call.host == host]

    async def wait_for(self, count: int, host: str | None = None) -> list[Call]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(found := [call for call in self.calls if host in (None, call.host)]) < count:
                self._changed.clear()
                await self._changed.wait()
        return found


class FailingStore(SQLiteStore):
    """Away while ``is_away``; ``tried_writes`` has the sizes of all writes, ``changed`` is set after each change."""

    is_away = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.tried_writes: list[int] = []
        self.changed = asyncio.Event()

    async def write_outbox(self, steps: Any) -> None:
        self.tried_writes.append(len(steps))
        await self._unless_away(super().write_outbox(steps))

    async def settle_queues(self, outcomes: Any) -> None:
        await self._unless_away(super().settle_queues(outcomes))

    async def forget_app_deliveries(self, app: str) -> None:
        await self._unless_away(super().forget_app_deliveries(app))

    async def list_outbox_nodes(self) -> Any:
        return await self._unless_away(super().list_outbox_nodes())

    async def _unless_away(self, change: Coroutine[Any, Any, Any]) -> Any:
        if self.is_away:
            change.close()
            raise StoreUnavailable
        try:
            return await change
        finally:
            self.changed.set()


@dataclass
class Apps:
    """The part of the app service that is used."""

    store: SQLiteStore

    async def get(self, app_id: str) -> App:
        app = await self.store.get_app(app_id)
        if app is None:
            raise NotFound
        return app

    def webhook_key(self, app: App) -> str:
        return app.sealed_webhook_key


@dataclass
class World:
    """A store, endpoints, and the nodes that a test starts."""

    store: FailingStore
    clock: ManualClock = field(default_factory=ManualClock)
    endpoints: Endpoints = field(default_factory=Endpoints)
    nodes: list[WebhookService] = field(default_factory=list)

    async def make_app(self, app_id: str = "app", *, endpoint: str | None = None, key: str = KEY) -> App:
        url = f"http://{app_id}.test/hook" if endpoint is None else endpoint
        app = App(app_id, app_id, (), 0, webhook_endpoint=url, sealed_webhook_key=key)
        await self.store.create_app(app)
        return app

    def node(self, settings: WebhookSettings = SETTINGS) -> WebhookService:
        """Not started."""
        name = f"node{len(self.nodes)}"
        node = WebhookService(self.store, Apps(self.store), self.endpoints, settings, self.clock, name)
        self.nodes.append(node)
        return node

    async def start(self, **changes: Any) -> WebhookService:
        node = self.node(replace(SETTINGS, **changes))
        await node.start()
        return node

    async def waiting(self, app: str | None = None, *, is_dead: bool = False) -> list[Delivery]:
        page = await self.store.list_deliveries(app=app, is_dead=is_dead, limit=1000)
        return list(page.items)

    async def until(self, is_so: Callable[[list[Delivery]], bool], *, is_dead: bool = False) -> list[Delivery]:
        """Those that wait, or are dead, when ``is_so`` of them."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                self.store.changed.clear()
                if is_so(found := await self.waiting(is_dead=is_dead)):
                    return found
                await self.store.changed.wait()

    async def settled(self, count: int = 0, *, is_dead: bool = False) -> list[Delivery]:
        """The same, when there are so many of them."""
        return await self.until(lambda found: len(found) == count, is_dead=is_dead)

    async def tried(self, attempts: int) -> list[Delivery]:
        """The same, when the oldest that waits was tried so often."""
        return await self.until(lambda found: bool(found) and found[0].attempts == attempts)

    async def idle(self) -> None:
        """Return when no node does anything."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while tasks := [task for node in self.nodes for task in node._dispatcher._tasks]:
                await asyncio.wait(tasks)

    async def pass_time(self, seconds: float) -> None:
        """Let it be later, and everybody look what is due."""
        self.clock.advance(seconds)
        for node in self.nodes:
            node._dispatcher.look_soon()
        await asyncio.sleep(0)


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[World]:
    store = FailingStore(folder / "hooks.db")
    await store.open()
    world = World(store)
    try:
        yield world
    finally:
        store.is_away = False
        for node in world.nodes:
            await node.stop(1.0)
        await store.close()


Test = Callable[[World], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Test], None]:
    """Run a test's coroutine function with a world."""

    async def in_world(test: Test) -> None:
        async with _open(tmp_path) as world:
            await test(world)

    return lambda test: asyncio.run(in_world(test))


def unreachable() -> CallFailed:
    return CallFailed("No connection to the endpoint: it is a test")
