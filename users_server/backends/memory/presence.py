"""Who is in a channel of a single node."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable

from users_server.backends.memory.broker import MemoryBroker
from users_server.core.acceptance import DONE, Refused
from users_server.core.messages import Member, PresenceChange, PresenceState
from users_server.errors import LimitExceeded


class _Roster:
    """One channel's members, in the order in which they came, and how many connections each user has."""

    __slots__ = ("members", "users", "version")

    def __init__(self, version: int) -> None:
        self.members: dict[str, Member] = {}
        self.users: Counter[str] = Counter()
        self.version = version


class MemoryPresence:
    """
    :class:`users_server.core.interfaces.PresenceManager` of one node: changes reach the broker's handler inline.

    It needs no lease: when the node dies, nobody is left who could ask.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._rosters: dict[tuple[str, str], _Roster] = {}
        self._epoch = secrets.token_hex(8)
        # a channel that everybody left is forgotten; its versions go on from here, so that none is used twice
        self._first_version = 0

    def join(self, app: str, channel: str, member: Member, *, max_members: int = 0) -> Awaitable[None]:
        key = (app, channel)
        roster = self._rosters.get(key)
        former = None if roster is None else roster.members.get(member.connection_id)
        if former == member:
            return DONE
        if former is not None:
            self.leave(app, channel, member.connection_id)
            roster = self._rosters.get(key)
        elif roster is not None and 0 < max_members <= len(roster.members):
            return Refused(LimitExceeded(f"The channel has {max_members} members at most"))
        if not self._broker.is_started:
            return self._broker.refusal()
        if roster is None:
            roster = self._rosters[key] = _Roster(self._first_version)
        roster.members[member.connection_id] = member
        roster.users[member.user_id] += 1
        self._tell(key, roster, member, is_join=True, is_of_user=roster.users[member.user_id] == 1)
        return DONE

    def leave(self, app: str, channel: str, connection_id: str) -> Awaitable[None]:
        key = (app, channel)
        roster = self._rosters.get(key)
        member = roster.members.pop(connection_id, None) if roster is not None else None
        if roster is None or member is None:
            return DONE
        roster.users[member.user_id] -= 1
        is_of_user = not roster.users[member.user_id]
        if is_of_user:
            del roster.users[member.user_id]
        if not roster.members:
            del self._rosters[key]
            self._first_version = max(self._first_version, roster.version + 1)
        self._tell(key, roster, member, is_join=False, is_of_user=is_of_user)
        return DONE

    async def state(self, app: str, channel: str) -> PresenceState:
        if not self._broker.is_started:
            await self._broker.refusal()
        roster = self._rosters.get((app, channel))
        if roster is None:
            return PresenceState((), self._first_version, self._epoch)
        return PresenceState(tuple(roster.members.values()), roster.version, self._epoch)

    def _tell(self, key: tuple[str, str], roster: _Roster, member: Member, *, is_join: bool, is_of_user: bool) -> None:
        roster.version += 1
        app, channel = key
        self._broker.bring_presence(
            PresenceChange(app, channel, member, is_join, is_of_user, roster.version, self._epoch)
        )
