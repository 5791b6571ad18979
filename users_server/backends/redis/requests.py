"""A command on its way to Redis, and the promise of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from users_server.core.acceptance import Pending
from users_server.errors import BrokerUnavailable, UsersServerError

Command: TypeAlias = tuple[bytes | str | int, ...]

Reply: TypeAlias = Any
"""What hiredis makes of an answer."""

LATE = "The message broker did not answer in time; nobody knows whether it was done"
NOT_IN_TIME = "The message broker did not answer in time"
NOT_SENT = "The message broker is away; nothing was done"


def limited(outcome: Pending[None], seconds: float) -> Pending[None]:
    """``outcome``, but :class:`BrokerUnavailable` if it takes longer."""
    within: Pending[None] = Pending()
    timer = asyncio.get_running_loop().call_later(seconds, lambda: within.fail(away(NOT_IN_TIME)))

    def done() -> None:
        timer.cancel()
        if outcome.error is None:
            within.succeed(None)
        else:
            within.fail(outcome.error)

    outcome.then(done)
    return within


class Request(Protocol):
    """
    One command, with what is to happen when it is answered and when it is not.

    Attributes:
        slot: Where its keys are in a Cluster; :obj:`None` if any server will do.
        deadline: In seconds of the clock; after that it is not sent any more. :obj:`None` if it waits for any time.
        is_repeatable: Whether it may be sent again when nobody knows whether Redis has done it.
        is_bound: It belongs to the connection on which it is sent, and gets every error of Redis as its answer.
        is_asking: It goes to a node of a Cluster that is about to take the slot over, which must be told so.
        was_sent: Redis may have done it.
    """

    slot: int | None
    deadline: float | None
    is_repeatable: bool
    is_bound: bool
    is_asking: bool
    was_sent: bool

    def command(self, server: bytes) -> Command:
        """Made anew whenever it is sent, for a server that calls itself ``server``."""

    def answered(self, reply: Reply) -> None:
        """The reply, which may be an error of Redis."""

    def failed(self, error: UsersServerError) -> None:
        """It was given up; called instead of ``answered``."""


class Call:
    """A :class:`Request` made of functions."""

    __slots__ = (
        "answered",
        "command",
        "deadline",
        "failed",
        "is_asking",
        "is_bound",
        "is_repeatable",
        "slot",
        "was_sent",
    )

    def __init__(
        self,
        slot: int | None,
        command: Callable[[bytes], Command],
        answered: Callable[[Reply], None],
        failed: Callable[[UsersServerError], None],
        *,
        deadline: float | None = None,
        is_bound: bool = False,
    ) -> None:
        self.slot: int | None = slot
        self.command = command
        self.answered = answered
        self.failed = failed
        self.deadline: float | None = deadline
        self.is_repeatable = False
        self.is_bound = is_bound
        self.is_asking = False
        self.was_sent = False


def give_up(request: Request) -> None:
    """It will not be answered."""
    request.failed(away(LATE if request.was_sent else NOT_SENT))


def away(message: str = NOT_SENT) -> BrokerUnavailable:
    return BrokerUnavailable(message)
