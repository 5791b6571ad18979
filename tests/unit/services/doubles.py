"""What stands in for the world around the services: a clock to turn by hand, a node that remembers, interleaving."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from users_server.core.messages import DEFAULT_APP, USERS_CHANNEL, Revocation
from users_server.errors import BrokerUnavailable
from users_server.services.passwords import Argon2Costs, PasswordService
from users_server.services.settings import PasswordSettings


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.milliseconds = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.milliseconds

    def monotonic(self) -> float:
        return self.milliseconds / 1000

    def advance(self, seconds: float) -> None:
        self.milliseconds += round(seconds * 1000)


class RecordingNode:
    """Keeps in ``record`` what it was told, in order; raises while ``is_away``."""

    def __init__(self) -> None:
        self.record: list[tuple[str, str] | Revocation] = []
        self.is_away = False

    async def publish(self, app: str, channel: str, event: str, data: Mapping[str, Any]) -> None:
        assert (app, channel) == (DEFAULT_APP, USERS_CHANNEL)
        assert list(data) == ["username"]
        self._check()
        self.record.append((event, data["username"]))

    async def revoke(self, revocation: Revocation) -> None:
        self._check()
        self.record.append(revocation)

    def events(self) -> list[tuple[str, str]]:
        return [entry for entry in self.record if isinstance(entry, tuple)]

    def revocations(self) -> list[Revocation]:
        return [entry for entry in self.record if isinstance(entry, Revocation)]

    def _check(self) -> None:
        if self.is_away:
            raise BrokerUnavailable


class CountingPasswords(PasswordService):
    """Remembers against which hashes it verified."""

    verified: list[str | None]

    async def verify(self, password: str, hash: str | None) -> tuple[bool, str | None]:
        self.verified = [*getattr(self, "verified", []), hash]
        return await super().verify(password, hash)


class HeldPasswords(CountingPasswords):
    """Verifications without a hash wait in their threads until ``go``. To be made where a loop runs."""

    def __init__(self, settings: PasswordSettings, *, costs: Argon2Costs) -> None:
        super().__init__(settings, costs=costs)
        self.go = threading.Event()
        self.is_running = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def _verify_dummy(self, password: bytes) -> tuple[bool, str | None]:
        self._loop.call_soon_threadsafe(self.is_running.set)
        assert self.go.wait(5)
        return super()._verify_dummy(password)


class Interleaved:
    """A store before whose ``method`` another request runs to its end, the first time."""

    def __init__(self, store: Any, method: str, other: Callable[[], Awaitable[Any]]) -> None:
        self._store = store
        self._method = method
        self._other: Callable[[], Awaitable[Any]] | None = other

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)
        if name != self._method:
            return original

        async def interleaved(*args: Any, **kwargs: Any) -> Any:
            other, self._other = self._other, None
            if other is not None:
                await other()
            return await original(*args, **kwargs)

        return interleaved
