"""
The other nodes of the cluster: which of them are alive, and how they are told something.

Rule 1: every node says again and again that it is alive. One that has said nothing for a lease, or that it goes, is
waited for no more.
Rule 2: what nodes tell each other here goes without history through channels that have no name for clients: one that
all nodes hear, and one of each node's own. So it takes no room among the notices, which a node must not miss, and may
be lost.
Rule 3: a node that may have been cut off itself knows nothing for sure until it has asked everybody and heard itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from users_server.core.acceptance import Accepted
from users_server.core.clock import Clock
from users_server.core.interfaces import Broker
from users_server.core.messages import DEFAULT_APP, JSON, Publication, StreamPosition
from users_server.errors import UsersServerError

log = logging.getLogger(__name__)

ALL_NODES = " nodes"
"""The channel that all nodes hear. :func:`users_server.core.channels.check_name` refuses a space at an end."""

BEAT_SECONDS = 2.0
LEASE_SECONDS = 10.0
"""For how long a node counts as alive after it has said so."""

DEAF_SECONDS = 5.0
"""A node that has not heard itself for so long may have missed others. Shorter than the lease by some beats."""

ANSWER_SECONDS = 1.0
"""Within this time a living node answers."""

MAX_NEIGHBOURS = 1_000
"""Nodes that are remembered; others are not waited for."""

HELLO, ALIVE, GONE = "hello", "alive", "gone"

NeighbourHandler: TypeAlias = Callable[[str, Mapping[str, JSON]], None]
"""``(sender, data)``; must not block or raise."""


class Neighbours:
    """
    Who else is there, and the messages between nodes.

    Attributes:
        id: Names this start of this node.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self.id = secrets.token_hex(8)
        self._broker = broker
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._heard_myself = -math.inf
        self._settled_at = math.inf
        self._is_alone = False
        self._beats: asyncio.Task[None] | None = None
        self._handlers: dict[str, list[NeighbourHandler]] = {
            HELLO: [self._handle_hello],
            ALIVE: [self._handle_alive],
            GONE: [self._handle_gone],
        }

    async def start(self) -> None:
        """Hear the others, and be heard. Raises :class:`BrokerUnavailable`."""
        await self._broker.subscribe(DEFAULT_APP, ALL_NODES)
        await self._broker.subscribe(DEFAULT_APP, _channel_of(self.id))
        outcome = self.tell_all(HELLO, {})
        # where the outcome is known at once there is no network, and nobody behind it
        self._is_alone = isinstance(outcome, Accepted)
        await outcome
        if not self._is_alone:
            self._beats = asyncio.create_task(self._beat(), name="node-alive")

    async def stop(self) -> None:
        """Be waited for no more. The broker sends it when it is stopped. Idempotent."""
        beats, self._beats = self._beats, None
        if beats is not None:
            beats.cancel()
            await asyncio.wait({beats})
            self.tell_all(GONE, {})

    def on(self, kind: str, handler: NeighbourHandler) -> None:
        """Call ``handler`` with each message of this kind, also with those of this node."""
        self._handlers.setdefault(kind, []).append(handler)

    def tell_all(self, kind: str, data: Mapping[str, JSON]) -> Awaitable[StreamPosition | None]:
        """Tell all nodes, this one included. Awaiting raises :class:`BrokerUnavailable` and :class:`Overloaded`."""
        return self._tell(ALL_NODES, kind, data)

    def tell(self, neighbour: str, kind: str, data: Mapping[str, JSON]) -> Awaitable[StreamPosition | None]:
        """As :meth:`tell_all`, but one node alone."""
        return self._tell(_channel_of(neighbour), kind, data)

    def alive(self) -> set[str]:
        """The other nodes that are waited for."""
        oldest = self._clock.monotonic() - LEASE_SECONDS
        self._heard = {neighbour: heard for neighbour, heard in self._heard.items() if heard >= oldest}
        return set(self._heard)

    def settling_seconds(self) -> float:
        """How long it takes until everybody has had the time to say that he is there; 0 if he has had it."""
        return 0.0 if self._is_alone else max(0.0, self._settled_at - self._clock.monotonic())

    def are_known(self) -> bool:
        """Whether :meth:`alive` has everybody who is there."""
        return self._is_alone or (self.settling_seconds() == 0.0 and not self._is_deaf())

    def handle_publication(self, publication: Publication) -> None:
        """From the broker, in one of the channels of nodes. What another version may say that is unknown is ignored."""
        data = publication.data
        sender = data.get("from") if isinstance(data, dict) else None
        if isinstance(sender, str):
            for handler in self._handlers.get(publication.event, ()):
                handler(sender, data)

    def _tell(self, channel: str, kind: str, data: Mapping[str, JSON]) -> Awaitable[StreamPosition | None]:
        return self._broker.publish(Publication(DEFAULT_APP, channel, kind, {"from": self.id, **data}))

    def _is_deaf(self) -> bool:
        return self._clock.monotonic() - self._heard_myself > DEAF_SECONDS

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.tell_all(HELLO if self._is_deaf() else ALIVE, {})
            except UsersServerError as error:
                log.info("other nodes could not be told that this one is alive: %s", error.message)

    def _handle_hello(self, sender: str, data: Mapping[str, JSON]) -> None:
        """Somebody wants to know who is there."""
        if sender == self.id:
            self._heard_myself = self._clock.monotonic()
            self._settled_at = self._heard_myself + ANSWER_SECONDS
        else:
            self._remember(sender)
            self.tell(sender, ALIVE, {})

    def _handle_alive(self, sender: str, data: Mapping[str, JSON]) -> None:
        if sender != self.id:
            self._remember(sender)
        elif not self._is_deaf():
            self._heard_myself = self._clock.monotonic()

    def _handle_gone(self, sender: str, data: Mapping[str, JSON]) -> None:
        self._heard.pop(sender, None)

    def _remember(self, neighbour: str) -> None:
        if neighbour in self._heard or len(self._heard) < MAX_NEIGHBOURS or len(self.alive()) < MAX_NEIGHBOURS:
            self._heard[neighbour] = self._clock.monotonic()


def _channel_of(neighbour: str) -> str:
    return f" node {neighbour}"
