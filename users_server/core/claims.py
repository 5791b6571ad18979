"""Which channels this node hears of on the bus: those that somebody here claims."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from users_server.core.acceptance import DONE, Accepted
from users_server.core.interfaces import Broker
from users_server.core.local_channel import ChannelKey


class _Claim:
    __slots__ = ("count", "is_heard", "ready")

    def __init__(self) -> None:
        self.count = 0
        self.is_heard = False
        self.ready: Accepted[None] | asyncio.Future[None] | None = None


class Claims:
    """
    The bus subscriptions, each made for the first who claims the channel and given up after the last.

    Args:
        on_heard: Called when a bus subscription has been made. What came in the channel before this moment may belong
            to a former one, so that something may be missing after it.
    """

    def __init__(self, broker: Broker, on_heard: Callable[[ChannelKey], None]) -> None:
        self._broker = broker
        self._on_heard = on_heard
        self._claims: dict[ChannelKey, _Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def has(self, key: ChannelKey) -> bool:
        """Whether anybody claims the channel."""
        return key in self._claims

    def is_heard(self, key: ChannelKey) -> bool:
        """Whether the bus subscription has been made."""
        claim = self._claims.get(key)
        return claim is not None and claim.is_heard

    def take(self, key: ChannelKey) -> Awaitable[None]:
        """
        Claim a channel; :meth:`release` must follow, also if awaiting the result raises.

        Await the result until everything that is published is brought. Awaiting raises :class:`BrokerUnavailable`.
        """
        claim = self._claims.get(key)
        if claim is None:
            claim = self._claims[key] = _Claim()
        claim.count += 1
        if claim.ready is None or _has_failed(claim.ready):
            self._subscribe(key, claim)
        ready = claim.ready
        return asyncio.shield(ready) if isinstance(ready, asyncio.Future) else DONE

    def release(self, key: ChannelKey) -> bool:
        """Give up one claim. True if it was the last."""
        claim = self._claims[key]
        claim.count -= 1
        if claim.count:
            return False
        del self._claims[key]
        self._broker.unsubscribe(*key)
        return True

    def _subscribe(self, key: ChannelKey, claim: _Claim) -> None:
        outcome = self._broker.subscribe(*key)
        if isinstance(outcome, Accepted):
            claim.ready, claim.is_heard = outcome, True
            self._on_heard(key)
            return
        claim.ready = asyncio.ensure_future(outcome)
        claim.ready.add_done_callback(lambda done: self._finish(key, claim, done))

    def _finish(self, key: ChannelKey, claim: _Claim, done: asyncio.Future[None]) -> None:
        """Comes before those who wait, who may also all have gone."""
        if not _has_failed(done) and self._claims.get(key) is claim:
            claim.ready, claim.is_heard = DONE, True
            self._on_heard(key)


def _has_failed(ready: Accepted[None] | asyncio.Future[None]) -> bool:
    """Whether whoever comes next must try again."""
    if not isinstance(ready, asyncio.Future) or not ready.done():
        return False
    return ready.cancelled() or ready.exception() is not None
