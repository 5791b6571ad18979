"""
The lease that a node's claims rest on, and the removal of what dead nodes have left.

A node is the owner of its claims under a name that changes whenever its lease has ended: its start and a number. So
what another node removes for the old name never is a claim that was made again under the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from users_server.backends.redis.keys import Keys
from users_server.backends.redis.link import RedisError, refuse_errors
from users_server.backends.redis.requests import Call, Command, Reply
from users_server.backends.redis.rooms import parse_room_name
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.servers import Servers
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.acceptance import Pending
from users_server.core.clock import Clock
from users_server.errors import BrokerUnavailable

log = structlog.stdlib.get_logger(__name__)

RENEWALS = 3
"""In the time of one lease."""

REAPED_AT_ONCE = 100
REAPING_SECONDS = 10.0
"""After so long without an end, another node removes a dead node's claims."""


class Lease:
    """
    Args:
        renewed: Called when the lease holds, with whether it is a new one: then everything must be claimed again.
    """

    def __init__(
        self,
        servers: Servers,
        keys: Keys,
        scripts: Scripts,
        node: bytes,
        lease_seconds: float,
        clock: Clock,
        statistics: RedisStatistics,
        renewed: Callable[[bool], None],
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._scripts = scripts
        self._node = node
        self._seconds = lease_seconds
        self._clock = clock
        self._statistics = statistics
        self._renewed = renewed
        self._generation = 1
        self._is_begun = False
        self._retired: list[bytes] = []
        self._known: frozenset[bytes] = frozenset()
        self._holds_until = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def owner(self) -> bytes:
        """The name under which this node claims now."""
        return self._node + b".%d" % self._generation

    @property
    def holds(self) -> bool:
        """Whether a claim that is made now rests on something."""
        return self._clock.monotonic() < self._holds_until

    def start(self) -> None:
        """Begin to renew."""
        self._task = asyncio.create_task(self._run(), name="redis-lease")

    async def stop(self) -> None:
        """Renew no more, and let go: every claim has been given back."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        self._holds_until = 0.0
        if self._servers.is_connected:
            try:
                await self._tell(self._keys.leases_slot, "ZREM", self._keys.leases, self.owner)
            except (BrokerUnavailable, RedisError):
                return  # it ends by itself

    def wake(self) -> None:
        """Renew now: a line is up again."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._renew()
                await self._reap()
            except BrokerUnavailable:
                pass  # the line says so itself, and wakes this task when it is up
            except RedisError as error:
                self._report(error)
            except Exception:
                # without this task every member would leave
                log.exception("a lease in Redis cannot be renewed")
            try:
                async with asyncio.timeout(self._seconds / RENEWALS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _report(self, error: RedisError) -> None:
        log.error("a lease in Redis cannot be renewed", error=str(error))

    async def _renew(self) -> None:
        present = self._servers.identities
        if self._is_begun and present - self._known:
            # another start of a server, or another server: it may have lost claims
            self._lapse()
        self._known |= present
        if len(self._known) > 1000:
            self._known = present
        asked_at = self._clock.monotonic()
        if self._is_begun and not await self._run_script(self._scripts.renew.call, self.owner, self._milliseconds):
            self._lapse()
            asked_at = self._clock.monotonic()
        is_new = not self._is_begun
        if is_new:
            await self._run_script(self._scripts.begin.call, self.owner, self._milliseconds)
            self._is_begun = True
        self._holds_until = asked_at + self._seconds
        self._renewed(is_new and self._generation > 1)

    def _lapse(self) -> None:
        self._statistics.lapses += 1
        self._retired.append(self.owner)
        del self._retired[:-10]
        self._generation += 1
        self._is_begun = False
        self._holds_until = 0.0
        log.warning("this node's lease in Redis has ended; its members are claimed again")

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self._seconds * 1000))

    async def _run_script(self, call: Callable[..., Command], *arguments: bytes | int) -> Any:
        keys = (self._keys.leases, self._keys.reaping)
        return await self._ask(self._keys.leases_slot, lambda _: call(keys, *arguments))

    async def reclaimed(self) -> None:
        """Everything is claimed for the present owner: what is left of the earlier ones is to be removed."""
        retired, self._retired = self._retired, []
        for owner in retired:
            await self._tell(self._keys.leases_slot, "ZADD", self._keys.leases, 1, owner)

    async def _reap(self) -> None:
        """Remove the claims of owners whose lease has ended."""
        owners = await self._run_script(self._scripts.expired.call, round(REAPING_SECONDS * 1000))
        for owner in owners:
            if owner != self.owner:
                await self._remove_claims(owner)

    async def _remove_claims(self, owner: bytes) -> None:
        claimed, slot = self._keys.claimed(owner)
        removed = 0
        while names := await self._tell(slot, "SRANDMEMBER", claimed, REAPED_AT_ONCE):
            for name in names:
                removed += await self.remove_from(name, owner)
            await self._tell(slot, "SREM", claimed, *names)
        await self._tell(self._keys.leases_slot, "ZREM", self._keys.reaping, owner)
        self._statistics.reaped += removed
        if removed:
            log.info("members of a node that is gone have left", members=removed)

    async def remove_from(self, name: bytes, owner: bytes) -> int:
        """Remove the claims of ``owner`` in one channel, and tell so; how many there were."""
        keys = self._keys.of(*parse_room_name(name))
        names = (keys.claims, keys.users, keys.versions)
        return int(
            await self._ask(
                keys.slot, lambda server: self._scripts.reap.call(names, server, self._node, owner, keys.live)
            )
        )

    async def _tell(self, slot: int, *command: bytes | str | int) -> Reply:
        return await self._ask(slot, lambda _: command)

    async def _ask(self, slot: int, command: Callable[[bytes], Command]) -> Reply:
        """Now or never. Raises :class:`BrokerUnavailable` and :class:`RedisError`."""
        answer: Pending[Reply] = Pending()
        deadline = self._clock.monotonic() + self._seconds
        self._servers.send_bound(Call(slot, command, answer.succeed, answer.fail, deadline=deadline))
        return refuse_errors(await answer)
