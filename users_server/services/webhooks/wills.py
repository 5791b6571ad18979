"""
Processes that have died, and what they had announced the end of.

A process renews its record in the store three times in a lease. Another one takes it for dead when

- both are processes of one machine, and the operating system says that it has ended: at once; or
- its record has not changed for longer than a lease, while the store was there all the time. Only this process' own
  time counts: clocks of machines differ, and after an outage of the store nobody has renewed anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from users_server.core.clock import Clock
from users_server.core.outbox import OutboxNode, OutboxStore
from users_server.errors import StoreUnavailable
from users_server.services.periodic import PeriodicTask
from users_server.services.webhooks.figures import WebhookFigures
from users_server.services.webhooks.process_identity import is_gone, own_process

log = structlog.stdlib.get_logger(__name__)

PATIENCE = 1.5
"""How many leases a record may stay as it is."""

BATCH = 1000


@dataclass(slots=True)
class _Seen:
    """A record, and since when it is known to be so."""

    alive_until: int
    since: float


class WillKeeper:
    """
    Renews this process' record, and executes the wills of dead ones.

    Args:
        executed: Called when something came to be owed.
    """

    def __init__(
        self,
        store: OutboxStore,
        clock: Clock,
        node_id: str,
        figures: WebhookFigures,
        *,
        lease_seconds: float,
        executed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._id = node_id
        self._process = own_process()
        self._figures = figures
        self._lease_seconds = lease_seconds
        self._executed = executed
        self._seen: dict[str, _Seen] = {}
        self._alive_until = 0
        self._task = PeriodicTask("webhook-wills", self.look, interval_seconds=lease_seconds / 3)

    async def start(self) -> None:
        """
        Make this process known, execute the wills of neighbours that are gone, and go on doing so.

        Raises:
            StoreUnavailable: Nothing was started.
        """
        await self.look()
        await self._task.start()

    async def stop(self) -> None:
        """End. Wills of this process that are left are executed, since nobody can end them any more. Idempotent."""
        await self._task.stop()
        try:
            if await self._execute(self._id):
                log.warning("announcements that nobody had ended are over now")
            await self._store.forget_outbox_node(self._id, alive_until=self._alive_until)
        except StoreUnavailable:
            log.warning("web hooks of this process are left to the next one")

    async def look(self) -> None:
        """
        Renew this process' record and look after the others.

        Raises:
            StoreUnavailable: What was seen so far counts no more.
        """
        try:
            await self._renew()
            nodes = await self._store.list_outbox_nodes()
            dead = [node for node in nodes if node.id != self._id and self._is_dead(node)]
            self._seen = {node.id: self._seen[node.id] for node in nodes if node.id in self._seen}
            for node in dead:
                await self._bury(node)
        except StoreUnavailable:
            self._seen.clear()
            raise

    async def _renew(self) -> None:
        self._alive_until = self._clock.now_ms() + round(self._lease_seconds * 1000)
        await self._store.renew_outbox_node(OutboxNode(self._id, self._process, self._alive_until))

    def _is_dead(self, node: OutboxNode) -> bool:
        if is_gone(node.process):
            return True
        now = self._clock.monotonic()
        seen = self._seen.get(node.id)
        if seen is None or seen.alive_until != node.alive_until:
            self._seen[node.id] = _Seen(node.alive_until, now)
            return False
        return now - seen.since > PATIENCE * self._lease_seconds

    async def _bury(self, node: OutboxNode) -> None:
        count = await self._execute(node.id)
        log.warning("a server process has died", node=node.id, wills=count)
        if await self._store.forget_outbox_node(node.id, alive_until=node.alive_until):
            self._seen.pop(node.id, None)

    async def _execute(self, node_id: str) -> int:
        total = 0
        while count := await self._store.execute_wills(node_id, at=self._clock.now_ms(), limit=BATCH):
            total += count
        if total:
            self._figures.wills += total
            self._executed()
        return total
