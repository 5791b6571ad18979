"""Who is in a channel, in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import hiredis

from users_server.backends.redis.keys import Keys
from users_server.backends.redis.leases import Lease
from users_server.backends.redis.link import RedisError
from users_server.backends.redis.payloads import decode_claim
from users_server.backends.redis.requests import NOT_IN_TIME, Call, Command, Reply, away, limited
from users_server.backends.redis.rooms import Change, Room
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.sender import Sender
from users_server.backends.redis.servers import Servers
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.acceptance import Accepted, Pending, Refused
from users_server.core.clock import Clock
from users_server.core.messages import Member, PresenceState
from users_server.errors import BrokerUnavailable, LimitExceeded, Overloaded, UsersServerError
from users_server.services.settings import BrokerSettings

STOP_SECONDS = 2.0
"""For how long a stop gives claims back; the rest ends with the lease."""


class RedisPresence:
    """
    :class:`users_server.core.interfaces.PresenceManager`.

    The changes of one channel are made one batch after the other, and only while the lease holds.
    """

    def __init__(
        self,
        servers: Servers,
        sender: Sender,
        keys: Keys,
        scripts: Scripts,
        node: bytes,
        settings: BrokerSettings,
        clock: Clock,
        statistics: RedisStatistics,
    ) -> None:
        self._servers = servers
        self._sender = sender
        self._keys = keys
        self._scripts = scripts
        self._node = node
        self._settings = settings
        self._clock = clock
        self._rooms: dict[tuple[str, str], Room] = {}
        self._number = 0
        self._waiting_joins = 0
        self._reclaiming: set[tuple[str, str]] = set()
        self._stalled: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._lease = Lease(
            servers, keys, scripts, node, settings.lease_seconds, clock, statistics, self._lease_is_renewed
        )

    def start(self) -> None:
        """Begin; the servers are started already."""
        self._lease.start()

    async def stop(self) -> None:
        """Everybody of this node leaves at once."""
        rooms = [room for room in self._rooms.values() if room.registered_with]
        self._rooms.clear()
        owner = self._lease.owner
        if rooms and self._lease.holds:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.gather(*(self._lease.remove_from(room.name, owner) for room in rooms))
                    claimed, slot = self._keys.claimed(owner)
                    await self._sender.ask(slot, lambda _: ("DEL", claimed), lambda _: None)
            except (TimeoutError, BrokerUnavailable, RedisError):
                pass  # the lease ends soon, and then other nodes do it
        await self._lease.stop()

    def wake(self) -> None:
        """A line is up: renew the lease, then go on."""
        self._lease.wake()

    def join(self, app: str, channel: str, member: Member, *, max_members: int = 0) -> Awaitable[None]:
        if not self._sender.is_open:
            return Refused(away("The message broker is not started"))
        room = self._room(app, channel)
        if room.listed.get(member.connection_id) == member == room.joined(member.connection_id):
            return Accepted(None)
        if self._waiting_joins >= self._settings.max_waiting:
            self._forget_if_idle(room)
            return Refused(Overloaded("Too much waits for the message broker; please try again later"))
        change = Change(True, member.connection_id, member, max_members, Pending())
        self._waiting_joins += 1
        timer = asyncio.get_running_loop().call_later(
            self._settings.max_waiting_seconds, lambda: self._abandon(room, change)
        )

        def ended() -> None:
            self._waiting_joins -= 1
            timer.cancel()

        change.outcome.then(ended)
        room.changes.append(change)
        self._advance(room)
        return change.outcome

    def leave(self, app: str, channel: str, connection_id: str) -> Awaitable[None]:
        """As the interface says. Awaiting raises :class:`BrokerUnavailable` when it has to be done later."""
        room = self._rooms.get((app, channel))
        if room is None or room.joined(connection_id) is None:
            return Accepted(None)
        change = Change(False, connection_id, None, 0, Pending())
        room.changes.append(change)
        self._advance(room)
        return limited(change.outcome, self._settings.max_waiting_seconds)

    async def state(self, app: str, channel: str) -> PresenceState:
        keys = self._keys.of(app, channel)

        def command(server: bytes) -> Command:
            return self._scripts.state.call((keys.claims, keys.versions), server, self._node)

        def convert(reply: Reply) -> PresenceState:
            epoch, version, claims = reply
            members = sorted((decode_claim(claim) for claim in claims), key=lambda claim: claim[0])
            return PresenceState(tuple(member for _, member in members), version, epoch.decode())

        return await self._sender.ask(keys.slot, command, convert)

    def _room(self, app: str, channel: str) -> Room:
        room = self._rooms.get((app, channel))
        if room is None:
            room = self._rooms[app, channel] = Room(app, channel, self._keys.of(app, channel))
        return room

    def _abandon(self, room: Room, change: Change) -> None:
        """A join took too long."""
        if change in room.changes:
            room.changes.remove(change)
        elif change in room.batch:
            change.is_abandoned = True
            room.changes.append(Change(False, change.connection_id, None, 0, Pending()))
        change.outcome.fail(away(NOT_IN_TIME))
        self._forget_if_idle(room)

    def _lease_is_renewed(self, is_new: bool) -> None:
        if is_new:
            for room in self._rooms.values():
                room.registered_with = b""
                room.must_reclaim = True
            self._reclaiming = set(self._rooms)
            self._reclaimed(None)
            self._stalled.update(self._rooms)
        stalled, self._stalled = self._stalled, set()
        for key in stalled:
            if key in self._rooms:
                self._advance(self._rooms[key])

    def _reclaimed(self, room: Room | None) -> None:
        """When all rooms are claimed again, what is left of the old owner may go."""
        if room is not None:
            if (room.app, room.channel) not in self._reclaiming:
                return
            self._reclaiming.discard((room.app, room.channel))
        if not self._reclaiming:
            self._task = asyncio.create_task(self._retire(), name="redis-retire")

    async def _retire(self) -> None:
        try:
            await self._lease.reclaimed()
        except (BrokerUnavailable, RedisError):
            return  # its lease ends by itself

    def _advance(self, room: Room) -> None:
        """Do what is to be done next in ``room``, if it can be done."""
        if room.is_busy or self._rooms.get((room.app, room.channel)) is not room:
            return
        if not self._lease.holds:
            self._stalled.add((room.app, room.channel))
        elif room.is_idle:
            self._settle(room)
        elif room.registered_with != self._lease.owner:
            self._register(room)
        else:
            self._send_batch(room)

    def _register(self, room: Room) -> None:
        """Before the first claim, so that whoever removes this node's claims misses none."""
        owner = self._lease.owner
        claimed, slot = self._keys.claimed(owner)

        def registered(_: Any) -> None:
            room.registered_with = owner
            self._advance(room)

        self._command(room, slot, lambda _: ("SADD", claimed, room.name), registered)

    def _settle(self, room: Room) -> None:
        """Nothing is to be done: forget the room when nobody of this node is in it."""
        self._reclaimed(room)
        if room.listed:
            return
        if not room.registered_with:
            del self._rooms[room.app, room.channel]
            return
        claimed, slot = self._keys.claimed(room.registered_with)

        def removed(_: Any) -> None:
            room.registered_with = b""
            self._advance(room)

        self._command(room, slot, lambda _: ("SREM", claimed, room.name), removed)

    def _send_batch(self, room: Room) -> None:
        if not room.batch:
            self._number += 1
            room.number = self._number
            room.next_batch()
        if not room.batch:
            self._advance(room)
            return
        owner, keys = self._lease.owner, room.keys
        names = (keys.claims, keys.users, keys.versions, keys.changed(self._node))
        changes = [argument for change in room.batch for argument in change.arguments()]

        def command(server: bytes) -> Command:
            return self._scripts.change.call(names, server, self._node, room.number, owner, keys.live, *changes)

        def changed(results: list[int]) -> None:
            for change, is_refused in room.finish_batch(results):
                if is_refused:
                    change.outcome.fail(LimitExceeded("The channel has no room for another member"))
                else:
                    change.outcome.succeed(None)
            self._advance(room)

        self._command(room, keys.slot, command, changed)

    def _command(self, room: Room, slot: int, command: Any, answered: Any) -> None:
        """Send now; if that fails, the room goes on when the lease is renewed."""

        def done(reply: Reply) -> None:
            room.is_busy = False
            if isinstance(reply, hiredis.ReplyError):
                self._sender.complain(reply)
                self._stalled.add((room.app, room.channel))
            else:
                answered(reply)

        def failed(_: UsersServerError) -> None:
            room.is_busy = False
            self._stalled.add((room.app, room.channel))

        room.is_busy = True
        deadline = self._clock.monotonic() + self._settings.lease_seconds
        self._servers.send_bound(Call(slot, command, done, failed, deadline=deadline))

    def _forget_if_idle(self, room: Room) -> None:
        if room.is_idle and not room.listed and not room.is_busy and not room.registered_with:
            self._rooms.pop((room.app, room.channel), None)
