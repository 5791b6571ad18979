"""
The names of everything in Redis.

All begin with the configured prefix. What belongs to one channel shares a hash tag, so that a Cluster keeps it on one
node and a script may touch it in one step. The id of an app has no ``/``, and that of what is internal is empty.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

SLOTS = 16384
"""Of a Redis Cluster."""

MAX_REMEMBERED = 10_000
"""Channels whose names are kept; beyond it the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """
    Attributes:
        live: The Pub/Sub channel.
        slot: In a Cluster.
    """

    live: bytes
    slot: int

    @property
    def meta(self) -> bytes:
        """Hash: epoch and counters of the history."""
        return self.live + b":meta"

    @property
    def stream(self) -> bytes:
        """Stream: the history."""
        return self.live + b":stream"

    @property
    def claims(self) -> bytes:
        """Hash: who is listed, by connection."""
        return self.live + b":claims"

    @property
    def users(self) -> bytes:
        """Hash: how many connections of each user are listed."""
        return self.live + b":users"

    @property
    def versions(self) -> bytes:
        """Hash: epoch and version of the presence."""
        return self.live + b":versions"

    def changed(self, node: bytes) -> bytes:
        """String: the number of the last change of presence of one start of a node."""
        return self.live + b":changed:" + node


class Keys:
    """Makes names below one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self._remembered: dict[tuple[str, str], ChannelKeys] = {}
        self.control = self.of("", "control")
        """Where revocations and notices go."""
        leases = self._prefix + b"{/leases}"
        self.leases = leases + b":alive"
        """Sorted set: owners of claims, by the millisecond at which their lease ends."""
        self.reaping = leases + b":reaping"
        """Sorted set: owners whose claims are being removed, by when another node may do it."""
        self.leases_slot = slot_of(leases)

    def of(self, app: str, channel: str) -> ChannelKeys:
        """The names that belong to one channel."""
        keys = self._remembered.get((app, channel))
        if keys is None:
            live = self._prefix + f"{{{app}/{channel}}}".encode()
            keys = ChannelKeys(live, slot_of(live))
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()  # to drop the first one costs a walk over all that were dropped before it
            self._remembered[app, channel] = keys
        return keys

    def claimed(self, owner: bytes) -> tuple[bytes, int]:
        """Set: the channels in which one owner may have claims; and its slot."""
        name = self._prefix + b"{/claimed/" + owner + b"}"
        return name, slot_of(name)

    def input(self, channel: str) -> bytes:
        """What the nodes that listen to a foreign channel agree upon begins with this."""
        return self._prefix + f"{{/input/{channel}}}".encode()


def slot_of(key: bytes) -> int:
    """The slot of ``key`` in a Cluster."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS
