"""
Mails on their way: bounded in number, delivered in the background, tried again with growing pauses.

Rule: a place is reserved before anything is changed that a mail belongs to, so that a full queue refuses the whole
request. The queue is in memory: what waits when the server stops is tried once more, and then logged as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from types import TracebackType
from typing import TypeAlias

import structlog

from users_server.core.clock import Clock
from users_server.errors import BackendError, Overloaded
from users_server.services.account_settings import MailSettings
from users_server.services.mail.message import Mail, compose
from users_server.services.mail.transports import DeliveryFailed, MailTransport
from users_server.services.validation import loggable

log = structlog.stdlib.get_logger(__name__)

NO_TRANSPORT = "No email account has been setup"

Prepare: TypeAlias = Callable[[], Awaitable[Mail | None]]
"""Makes the mail in the background; :obj:`None` if there is nothing to send. A backend that is away is tried again."""


class Place:
    """One place in the queue. Leaving the block frees it, if it was not used."""

    def __init__(self, queue: MailQueue) -> None:
        self._queue = queue
        self._is_open = True

    def send(self, mail: Mail) -> None:
        """Deliver ``mail`` in the background. Returns at once."""

        async def prepared() -> Mail | None:
            return mail

        self.prepare(prepared)

    def prepare(self, make: Prepare) -> None:
        """Deliver what ``make`` makes; it runs in the background as well. Returns at once."""
        if not self._is_open:
            raise RuntimeError("one place is for one mail")
        self._is_open = False
        self._queue._start(make)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_open:
            self._is_open = False
            self._queue._free()


class MailQueue:
    """
    Delivers mails by ``transport``, ``settings.workers`` at once.

    Args:
        transport: :obj:`None` where no mail can be sent.
    """

    def __init__(self, transport: MailTransport | None, settings: MailSettings, clock: Clock) -> None:
        self._transport = transport
        self._settings = settings
        self._clock = clock
        self._occupied = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(settings.workers)
        self._stopping = asyncio.Event()

    def __len__(self) -> int:
        """How many mails wait or are under way."""
        return self._occupied

    def reserve(self) -> Place:
        """
        A place for one mail.

        Raises:
            BackendError: With the message of the spec, if no transport is configured.
            Overloaded: If the queue is full, or the server stops.
        """
        if self._transport is None:
            raise BackendError(NO_TRANSPORT)
        if self._occupied >= self._settings.max_waiting or self._stopping.is_set():
            raise Overloaded
        self._occupied += 1
        return Place(self)

    async def stop(self, patience_seconds: float) -> None:
        """Take no more, try what waits once more, and return when all is done or the time is over. Idempotent."""
        self._stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _start(self, make: Prepare) -> None:
        task = asyncio.create_task(self._run(make), name="mail")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free()
        if task.cancelled():
            log.error("mail lost: the server stopped")
        elif (error := task.exception()) is not None:
            log.error("mail lost: it could not be made", exc_info=error)

    def _free(self) -> None:
        self._occupied -= 1

    async def _run(self, make: Prepare) -> None:
        mail: Mail | None = None
        message: EmailMessage | None = None
        for attempt in range(1, self._settings.max_attempts + 1):
            try:
                async with self._slots:
                    if mail is None or message is None:
                        mail = await make()
                        if mail is None:
                            return
                        message = self._compose(mail)
                    await self._deliver(mail, message)
                    return
            except (BackendError, DeliveryFailed) as error:
                if not await self._may_try_again(mail, error, attempt):
                    return

    async def _deliver(self, mail: Mail, message: EmailMessage) -> None:
        assert self._transport is not None  # noqa: S101 - reserve() refuses before
        await self._transport.deliver(message, sender=self._settings.sender, recipient=mail.to)
        log.info("mail sent", to=loggable(mail.to), subject=loggable(mail.subject))

    def _compose(self, mail: Mail) -> EmailMessage:
        settings = self._settings
        return compose(mail, sender=settings.sender, sender_name=settings.sender_name, now_ms=self._clock.now_ms())

    async def _may_try_again(self, mail: Mail | None, error: BackendError | DeliveryFailed, attempt: int) -> bool:
        """After a pause, unless there is no point in it, or the server stops and this was the last try."""
        reason = error.reason
        about = {"to": loggable(mail.to) if mail else "", "reason": reason, "attempt": attempt}
        is_permanent = isinstance(error, DeliveryFailed) and error.is_permanent
        if is_permanent or attempt >= self._settings.max_attempts or self._stopping.is_set():
            log.error("mail given up", **about)
            return False
        pause = min(self._settings.retry_seconds * 2 ** (attempt - 1), self._settings.max_retry_seconds)
        log.warning("mail not delivered, will be tried again", pause_seconds=pause, **about)
        try:
            await asyncio.wait_for(self._stopping.wait(), pause)
        except TimeoutError:
            return True
        return True
