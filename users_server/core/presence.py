"""
What a node knows of a channel's presence while somebody here listens to it.

A :class:`Replica` reads the state once and follows the changes. Whoever was given its members and then hears every
change that it tells has the truth at each moment. When a change was lost, it reads again and tells the difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from users_server.core.acceptance import DONE
from users_server.core.messages import Member, PresenceChange, PresenceState
from users_server.core.tasks import Tasks
from users_server.errors import BrokerUnavailable, UsersServerError

log = logging.getLogger(__name__)

RETRIES_PER_LEASE = 20
"""Attempts to read a state again, while the broker is away."""

MAX_WAITING_CHANGES = 10_000
"""Changes that are kept while the state is read; beyond that it is read once more instead."""

MAX_DEPARTING = 1_000
"""Connections whose leaves are remembered until they are seen."""

MAX_LEAVES = 10
"""Leaves of one connection that are remembered."""


class Roster:
    """Members in the order in which they came, and how many connections each user has."""

    __slots__ = ("_users", "members")

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._users: Counter[str] = Counter()

    def add(self, member: Member) -> bool:
        """List a new member. True if his user was not there."""
        self.members[member.connection_id] = member
        self._users[member.user_id] += 1
        return self._users[member.user_id] == 1

    def remove(self, member: Member) -> bool:
        """Remove one that is listed. True if his user is not there any more."""
        del self.members[member.connection_id]
        self._users[member.user_id] -= 1
        if self._users[member.user_id]:
            return False
        del self._users[member.user_id]
        return True

    def sort(self, order: dict[str, Member]) -> None:
        """Put the members that are in ``order`` into that order, behind those that are not."""
        others = {key: member for key, member in self.members.items() if key not in order}
        self.members = others | {key: self.members[key] for key in order if key in self.members}


Welcome: TypeAlias = Callable[[tuple[Member, ...]], None]
"""Called with all members, the one who waits included, at a moment after which every further change is told."""


@dataclass(frozen=True, slots=True)
class PresenceSource:
    """
    What a replica needs of its channel.

    Attributes:
        read: Reads the state from the presence manager.
        tell: Called with each change of what the replica knows, in order.
        lease_seconds: Of a node's claims: for how long a member that a new epoch does not know is not taken for gone.
    """

    app: str
    channel: str
    read: Callable[[], Awaitable[PresenceState]]
    tell: Callable[[PresenceChange], None]
    lease_seconds: float


class Replica:
    """
    The members of one channel, as far as this node knows.

    Attributes:
        users: How many subscriptions here need the replica.
        reads_begun: Counts the reads of the state.
    """

    def __init__(self, source: PresenceSource, tasks: Tasks) -> None:
        self._source = source
        self._tasks = tasks
        self._roster = Roster()
        self._version = 0
        self._epoch: str | None = None
        self._held: dict[str, None] = {}
        self._release_timer: asyncio.TimerHandle | None = None
        self._departing: dict[str, list[int]] = {}
        self._changes: list[PresenceChange] = []
        self._has_lost_changes = False
        self._reader: asyncio.Task[None] | None = None
        self._loaded: asyncio.Future[None] | None = None
        self._reads_wanted = 0
        self.reads_begun = 0
        self._waiting: dict[str, tuple[str, Welcome]] = {}
        self._confirmed: dict[str, int] = {}
        self.users = 0

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody who is there, as far as it was told."""
        return tuple(self._roster.members.values())

    def ready(self) -> Awaitable[None]:
        """Await that the state was read. Raises :class:`BrokerUnavailable`."""
        if self._epoch is not None:
            return DONE
        if self._loaded is None:
            self._loaded = asyncio.get_running_loop().create_future()
        self.refresh()
        return asyncio.shield(self._loaded)

    def refresh(self) -> None:
        """Read the state once more, from now on, and tell the difference."""
        self._reads_wanted = self.reads_begun + 1
        if self._reader is None:
            self._reader = self._tasks.spawn(self._read())

    def close(self) -> None:
        """Nobody here needs it any more."""
        if self._reader is not None:
            self._reader.cancel()
        if self._release_timer is not None:
            self._release_timer.cancel()
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(None)  # whoever waits finds that his subscription is over

    def depart(self, connection_id: str) -> None:
        """A member of this node is leaving; if it comes again, what is older than the leave is not its join."""
        if connection_id not in self._departing and len(self._departing) >= MAX_DEPARTING:
            del self._departing[next(iter(self._departing))]
        # each leave with the number of the last read that may have been before it
        leaves = self._departing.setdefault(connection_id, [])
        leaves.append(self.reads_begun)
        del leaves[:-MAX_LEAVES]

    def expect(self, member: Member, welcome: Welcome) -> None:
        """A connection of this node is about to be listed as ``member``: call ``welcome`` when it is."""
        self._waiting[member.connection_id] = member.ref, welcome

    def stop_waiting(self, connection_id: str) -> None:
        self._waiting.pop(connection_id, None)
        self._confirmed.pop(connection_id, None)

    def confirm(self, connection_id: str) -> None:
        """The manager has listed a waiting connection, so that every read from now on finds it."""
        if connection_id in self._waiting:
            self._confirmed[connection_id] = self.reads_begun
            if connection_id in self._departing or connection_id in self._roster.members:
                self.refresh()

    def handle(self, change: PresenceChange) -> None:
        """From the broker."""
        if self._reader is None:
            self._apply(change)
        elif len(self._changes) < MAX_WAITING_CHANGES:
            self._changes.append(change)
        else:
            self._has_lost_changes = True

    def _apply(self, change: PresenceChange) -> bool:
        """Follow one change. False if it does not follow what is known: then the state is read again."""
        if change.epoch == self._epoch and change.version <= self._version:
            return True
        if change.epoch != self._epoch or change.version != self._version + 1:
            self.refresh()
            return False
        self._version = change.version
        if change.is_join:
            self._join(change.member)
            self._welcome(change.member.connection_id)
        else:
            self._see_leave(change.member.connection_id)
            self._leave(change.member.connection_id)
        return True

    def _see_leave(self, connection_id: str) -> None:
        leaves = self._departing.get(connection_id)
        if leaves is not None:
            del leaves[0]
            if not leaves:
                del self._departing[connection_id]

    def _join(self, member: Member) -> None:
        self._held.pop(member.connection_id, None)
        known = self._roster.members.get(member.connection_id)
        if known == member:
            return
        if known is not None:
            self._leave(member.connection_id)
        self._tell(member, is_join=True, is_of_user=self._roster.add(member))

    def _leave(self, connection_id: str) -> None:
        self._held.pop(connection_id, None)
        member = self._roster.members.get(connection_id)
        if member is not None:
            self._tell(member, is_join=False, is_of_user=self._roster.remove(member))

    def _tell(self, member: Member, *, is_join: bool, is_of_user: bool) -> None:
        source = self._source
        source.tell(
            PresenceChange(source.app, source.channel, member, is_join, is_of_user, self._version, self._epoch or "")
        )

    def _welcome(self, connection_id: str, read: int = 0) -> None:
        """Let a connection become live whose own join is known; ``read`` is the number of the read that found it."""
        waiting, member = self._waiting.get(connection_id), self._roster.members.get(connection_id)
        if waiting is None or member is None:
            return
        ref, welcome = waiting
        if member.ref != ref:
            return  # a former time of being listed
        is_found_after = read > self._confirmed.get(connection_id, read)
        if connection_id in self._departing and not is_found_after:
            return
        self._departing.pop(connection_id, None)
        self.stop_waiting(connection_id)
        welcome(self.members)

    async def _read(self) -> None:
        try:
            while self.reads_begun < self._reads_wanted:
                self.reads_begun += 1
                self._changes.clear()
                self._has_lost_changes = False
                try:
                    state = await self._source.read()
                except UsersServerError as error:
                    if self._epoch is None:
                        self._fail(error)
                        return
                    log.info("presence of a channel could not be read: %s", error.message)
                    self._reads_wanted = self.reads_begun + 1
                    await asyncio.sleep(self._source.lease_seconds / RETRIES_PER_LEASE)
                    continue
                self._take(state, self.reads_begun)
                self._follow_up()
        finally:
            self._reader = None
            if self._loaded is not None and not self._loaded.done():
                self._fail(BrokerUnavailable("The presence of the channel could not be read"))

    def _fail(self, error: UsersServerError) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None and not loaded.done():
            loaded.set_exception(error)
            loaded.exception()

    def _follow_up(self) -> None:
        """What came while the state was read."""
        changes, self._changes = self._changes, []
        if self._has_lost_changes:
            self._reads_wanted = self.reads_begun + 1
            return
        for change in changes:
            if not self._apply(change):
                return

    def _take(self, state: PresenceState, read: int) -> None:
        """The state as it was read: tell what is different from what was told."""
        is_first, is_new_epoch = self._epoch is None, self._epoch not in (None, state.epoch)
        self._epoch, self._version = state.epoch, state.version
        listed = {member.connection_id: member for member in state.members}
        missing = [key for key in self._roster.members if key not in listed and key not in self._held]
        if is_new_epoch:
            self._hold(missing)
        else:
            for key in missing:
                self._leave(key)
        for member in state.members:
            if is_first:
                self._roster.add(member)
            else:
                self._join(member)
        self._roster.sort(listed)
        for key in [key for key, leaves in self._departing.items() if leaves[-1] < read and key not in listed]:
            del self._departing[key]
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(None)
        for connection_id in tuple(self._waiting):
            self._welcome(connection_id, read)

    def _hold(self, members: list[str]) -> None:
        """All that was known was lost: other nodes will list theirs again, so wait before anybody is taken for gone."""
        self._held.update(dict.fromkeys(members))
        if self._release_timer is not None:
            self._release_timer.cancel()
        loop = asyncio.get_running_loop()
        self._release_timer = loop.call_later(self._source.lease_seconds, self._release)

    def _release(self) -> None:
        self._release_timer = None
        for key in tuple(self._held):
            self._leave(key)
