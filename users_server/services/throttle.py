"""
How many wrong passwords are answered before 429, counted in the store, so that all nodes count together.

Rules: a name is counted as it is given, whether there is such an account or not, so that an answer tells nothing. What
is stored is a hash of it: neither names nor addresses can be read there, and every key has one length.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Mapping

import structlog

from users_server.core.attempts import AttemptOutcome
from users_server.core.clock import Clock
from users_server.core.safety_stores import AttemptStore
from users_server.errors import LimitExceeded, StoreUnavailable
from users_server.services.settings import LoginLimits
from users_server.services.validation import MAX_NAME_LENGTH

log = structlog.stdlib.get_logger(__name__)

MESSAGE = "Too many failed logins; please try again later"

IPV6_PREFIX_BITS = 64
"""One customer has a whole /64, so that is what counts as one address."""

MAX_LOCKS_KNOWN = 1000
"""Of how many lockouts a node remembers that it has told of them."""


class LoginLocked(LimitExceeded):
    """``is_news``: this node has not refused this name from this address before in the window."""

    def __init__(self, *, retry_after_seconds: float, is_news: bool) -> None:
        super().__init__(MESSAGE, retry_after_seconds=retry_after_seconds)
        self.is_news = is_news


class LoginThrottle:
    """
    Limits failed logins for each account name and for each address, over all nodes.

    Each :meth:`begin` that returns must be followed by exactly one of :meth:`failed`, :meth:`succeeded` and
    :meth:`released`, which raise nothing: while the store is away an attempt stays under way until its window ends. A
    limit of 0 means none; an empty address is not counted.
    """

    def __init__(self, store: AttemptStore, limits: LoginLimits, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._window_ms = limits.window_seconds * 1000
        self._known: OrderedDict[tuple[str, ...], int] = OrderedDict()

    async def begin(self, account: str, address: str) -> None:
        """
        Count an attempt.

        Raises:
            LoginLocked: If the failures of the window, with the attempts that are under way, have reached a limit;
                nothing was counted then.
            StoreUnavailable: If nobody can know.
        """
        limits = self._keys(account, address)
        if not limits:
            return
        now = self._clock.now_ms()
        wait = await self._store.begin_attempt(limits, window_ms=self._window_ms, now=now)
        if wait:
            raise LoginLocked(retry_after_seconds=wait / 1000, is_news=self._is_news(tuple(limits), now))

    async def failed(self, account: str, address: str) -> None:
        """The attempt had a wrong name or password."""
        await self._end(dict.fromkeys(self._keys(account, address), AttemptOutcome.FAILED))

    async def succeeded(self, account: str, address: str) -> None:
        """The attempt had the right password: the account's failures are forgotten, the address's are not."""
        outcomes = dict.fromkeys(self._keys(account, address), AttemptOutcome.RELEASED)
        account_key = _account_key(account)
        if account_key in outcomes:
            outcomes[account_key] = AttemptOutcome.SUCCEEDED
        await self._end(outcomes)

    async def released(self, account: str, address: str) -> None:
        """The attempt was not decided, for instance because the database is away."""
        await self._end(dict.fromkeys(self._keys(account, address), AttemptOutcome.RELEASED))

    async def trim(self) -> None:
        """Forget what has ended, and what is over ``max_entries``. To be called from time to time."""
        await self._store.trim_attempts(now=self._clock.now_ms(), most=self._limits.max_entries)

    async def _end(self, outcomes: Mapping[str, AttemptOutcome]) -> None:
        if not outcomes:
            return
        try:
            await self._store.end_attempt(outcomes, window_ms=self._window_ms, now=self._clock.now_ms())
        except StoreUnavailable:
            log.warning("the end of a login attempt was not counted")

    def _keys(self, account: str, address: str) -> dict[str, int]:
        """The counters of an attempt, and their limits."""
        limits = {}
        if self._limits.failures_per_account > 0:
            limits[_account_key(account)] = self._limits.failures_per_account
        if self._limits.failures_per_address > 0 and address:
            limits[_hashed("address", normalised_address(address))] = self._limits.failures_per_address
        return limits

    def _is_news(self, keys: tuple[str, ...], now: int) -> bool:
        ends_at = self._known.get(keys, 0)
        if ends_at > now:
            return False
        self._known[keys] = now + self._window_ms
        self._known.move_to_end(keys)
        while len(self._known) > MAX_LOCKS_KNOWN:
            self._known.popitem(last=False)
        return True


def normalised_address(address: str) -> str:
    """The address as it counts: an IPv4 address that came as IPv6 is the same one, an IPv6 customer has a /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:MAX_NAME_LENGTH]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX_BITS), strict=False))


def _account_key(account: str) -> str:
    return _hashed("account", account.casefold()[:MAX_NAME_LENGTH])


def _hashed(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
