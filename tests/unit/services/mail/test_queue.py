"""The queue: bounds, retries with growing pauses, giving up, and stopping."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from structlog.testing import capture_logs
from tornado.ioloop import IOLoop

from tests.unit.services.doubles import ManualClock
from tests.unit.services.mail.conftest import MailServerMaker
from users_server.errors import BackendError, Overloaded, StoreUnavailable
from users_server.services.account_settings import MailSettings, SmtpSettings
from users_server.services.mail import DeliveryFailed, Mail, MailQueue, SmtpTransport
from users_server.services.mail.queue import NO_TRANSPORT

pytestmark = pytest.mark.gen_test(timeout=30)

MAIL = Mail("ann@example.com", "A subject", "Hello", "<p>Hello</p>")
FAST = MailSettings(retry_seconds=0.01, max_retry_seconds=0.05, max_attempts=50)


class GatedTransport:
    """Takes mails when ``gate`` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.taken: list[str] = []
        self.under_way = 0
        self.most_under_way = 0

    async def deliver(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        self.taken.append(recipient)


@pytest.fixture
def queues(io_loop: IOLoop) -> Iterator[list[MailQueue]]:
    """Those that are put in are stopped after the test."""
    queues: list[MailQueue] = []
    yield queues
    for queue in queues:
        io_loop.run_sync(lambda queue=queue: queue.stop(0))


def send(queue: MailQueue, mail: Mail = MAIL) -> None:
    with queue.reserve() as place:
        place.send(mail)


async def drained(queue: MailQueue) -> None:
    """Return when nothing waits; without a limit of its own, the test has one."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "mail"), return_exceptions=True)
    assert len(queue) == 0


async def test_without_a_transport_nothing_is_accepted() -> None:
    with pytest.raises(BackendError) as error:
        MailQueue(None, FAST, ManualClock()).reserve()
    assert error.value.message == NO_TRANSPORT == "No email account has been setup"


async def test_sending_returns_before_the_mail_is_delivered(queues: list[MailQueue]) -> None:
    transport = GatedTransport()
    queue = MailQueue(transport, FAST, ManualClock())
    queues.append(queue)
    send(queue)
    assert (transport.taken, len(queue)) == ([], 1)
    transport.gate.set()
    await drained(queue)
    assert transport.taken == ["ann@example.com"]


async def test_the_queue_is_bounded_and_a_place_that_is_not_used_is_free_again(queues: list[MailQueue]) -> None:
    transport = GatedTransport()
    queue = MailQueue(transport, dataclasses.replace(FAST, max_waiting=2), ManualClock())
    queues.append(queue)
    send(queue)
    with queue.reserve(), pytest.raises(Overloaded):
        queue.reserve()
    send(queue)
    with pytest.raises(Overloaded):
        queue.reserve()
    transport.gate.set()
    await drained(queue)
    queue.reserve()


async def test_no_more_than_the_workers_deliver_at_once(queues: list[MailQueue]) -> None:
    transport = GatedTransport()
    queue = MailQueue(transport, dataclasses.replace(FAST, workers=3), ManualClock())
    queues.append(queue)
    for _ in range(20):
        send(queue)
    transport.gate.set()
    await drained(queue)
    assert len(transport.taken) == 20
    assert transport.most_under_way <= 3


async def test_a_server_that_comes_back_gets_the_mail_once(
    make_mail_server: MailServerMaker, queues: list[MailQueue]
) -> None:
    server = await make_mail_server()
    await server.stop()
    smtp = SmtpSettings(host="127.0.0.1", port=server.port, security="none", timeout_seconds=5)
    queue = MailQueue(SmtpTransport(smtp), FAST, ManualClock())
    queues.append(queue)
    with capture_logs() as logs:
        send(queue)
        while not any(entry["event"].startswith("mail not delivered") for entry in logs):
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=0.01)
        await server.start()
        await drained(queue)
    assert [mail.recipients for mail in server.mails] == [["ann@example.com"]]
    assert logs[-1]["event"] == "mail sent"


async def test_a_temporary_refusal_is_tried_again_with_growing_pauses(
    make_mail_server: MailServerMaker, queues: list[MailQueue]
) -> None:
    server = await make_mail_server(refusals=["451 Not now"] * 5)
    smtp = SmtpSettings(host="127.0.0.1", port=server.port, security="none", timeout_seconds=5)
    queue = MailQueue(SmtpTransport(smtp), FAST, ManualClock())
    queues.append(queue)
    with capture_logs() as logs:
        send(queue)
        await drained(queue)
    assert len(server.mails) == 1
    assert [entry["pause_seconds"] for entry in logs if "pause_seconds" in entry] == [0.01, 0.02, 0.04, 0.05, 0.05]


@pytest.mark.parametrize(("refusal", "attempts"), [("550 No", 1), ("451 Not now", 3)])
async def test_giving_up_is_logged_and_not_tried_again(
    make_mail_server: MailServerMaker, queues: list[MailQueue], refusal: str, attempts: int
) -> None:
    server = await make_mail_server(refusals=[refusal] * 10)
    smtp = SmtpSettings(host="127.0.0.1", port=server.port, security="none", timeout_seconds=5)
    queue = MailQueue(SmtpTransport(smtp), dataclasses.replace(FAST, max_attempts=3), ManualClock())
    queues.append(queue)
    with capture_logs() as logs:
        send(queue)
        await drained(queue)
    assert (server.attempts, server.mails) == (attempts, [])
    (given_up,) = [entry for entry in logs if entry["event"] == "mail given up"]
    assert (given_up["log_level"], given_up["attempt"], given_up["to"]) == ("error", attempts, "ann@example.com")


async def test_a_mail_is_made_in_the_background_and_again_if_the_store_was_away(queues: list[MailQueue]) -> None:
    transport = GatedTransport()
    transport.gate.set()
    queue = MailQueue(transport, FAST, ManualClock())
    queues.append(queue)
    answers: list[Any] = [StoreUnavailable(), StoreUnavailable(), MAIL]

    async def make() -> Mail | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Mail)
        return answer

    with queue.reserve() as place:
        place.prepare(make)
    assert len(answers) == 3
    with capture_logs():
        await drained(queue)
    assert (answers, transport.taken) == ([], ["ann@example.com"])


async def test_what_cannot_be_made_is_logged_and_hurts_nobody_else(queues: list[MailQueue]) -> None:
    transport = GatedTransport()
    transport.gate.set()
    queue = MailQueue(transport, FAST, ManualClock())
    queues.append(queue)
    with capture_logs() as logs:
        send(queue, dataclasses.replace(MAIL, to="ann@example.com\r\nBcc: eve@example.com"))
        send(queue)
        await drained(queue)
    assert transport.taken == ["ann@example.com"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["mail lost: it could not be made"]


async def test_stopping_tries_what_waits_once_more_and_then_lets_go() -> None:
    class Refusing:
        attempts = 0

        async def deliver(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
            self.attempts += 1
            raise DeliveryFailed("not now")

    transport = Refusing()
    queue = MailQueue(transport, dataclasses.replace(FAST, retry_seconds=100, max_retry_seconds=100), ManualClock())
    with capture_logs() as logs:
        send(queue)
        while not logs:
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=0.01)
        await queue.stop(5)
    assert transport.attempts == 2
    assert [entry["event"] for entry in logs] == ["mail not delivered, will be tried again", "mail given up"]
    with pytest.raises(Overloaded):
        queue.reserve()


async def test_stopping_does_not_wait_longer_than_it_may() -> None:
    queue = MailQueue(GatedTransport(), FAST, ManualClock())
    with capture_logs() as logs:
        send(queue)
        await queue.stop(0)
    assert [entry["event"] for entry in logs] == ["mail lost: the server stopped"]
    assert len(queue) == 0
