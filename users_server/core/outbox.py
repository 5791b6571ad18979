"""
Calls that are owed to the web hook endpoints of apps, and where they are kept until they were made.

As in :mod:`users_server.core.interfaces`: each method states its promises, every store passes the same contract tests,
and every method may raise :class:`StoreUnavailable`. Times are milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from users_server.core.accounts import Page

UNKNOWN_NODE_MS = 30_000
"""How long a node that was forgotten, or not made known yet, counts as alive after its newest will."""

CROWDED_OUT = "too many deliveries of the app waited"
"""Why a delivery was given up that was never tried."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One call of an app's endpoint that is owed.

    Attributes:
        id: Unique; the receiver is told it at each attempt.
        queue: Deliveries of one queue of an app are made in the order in which they were written, one at a time.
        body: The JSON text that is sent.
        created_on: When it came to be owed.
        attempts: How often it was tried.
        last_error: Why the last attempt failed, for people.
        died_on: When it was given up; 0 while it is still tried.
    """

    id: str
    app: str
    queue: str
    body: str
    created_on: int
    attempts: int = 0
    last_error: str = ""
    died_on: int = 0


@dataclass(frozen=True, slots=True)
class Announce:
    """
    Owe ``delivery`` now, and ``will`` when it is executed, or when the node has died.

    Either may be :obj:`None`. Both are of one app and queue. A node that is not known counts as alive for
    :data:`UNKNOWN_NODE_MS` from the will's ``created_on``.
    """

    delivery: Delivery | None
    will: Delivery | None
    node: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Make the will of this id owed, as its queue's newest, with ``at`` as ``created_on``. Nothing if it is gone."""

    will_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Retract:
    """
    What was announced did not happen. The delivery is dropped if nobody can have begun to make it.

    That is: it was never tried, and is in no claim that was not settled, also if that has run out. If it was dropped,
    or ``delivery_id`` is :obj:`None`, the will is dropped too, else the will is executed.
    """

    delivery_id: str | None
    will_id: str | None
    at: int


Step: TypeAlias = Announce | Execute | Retract


@dataclass(frozen=True, slots=True)
class QueueClaim:
    """
    The right to work on one queue for a time.

    Attributes:
        token: Unique; of this claim alone.
        deliveries: The oldest of the queue, in their order; at least one.
    """

    app: str
    queue: str
    token: str
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class QueueOutcome:
    """
    What became of a claim.

    Attributes:
        delivered: Ids of deliveries that were made.
        failed: The one whose attempt failed, with ``attempts`` and ``last_error`` as they are now.
        dead: Those that were given up, with ``died_on``.
        due_at: When the queue is to be worked on again, if anything is left in it; with 0 it takes its place among the
            due ones by the age of the oldest that is left.
    """

    claim: QueueClaim
    delivered: tuple[str, ...] = ()
    failed: Delivery | None = None
    dead: tuple[Delivery, ...] = ()
    due_at: int = 0


@dataclass(frozen=True, slots=True)
class OutboxNode:
    """
    A process that has wills.

    Attributes:
        process: Names the operating system's process, so that a neighbour can see that it is gone; empty if it cannot.
        alive_until: When it counts as dead, unless it has renewed that.
    """

    id: str
    process: str
    alive_until: int


class OutboxStore(Protocol):
    """
    Deliveries, their queues, and wills.

    A queue is *due* when it has a delivery, its ``due_at`` has come (of a new queue: the ``created_on`` of its first
    delivery) and nobody has a claim on it that has not run out.
    """

    async def write_outbox(self, steps: Sequence[Step]) -> None:
        """
        Take the steps in their order; durable when this returns.

        Each step is whole or not at all, also when the process dies, but for a store without transactions: there, what
        it died in may leave a will whose delivery was not owed, or was dropped, but never the other way round. What is
        there already is passed over, so that a call that failed may be repeated; what was delivered between the two is
        owed once more, under the same id.
        """

    async def due_apps(self, *, now: int, after: str = "", limit: int = 100) -> Sequence[str]:
        """Apps with a due queue, in the order of their ids, from the first behind ``after``. Cost depends on apps."""

    async def claim_queues(
        self, app: str, *, now: int, until: int, max_queues: int, max_deliveries: int
    ) -> Sequence[QueueClaim]:
        """
        Claim up to ``max_queues`` due queues of the app until that moment, the longest due first.

        Each queue goes to one caller. A claim has up to ``max_deliveries`` deliveries.
        """

    async def settle_queues(self, outcomes: Sequence[QueueOutcome]) -> None:
        """
        Remove what was delivered, keep what failed and what is dead, and let go of the claims.

        Of a claim that ran out and that somebody else has now, only ``delivered`` counts.
        """

    async def hasten_queues(self, app: str, *, now: int) -> None:
        """All queues of the app are due now, but for those that are claimed: its endpoint works again."""

    async def list_deliveries(
        self, *, app: str | None = None, is_dead: bool = False, index: int = 0, limit: int = 20
    ) -> Page[Delivery]:
        """Those that wait, or those that were given up; in the order in which they were written."""

    async def replay_deliveries(self, app: str, ids: Sequence[str] | None, *, now: int, limit: int = 1000) -> int:
        """
        Owe dead deliveries again, behind what waits in their queues, as if they were new at ``now``; how many.

        All of the app, up to ``limit``, where ``ids`` is :obj:`None`.
        """

    async def trim_deliveries(
        self, *, dead_before: int, most_waiting: int, most_dead: int, now: int
    ) -> tuple[int, int]:
        """
        Keep within bounds: of each app the oldest beyond ``most_waiting`` become dead, and dead ones are removed that
        died before that moment or, the oldest first, beyond ``most_dead``. How many became dead and were removed.
        """

    async def forget_app_deliveries(self, app: str) -> None:
        """The app is no more: remove everything of it, wills too."""

    async def renew_outbox_node(self, node: OutboxNode) -> None:
        """Say that the process lives; it is made known by its first call."""

    async def list_outbox_nodes(self) -> Sequence[OutboxNode]:
        """All that were not forgotten, the dead too."""

    async def execute_wills(self, node: str, *, at: int, limit: int = 1000) -> int:
        """Execute up to ``limit`` wills of a node, in the order in which they were written; how many."""

    async def forget_outbox_node(self, node: str, *, alive_until: int) -> bool:
        """Forget it if it has no wills and has not renewed since. False if it is still there."""
