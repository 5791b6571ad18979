"""Owed web hook calls: the store's methods for them."""

from __future__ import annotations

from collections.abc import Sequence

from users_server.backends.sqlite import deliveries, outbox_queues, outbox_steps
from users_server.backends.sqlite.database import Database
from users_server.core.accounts import Page
from users_server.core.outbox import Delivery, OutboxNode, QueueClaim, QueueOutcome, Step

BATCH = 500
"""Records that one transaction changes of an app that may have very many, so that others need not wait for long."""


class SQLiteOutbox:
    """A :class:`~users_server.core.outbox.OutboxStore`; a part of the whole store."""

    _database: Database

    async def write_outbox(self, steps: Sequence[Step]) -> None:
        await self._database.write(outbox_steps.write, steps)

    async def due_apps(self, *, now: int, after: str = "", limit: int = 100) -> Sequence[str]:
        return await self._database.read(outbox_queues.due_apps, now=now, after=after, limit=limit)

    async def claim_queues(
        self, app: str, *, now: int, until: int, max_queues: int, max_deliveries: int
    ) -> Sequence[QueueClaim]:
        return await self._database.write(
            outbox_queues.claim, app, now=now, until=until, max_queues=max_queues, max_deliveries=max_deliveries
        )

    async def settle_queues(self, outcomes: Sequence[QueueOutcome]) -> None:
        await self._database.write(outbox_queues.settle, outcomes)

    async def hasten_queues(self, app: str, *, now: int) -> None:
        while await self._database.write(outbox_queues.hasten, app, now=now, limit=BATCH):
            pass

    async def list_deliveries(
        self, *, app: str | None = None, is_dead: bool = False, index: int = 0, limit: int = 20
    ) -> Page[Delivery]:
        return await self._database.read(deliveries.page, app=app, is_dead=is_dead, index=index, limit=limit)

    async def replay_deliveries(self, app: str, ids: Sequence[str] | None, *, now: int, limit: int = 1000) -> int:
        return await self._database.write(deliveries.replay, app, ids, now=now, limit=limit)

    async def trim_deliveries(
        self, *, dead_before: int, most_waiting: int, most_dead: int, now: int
    ) -> tuple[int, int]:
        given_up = removed = 0
        while batch := await self._database.write(deliveries.remove_old, dead_before=dead_before, limit=BATCH):
            removed += batch
        # those first that wait: they become dead, and may be too many of these then
        for is_dead in (False, True):
            found = await self._database.read(deliveries.excess, most_waiting=most_waiting, most_dead=most_dead)
            for app, up_to in [(app, up_to) for app, is_of_dead, up_to in found if is_of_dead == is_dead]:
                if is_dead:
                    removed += await self._remove_excess(app, up_to)
                else:
                    given_up += await self._give_up(app, up_to, now=now)
        return given_up, removed

    async def forget_app_deliveries(self, app: str) -> None:
        while await self._database.write(deliveries.forget_app, app, limit=BATCH):
            pass

    async def renew_outbox_node(self, node: OutboxNode) -> None:
        await self._database.write(outbox_steps.renew, node)

    async def list_outbox_nodes(self) -> Sequence[OutboxNode]:
        return await self._database.read(outbox_steps.nodes)

    async def execute_wills(self, node: str, *, at: int, limit: int = 1000) -> int:
        return await self._database.write(outbox_steps.execute_of, node, at=at, limit=limit)

    async def forget_outbox_node(self, node: str, *, alive_until: int) -> bool:
        return await self._database.write(outbox_steps.forget_node, node, alive_until=alive_until)

    async def _give_up(self, app: str, up_to: int, *, now: int) -> int:
        count = 0
        while batch := await self._database.write(deliveries.give_up, app, up_to, now=now, limit=BATCH):
            count += batch
        return count

    async def _remove_excess(self, app: str, up_to: int) -> int:
        count = 0
        while batch := await self._database.write(deliveries.remove_excess, app, up_to, limit=BATCH):
            count += batch
        return count
