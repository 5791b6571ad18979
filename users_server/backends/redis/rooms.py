"""One channel's presence as far as this node's own members go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from users_server.backends.redis.keys import ChannelKeys
from users_server.backends.redis.payloads import encode_member
from users_server.core.acceptance import Pending
from users_server.core.messages import Member

BATCH = 100
"""Changes in one command."""


@dataclass(slots=True, eq=False)
class Change:
    """
    A join or leave that Redis has still to do.

    Attributes:
        is_abandoned: The one who asked for the join was told that it failed; if Redis has done it, it is undone.
    """

    is_join: bool
    connection_id: str
    member: Member | None
    max_members: int
    outcome: Pending[None]
    is_abandoned: bool = False

    def arguments(self) -> tuple[str | bytes | int, ...]:
        """For the script."""
        if self.member is None:
            return "l", self.connection_id, "", "", 0
        return "j", self.connection_id, self.member.user_id, encode_member(self.member), self.max_members


@dataclass(slots=True)
class Room:
    """
    Attributes:
        listed: Members of this node that Redis has listed, by connection.
        changes: What is still to be done, in order.
        batch: What Redis is doing now; empty if nothing.
        number: Of the batch; the same if it is sent again.
        registered_with: The owner for which it is known that there may be claims in this channel.
        must_reclaim: The members are to be claimed again, for a new owner.
        is_busy: A command of this room is on its way.
    """

    app: str
    channel: str
    keys: ChannelKeys
    listed: dict[str, Member] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=deque)
    batch: list[Change] = field(default_factory=list)
    number: int = 0
    registered_with: bytes = b""
    must_reclaim: bool = False
    is_busy: bool = False

    @property
    def name(self) -> bytes:
        """In the set of channels of an owner; the id of an app has no ``/``."""
        return f"{self.app}/{self.channel}".encode()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done."""
        return not self.changes and not self.batch and not self.must_reclaim

    def joined(self, connection_id: str) -> Member | None:
        """What the connection is listed as, or will be, when all that was asked for is done."""
        for change in reversed(self.changes):
            if change.connection_id == connection_id:
                return change.member
        for change in reversed(self.batch):
            if change.connection_id == connection_id:
                return None if change.is_abandoned else change.member
        return self.listed.get(connection_id)

    def next_batch(self) -> list[Change]:
        """Begin the next changes: those that wait, or first the members that are to be claimed again."""
        if self.must_reclaim:
            self.must_reclaim = False
            members = [Change(True, key, member, 0, Pending()) for key, member in self.listed.items()]
            self.changes.extendleft(reversed(members))
        while self.changes and len(self.batch) < BATCH:
            self.batch.append(self.changes.popleft())
        return self.batch

    def finish_batch(self, results: list[int]) -> list[tuple[Change, bool]]:
        """Redis has done the batch: each change, and whether it was refused."""
        done = [(change, result == 1) for change, result in zip(self.batch, results, strict=True)]
        self.batch = []
        for change, is_refused in done:
            if change.member is None:
                self.listed.pop(change.connection_id, None)
            elif not is_refused:
                self.listed[change.connection_id] = change.member
        return done


def parse_room_name(name: bytes) -> tuple[str, str]:
    """App and channel from :attr:`Room.name`."""
    app, _, channel = name.decode().partition("/")
    return app, channel
