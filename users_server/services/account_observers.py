"""
Who is told that an account came or went: its bucket, its files and its apps come and go with it.

:mod:`users_server.app` adds the observers; the user service and the registration call them.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from users_server.core.accounts import User

log = structlog.stdlib.get_logger(__name__)


class AccountObserver(Protocol):
    """
    Keeps something for each account.

    Both methods are called after the store has changed, and may be called again for the same account, so they must be
    idempotent. The account stays as it is whatever they raise; what they raise is logged.
    """

    async def created(self, user: User) -> None:
        """The account is there, active or not. The answer to its creator waits for this."""

    async def removed(self, user: User) -> None:
        """The account is gone, its sessions too; Removed is sent when all observers have returned."""


class AccountObservers:
    """All observers as one. They are called one after the other, in the order in which they were added."""

    def __init__(self) -> None:
        self._observers: list[AccountObserver] = []

    def add(self, observer: AccountObserver) -> None:
        """Tell ``observer`` from now on."""
        self._observers.append(observer)

    async def created(self, user: User) -> None:
        """Tell all of a new account. Raises nothing."""
        for observer in self._observers:
            try:
                await observer.created(user)
            except Exception:
                log.exception("an account lacks a part", username=user.username, observer=type(observer).__name__)

    async def removed(self, user: User) -> None:
        """Tell all of an account that is gone. Raises nothing."""
        for observer in self._observers:
            try:
                await observer.removed(user)
            except Exception:
                log.exception("a part of an account remains", username=user.username, observer=type(observer).__name__)
