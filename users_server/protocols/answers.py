"""Answers in the order of their questions, while publications wait for the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from users_server.core.acceptance import Pending
from users_server.errors import UsersServerError

Answer: TypeAlias = Callable[[UsersServerError | None], None]
"""Called with what the broker refused with, or :obj:`None`."""

MAX_UNCONFIRMED = 64
"""Publications of one client that the broker has not confirmed; then nothing more is read from it until one is."""


class AnswerQueue:
    """
    One client's answers that cannot be given yet.

    A client need not wait for the broker before its next message is read: what it publishes goes out together. But an
    answer never overtakes that of an earlier message.
    """

    __slots__ = ("_is_answering", "_room", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[Pending[object] | None, Answer]] = deque()
        self._room: Pending[None] | None = None
        self._is_answering = False

    def follow(self, outcome: Pending[object], answer: Answer) -> Pending[None] | None:
        """
        Call ``answer`` when ``outcome`` is there and everything before it is answered.

        Returns what to wait for before the next message is read, if anything.
        """
        self._waiting.append((outcome, answer))
        outcome.then(self._settle)
        if len(self._waiting) < MAX_UNCONFIRMED:
            return None
        if self._room is None or self._room.is_done:
            self._room = Pending()
        return self._room

    def put(self, answer: Callable[[], None]) -> None:
        """Call ``answer`` when everything before it is answered: at once, where nothing waits."""
        if self._is_answering or not self._waiting:
            answer()
        else:
            self._waiting.append((None, lambda _: answer()))

    def _settle(self) -> None:
        if self._is_answering:
            return
        self._is_answering = True
        try:
            while self._waiting:
                outcome, answer = self._waiting[0]
                if outcome is not None and not outcome.is_done:
                    break
                self._waiting.popleft()
                answer(None if outcome is None else outcome.error)
        finally:
            self._is_answering = False
        if self._room is not None and len(self._waiting) < MAX_UNCONFIRMED:
            self._room.succeed(None)
