"""The order of one client's answers, while its publications wait for the broker."""

from __future__ import annotations

import asyncio

import pytest

from users_server.core.acceptance import Pending
from users_server.errors import BrokerUnavailable, UsersServerError
from users_server.protocols.answers import MAX_UNCONFIRMED, AnswerQueue


class Client:
    """What one client was answered."""

    def __init__(self) -> None:
        self.queue = AnswerQueue()
        self.answers: list[str] = []

    def publish(self, name: str, outcome: Pending[object]) -> Pending[None] | None:
        def answer(error: UsersServerError | None) -> None:
            # as a receiver does, which answers in one way only
            self.queue.put(lambda: self.answers.append(f"{name}: {error.reason if error else 'ok'}"))

        return self.queue.follow(outcome, answer)

    def ask(self, name: str) -> None:
        self.queue.put(lambda: self.answers.append(name))


def test_nothing_waits_for_nothing() -> None:
    client = Client()
    client.ask("first")
    assert client.answers == ["first"]


def test_an_answer_waits_for_those_before_it_and_for_no_other() -> None:
    client = Client()
    one, two, three = Pending[object](), Pending[object](), Pending[object]()
    client.publish("one", one)
    client.ask("question")
    client.publish("two", two)
    client.publish("three", three)
    three.succeed(None)
    two.fail(BrokerUnavailable())
    assert client.answers == []
    one.succeed(None)
    assert client.answers == ["one: ok", "question", "two: broker_unavailable", "three: ok"]
    client.ask("at once")
    assert client.answers[-1] == "at once"


def test_an_outcome_that_is_there_already_is_answered_at_once() -> None:
    client = Client()
    done = Pending[object]()
    done.succeed(None)
    assert client.publish("done", done) is None
    assert client.answers == ["done: ok"]


@pytest.mark.gen_test
async def test_a_client_that_has_too_many_is_not_read_until_there_is_room() -> None:
    client = Client()
    outcomes = [Pending[object]() for _ in range(MAX_UNCONFIRMED)]
    rooms = [client.publish(str(number), outcome) for number, outcome in enumerate(outcomes)]
    assert rooms[:-1] == [None] * (MAX_UNCONFIRMED - 1)
    room = rooms[-1]
    assert room is not None
    outcomes[1].succeed(None)
    assert not room.is_done, "the oldest one is not answered"
    waiting = asyncio.ensure_future(_wait(room))
    outcomes[0].succeed(None)
    await waiting
    for outcome in outcomes:
        outcome.succeed(None)
    assert client.answers == [f"{number}: ok" for number in range(MAX_UNCONFIRMED)]


async def _wait(room: Pending[None]) -> None:
    await room
