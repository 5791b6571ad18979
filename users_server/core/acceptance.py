"""Outcomes as awaitables: those that are known already, for brokers without a network, and those that come later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, NoReturn, TypeVar

from users_server.errors import UsersServerError

T = TypeVar("T")


class Accepted(Generic[T]):
    """Done. Awaiting it costs no trip around the event loop, and a caller may see by its type that there is no need."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __await__(self) -> Generator[None, None, T]:
        return self.value
        yield  # type: ignore[unreachable]  # makes this a generator, which never yields


DONE: Accepted[None] = Accepted(None)
"""Done, and there is nothing to tell."""


class Refused:
    """Failed. Awaiting it raises ``error``."""

    __slots__ = ("error",)

    def __init__(self, error: UsersServerError) -> None:
        self.error = error

    def __await__(self) -> Generator[None, None, NoReturn]:
        raise self.error
        yield  # type: ignore[unreachable]  # makes this a generator, which never yields


class Pending(Generic[T]):
    """
    An outcome that comes later. It need not be awaited, and it may be awaited more than once.

    Unlike a future it does not complain about an error that nobody asked for, and costs less.
    """

    __slots__ = ("_error", "_followers", "_is_done", "_value")

    def __init__(self) -> None:
        self._is_done = False
        self._value: T | None = None
        self._error: UsersServerError | None = None
        self._followers: list[Callable[[], None]] | None = None

    @property
    def is_done(self) -> bool:
        return self._is_done

    @property
    def error(self) -> UsersServerError | None:
        return self._error

    def succeed(self, value: T) -> None:
        """The outcome; a second one is ignored."""
        if not self._is_done:
            self._value = value
            self._finish()

    def fail(self, error: UsersServerError) -> None:
        """Awaiting raises ``error``."""
        if not self._is_done:
            self._error = error
            self._finish()

    def then(self, follower: Callable[[], None]) -> None:
        """Call ``follower`` when there is an outcome; now, if there is one already."""
        if self._is_done:
            follower()
        elif self._followers is None:
            self._followers = [follower]
        else:
            self._followers.append(follower)

    def _finish(self) -> None:
        self._is_done = True
        followers, self._followers = self._followers, None
        for follower in followers or ():
            follower()

    def __await__(self) -> Generator[Any, None, T]:
        if not self._is_done:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(lambda: None if waiter.done() else waiter.set_result(None))
            yield from waiter
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self._value  # type: ignore[return-value]  # succeed() was given a T
