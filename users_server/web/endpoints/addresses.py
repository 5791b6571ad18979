"""
Where a call may go: names are resolved here, every address is checked, and a connection is made to what was checked.

So a name that has another address a moment later leads nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

from users_server.core.clock import Clock
from users_server.services.webhooks import CallFailed

Resolve: TypeAlias = "Callable[[str, int], Sequence[str]]"
"""The IP addresses of a host, in the order of preference; blocks, and raises :class:`OSError`."""

MAX_LOOKING = 64
"""How many hosts are looked up at once, each on a thread."""

MAX_NAMES = 10_000
NAME_SECONDS = 30.0
MAX_ADDRESSES = 8

PRIVATE = "The endpoint is on an address that is not public (webhooks.allowPrivateAddresses)"
UNKNOWN_HOST = "The name of the endpoint's host cannot be resolved"
BUSY = "Too many names are being resolved"

_IPv4 = ipaddress.IPv4Address
_IPv6 = ipaddress.IPv6Address

_RESERVED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind the NAT of a provider
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; clouds have their metadata there
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # with 255.255.255.255
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_RESERVED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments, with Teredo and ORCHID
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_6TO4 = ipaddress.IPv6Network("2002::/16")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """
    Whether it is an address that anybody may reach: no loopback, private, link-local, multicast or reserved one.

    An IPv6 address that stands for an IPv4 address (mapped, 6to4, NAT64) is as public as that one.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, _IPv6):
        if parsed.scope_id is not None:
            return False
        inner = _embedded(parsed)
        if inner is None:
            return parsed in _PUBLIC_V6 and not any(parsed in network for network in _RESERVED_V6)
        parsed = inner
    return not any(parsed in network for network in _RESERVED_V4)


def _embedded(address: _IPv6) -> _IPv4 | None:
    """The IPv4 address that packets to ``address`` end at."""
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _6TO4:
        return _IPv4((number >> 80) & 0xFFFFFFFF)
    if address in _NAT64:
        return _IPv4(number & 0xFFFFFFFF)
    return None


def resolve(host: str, port: int) -> Sequence[str]:
    """By the operating system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class AddressBook:
    """
    Looks hosts up, one look-up at a time for each, and remembers what it found for half a minute.

    Args:
        allows_private: Whether any address will do.
        resolve: Called on a thread of its own.
    """

    def __init__(self, clock: Clock, *, allows_private: bool, resolve: Resolve = resolve) -> None:
        self._clock = clock
        self._allows_private = allows_private
        self._resolve = resolve
        self._known: OrderedDict[tuple[str, int], tuple[Sequence[str], float]] = OrderedDict()
        self._looking: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        """
        Addresses that may be called, at least one, in the order in which they are to be tried.

        Raises:
            CallFailed: The name has none, or one that is not public: such a name is not to be trusted at all.
        """
        known = self._known.get((host, port))
        if known is not None and self._clock.monotonic() < known[1]:
            return known[0]
        try:
            addresses = await self._look(host, port)
        except (OSError, UnicodeError):
            raise CallFailed(UNKNOWN_HOST) from None
        if not addresses:
            raise CallFailed(UNKNOWN_HOST)
        if not self._allows_private and not all(is_public(address) for address in addresses):
            raise CallFailed(PRIVATE)
        self._known[host, port] = (addresses, self._clock.monotonic() + NAME_SECONDS)
        self._known.move_to_end((host, port))
        if len(self._known) > MAX_NAMES:
            self._known.popitem(last=False)
        return addresses

    def forget(self, host: str, port: int) -> None:
        """What is known of a host did not lead there."""
        self._known.pop((host, port), None)

    async def _look(self, host: str, port: int) -> Sequence[str]:
        where = (host, port)
        looking = self._looking.get(where)
        if looking is None:
            if len(self._looking) >= MAX_LOOKING:
                raise CallFailed(BUSY)
            loop = asyncio.get_running_loop()
            looking = self._looking[where] = loop.create_future()
            # A thread that nothing waits for when the process ends, as pools do: a name server may take a minute.
            threading.Thread(target=self._run, args=(loop, *where), name="endpoint-names", daemon=True).start()
        # who gives up leaves the look-up to the others
        return (await asyncio.shield(looking))[:MAX_ADDRESSES]

    def _run(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """On the thread."""
        try:
            outcome: Sequence[str] | Exception = self._resolve(host, port)
        except Exception as error:
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._looked, (host, port), outcome)

    def _looked(self, where: tuple[str, int], outcome: Sequence[str] | Exception) -> None:
        looking = self._looking.pop(where)
        if isinstance(outcome, Exception):
            looking.set_exception(outcome)
            looking.exception()  # it is taken from here, if nobody waits any more
        else:
            looking.set_result(outcome)
