"""
Owed web hook calls: the store's methods for them.

There are no transactions here. What holds without them: a delivery and a will are one document each, which a step
changes at once. If the process dies within a step that concerns both, the will may be left alone, and is executed for
the dead node; a delivery is never left without the will that was announced with it. Changes of an app's queues take
turns within a process (for FerretDB, see the package).
"""

from __future__ import annotations

from collections.abc import Sequence

from users_server.backends.mongodb import deliveries, outbox_queues, outbox_steps
from users_server.backends.mongodb.client import Client
from users_server.backends.mongodb.outbox_records import BATCH, DEAD, STEPS, WAITING, touch_queues
from users_server.core.accounts import Page
from users_server.core.outbox import Delivery, OutboxNode, QueueClaim, QueueOutcome, Step


class MongoOutbox:
    """A :class:`~users_server.core.outbox.OutboxStore`; a part of the whole store."""

    _client: Client

    async def write_outbox(self, steps: Sequence[Step]) -> None:
        for start in range(0, len(steps), STEPS):
            batch = steps[start : start + STEPS]
            located = await self._client.run(outbox_steps.locate, batch)
            first_place = await self._take_places(len(batch))
            turns = _turns({app for app, _ in located.values()})
            await self._client.run_in_turns(turns, outbox_steps.write, batch, located=located, first_place=first_place)

    async def due_apps(self, *, now: int, after: str = "", limit: int = 100) -> Sequence[str]:
        return await self._client.run(outbox_queues.due_apps, now=now, after=after, limit=limit)

    async def claim_queues(
        self, app: str, *, now: int, until: int, max_queues: int, max_deliveries: int
    ) -> Sequence[QueueClaim]:
        return await self._client.run_in_turns(
            _turns([app]),
            outbox_queues.claim,
            app,
            now=now,
            until=until,
            max_queues=max_queues,
            max_deliveries=max_deliveries,
        )

    async def settle_queues(self, outcomes: Sequence[QueueOutcome]) -> None:
        apps = {outcome.claim.app for outcome in outcomes}
        await self._client.run_in_turns(_turns(apps), outbox_queues.settle, outcomes)

    async def hasten_queues(self, app: str, *, now: int) -> None:
        while await self._client.run_in_turns(_turns([app]), outbox_queues.hasten, app, now=now, limit=BATCH):
            pass

    async def list_deliveries(
        self, *, app: str | None = None, is_dead: bool = False, index: int = 0, limit: int = 20
    ) -> Page[Delivery]:
        return await self._client.run(deliveries.page, app=app, is_dead=is_dead, index=index, limit=limit)

    async def replay_deliveries(self, app: str, ids: Sequence[str] | None, *, now: int, limit: int = 1000) -> int:
        dead = await self._client.run(deliveries.dead_ones, app, ids, limit=limit)
        if not dead:
            return 0
        first_place = await self._take_places(len(dead))
        return await self._client.run_in_turns(_turns([app]), deliveries.replay, dead, now=now, first_place=first_place)

    async def trim_deliveries(
        self, *, dead_before: int, most_waiting: int, most_dead: int, now: int
    ) -> tuple[int, int]:
        given_up = removed = 0
        while batch := await self._client.run(deliveries.remove_old, dead_before=dead_before, limit=BATCH):
            removed += batch
        # those first that wait: they become dead, and may be too many of these then
        for app, up_to in await self._client.run(deliveries.excess, state=WAITING, most=most_waiting):
            while batch := await self._client.run_in_turns(
                _turns([app]), deliveries.give_up, app, up_to, now=now, limit=BATCH
            ):
                given_up += batch
        for app, up_to in await self._client.run(deliveries.excess, state=DEAD, most=most_dead):
            while batch := await self._client.run_in_turns(
                _turns([app]), deliveries.remove_excess, app, up_to, limit=BATCH
            ):
                removed += batch
        return given_up, removed

    async def forget_app_deliveries(self, app: str) -> None:
        while await self._client.run_in_turns(_turns([app]), deliveries.forget_app, app, limit=BATCH):
            pass

    async def renew_outbox_node(self, node: OutboxNode) -> None:
        await self._client.run_in_turn(_node_turn(node.id), outbox_steps.renew, node)

    async def list_outbox_nodes(self) -> Sequence[OutboxNode]:
        return await self._client.run(outbox_steps.nodes)

    async def execute_wills(self, node: str, *, at: int, limit: int = 1000) -> int:
        executed = 0
        while executed < limit:
            wills = await self._client.run(outbox_steps.wills_of, node, limit=min(limit - executed, STEPS))
            if not wills:
                break
            first_place = await self._take_places(len(wills))
            turns = _turns({will["app"] for will in wills})
            executed += await self._client.run_in_turns(
                turns, outbox_steps.execute, wills, at=at, first_place=first_place
            )
        return executed

    async def forget_outbox_node(self, node: str, *, alive_until: int) -> bool:
        written = await self._client.run(outbox_steps.last_writes, node)
        for start in range(0, len(written), BATCH):
            batch = written[start : start + BATCH]
            await self._client.run_in_turns(_turns({each["app"] for each in batch}), touch_queues, batch)
        return await self._client.run_in_turn(_node_turn(node), outbox_steps.forget_node, node, alive_until=alive_until)

    async def _take_places(self, count: int) -> int:
        return await self._client.run_in_turn("outbox places", outbox_steps.take_places, count)


def _turns(apps: Sequence[str] | set[str]) -> set[str]:
    """Whose turn it is at the queues of apps; another one than at the apps themselves."""
    return {f"outbox:{app}" for app in apps}


def _node_turn(node: str) -> str:
    return f"outbox node:{node}"
