"""Commands with a bound and a deadline, and their outcomes as our own values and errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import hiredis
import structlog

from users_server.backends.redis.requests import Command, Reply, away
from users_server.backends.redis.servers import Servers
from users_server.core.acceptance import Pending, Refused
from users_server.core.clock import Clock
from users_server.errors import Overloaded, UsersServerError
from users_server.services.settings import BrokerSettings

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")


class Question(Pending[T]):
    """
    A :class:`~users_server.backends.redis.requests.Request` that waits for a line that is cut, and its outcome.

    Args:
        make: Gives the command for a server that calls itself by the argument.
        convert: Makes the outcome from the reply.
    """

    __slots__ = (
        "_convert",
        "_make",
        "_sender",
        "deadline",
        "is_asking",
        "is_bound",
        "is_repeatable",
        "slot",
        "was_sent",
    )

    def __init__(
        self,
        sender: Sender,
        slot: int,
        make: Callable[[bytes], Command],
        convert: Callable[[Reply], T],
        *,
        is_repeatable: bool = True,
    ) -> None:
        super().__init__()
        self._sender = sender
        self._make = make
        self._convert = convert
        self.slot: int | None = slot
        self.deadline: float | None = None
        self.is_repeatable = is_repeatable
        self.is_bound = False
        self.is_asking = False
        self.was_sent = False

    def command(self, server: bytes) -> Command:
        return self._make(server)

    def answered(self, reply: Reply) -> None:
        self.ended()
        if type(reply) is hiredis.ReplyError:
            self._sender.complain(reply)
            self.fail(away("The message broker refused it"))
            return
        try:
            outcome = self._convert(reply)
        except Exception:
            # what is kept in Redis may be another program's: it must not end the line
            log.exception("an answer of Redis was not understood")
            self.fail(away("The message broker gave an answer that was not understood"))
        else:
            self.succeed(outcome)

    def failed(self, error: UsersServerError) -> None:
        self.ended()
        self.fail(error)

    def ended(self) -> None:
        """It was answered, or given up."""
        self._sender.waiting -= 1


class Sender:
    """Until it is opened and after it is closed, everything is refused."""

    def __init__(self, servers: Servers, settings: BrokerSettings, clock: Clock) -> None:
        self._servers = servers
        self._max_waiting = settings.max_waiting
        self._max_waiting_seconds = settings.max_waiting_seconds
        self._clock = clock
        self._complaint = ""
        self.waiting = 0
        self.is_open = False

    def refusal(self) -> Refused | None:
        """Why nothing can be sent now, if so."""
        if not self.is_open:
            return Refused(away("The message broker is not started"))
        if self.waiting >= self._max_waiting:
            return Refused(Overloaded("Too much waits for the message broker; please try again later"))
        return None

    def send(self, question: Question[T]) -> Awaitable[T]:
        """Send, or let it wait; there was no :meth:`refusal`. Awaiting raises :class:`BrokerUnavailable`."""
        self.waiting += 1
        question.deadline = self._clock.monotonic() + self._max_waiting_seconds
        self._servers.send(question)
        return question

    def ask(
        self,
        slot: int,
        make: Callable[[bytes], Command],
        convert: Callable[[Reply], T],
        *,
        is_repeatable: bool = True,
    ) -> Awaitable[T]:
        """
        Send a command, or let it wait for a line that is cut.

        Awaiting raises :class:`BrokerUnavailable` and :class:`Overloaded`.
        """
        return self.refusal() or self.send(Question(self, slot, make, convert, is_repeatable=is_repeatable))

    def complain(self, error: Exception) -> None:
        """Log an error of Redis, but not the same one again and again."""
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("Redis refused a command", error=self._complaint[:200])
