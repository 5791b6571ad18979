"""
How many wrong passwords are answered before 429.

Rule: an attempt is counted when it begins, so that guesses in parallel cannot slip under the limit. No timers: an entry
ends when it is looked at, or when newer ones push it out.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from users_server.core.clock import Clock
from users_server.errors import LimitExceeded
from users_server.services.settings import LoginLimits
from users_server.services.validation import MAX_NAME_LENGTH

MESSAGE = "Too many failed logins; please try again later"

BUSY_RETRY_SECONDS = 1.0
"""When to come back if only attempts that are still being verified fill the limit."""

IPV6_PREFIX_BITS = 64
"""One customer has a whole /64, so that is what counts as one address."""


class LoginThrottle:
    """
    Limits failed logins for each account name and for each address.

    A name is counted as it is given, whether there is such an account or not, so that an answer tells nothing. Each
    :meth:`check` that returns must be followed by exactly one of :meth:`failed`, :meth:`succeeded` and
    :meth:`released`. A limit of 0 means none; an empty address is not counted.
    """

    def __init__(self, limits: LoginLimits, clock: Clock) -> None:
        self._accounts = _Window(limits.failures_per_account, limits.window_seconds, limits.max_entries, clock)
        self._addresses = _Window(limits.failures_per_address, limits.window_seconds, limits.max_entries, clock)

    def check(self, account: str, address: str) -> None:
        """
        Begin an attempt.

        Raises:
            LimitExceeded: If the failures of the window, with the attempts that are under way, have reached a limit;
                nothing was counted then.
        """
        account_key, address_key = _account_key(account), _address_key(address)
        wait = max(self._accounts.wait(account_key), self._addresses.wait(address_key))
        if wait > 0:
            raise LimitExceeded(MESSAGE, retry_after_seconds=wait)
        self._accounts.begin(account_key)
        self._addresses.begin(address_key)

    def failed(self, account: str, address: str) -> None:
        """The attempt had a wrong name or password."""
        self._accounts.end(_account_key(account), is_failure=True)
        self._addresses.end(_address_key(address), is_failure=True)

    def succeeded(self, account: str, address: str) -> None:
        """The attempt had the right password: the account's failures are forgotten, the address's are not."""
        account_key = _account_key(account)
        self._accounts.end(account_key, is_failure=False)
        self._accounts.forget_failures(account_key)
        self._addresses.end(_address_key(address), is_failure=False)

    def released(self, account: str, address: str) -> None:
        """The attempt was not decided, for instance because the database is away."""
        self._accounts.end(_account_key(account), is_failure=False)
        self._addresses.end(_address_key(address), is_failure=False)


@dataclass(slots=True)
class _Entry:
    ends_at: float = 0.0
    failures: int = 0
    under_way: int = 0


class _Window:
    """Failures for each key in a fixed window that opens with the first one; the key used longest ago goes first."""

    def __init__(self, limit: int, seconds: float, max_entries: int, clock: Clock) -> None:
        self._limit = limit
        self._seconds = seconds
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def wait(self, key: str) -> float:
        """Seconds until another attempt may begin; 0 if it may now."""
        entry = self._current(key)
        if entry is None or entry.failures + entry.under_way < self._limit:
            return 0.0
        if entry.failures < self._limit:
            return BUSY_RETRY_SECONDS
        return max(entry.ends_at - self._clock.monotonic(), 0.001)

    def begin(self, key: str) -> None:
        if not key or self._limit <= 0:
            return
        entry = self._entries.setdefault(key, _Entry())
        entry.under_way += 1
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def end(self, key: str, *, is_failure: bool) -> None:
        entry = self._current(key)
        if entry is None:
            return
        entry.under_way = max(entry.under_way - 1, 0)
        if is_failure:
            if not entry.failures:
                entry.ends_at = self._clock.monotonic() + self._seconds
            entry.failures += 1
        self._drop_if_empty(key, entry)

    def forget_failures(self, key: str) -> None:
        entry = self._current(key)
        if entry is not None:
            entry.failures = 0
            self._drop_if_empty(key, entry)

    def _current(self, key: str) -> _Entry | None:
        """The entry, without its failures if their window has ended."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.failures and entry.ends_at <= self._clock.monotonic():
            entry.failures = 0
        return entry

    def _drop_if_empty(self, key: str, entry: _Entry) -> None:
        if not entry.failures and not entry.under_way:
            del self._entries[key]


def _account_key(account: str) -> str:
    return account.casefold()[:MAX_NAME_LENGTH]


def _address_key(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:MAX_NAME_LENGTH]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX_BITS), strict=False))
