"""Outcomes that are known already, as awaitables: for brokers without a network."""

from __future__ import annotations

from collections.abc import Generator
from typing import Generic, NoReturn, TypeVar

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
