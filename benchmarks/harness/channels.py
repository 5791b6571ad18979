"""
What a publish costs in a node with many channels, in a process of its own and without sockets.

Run as ``python -m harness.channels CHANNELS APPS SECONDS [REDIS_URL PREFIX]``. Each channel has one subscriber, whose
transport only counts; the channels are spread over the apps. Ten channels are published in, the same ones however many
others there are; then all in turn, which a processor's caches feel. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson

from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.backends.redis import RedisBus
from users_server.cli.process import keep_out_of_collections
from users_server.core.apps import App
from users_server.core.clock import SystemClock
from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.interfaces import Broker, PresenceManager
from users_server.core.messages import ANONYMOUS, Gap, PresenceChange, Publication
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.errors import Disconnect
from users_server.services.settings import BrokerSettings

IN_FLIGHT = 10
"""Each in a channel of its own, so that nothing can be put together."""
AT_ONCE = 500
DATA = {"text": "an event"}


@dataclass
class CountingTransport:
    """Of all subscribers."""

    writes: int = 0
    queued_bytes: int = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...


class JSONEncoder:
    """A codec as small as one can be."""

    def encode(self, publication: Publication) -> bytes | None:
        return orjson.dumps({"event": publication.event, "data": publication.data})

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        return None

    def encode_gap(self, gap: Gap) -> bytes | None:
        return None


def make_bus(url: str, prefix: str, clock: SystemClock) -> tuple[Broker, PresenceManager]:
    """Over Redis, or without a URL in this process alone."""
    if url:
        bus = RedisBus(BrokerSettings(url=url, prefix=prefix), "bench", clock)
        return bus.broker, bus.presence
    broker = MemoryBroker(MemoryHistory(clock), clock)
    return broker, MemoryPresence(broker)


def _say_nothing(_: object) -> None:
    return None


def _do_not_close(_: Connection, reason: Disconnect) -> None:
    raise AssertionError(f"a connection was closed: {reason!r}")


async def subscribe_all(node: Node, transport: CountingTransport, channels: Sequence[tuple[str, str]]) -> None:
    """A connection for each channel; so many at once."""
    encoder = JSONEncoder()

    async def subscribe_one(number: int) -> None:
        app, channel = channels[number]
        link = Connection(f"link-{number}", ANONYMOUS, encoder, transport, _do_not_close, app=app)
        node.connect(link)
        await node.subscribe(link, channel, _say_nothing)

    for start in range(0, len(channels), AT_ONCE):
        await asyncio.gather(*(subscribe_one(n) for n in range(start, min(start + AT_ONCE, len(channels)))))


async def measure(node: Node, targets: Iterable[tuple[str, str]], seconds: float) -> float:
    """CPU microseconds of this process for each publish with its delivery, ten in flight."""
    publish: Callable[..., Awaitable[object]] = node.publish
    turns = itertools.cycle(targets)
    count, delivered = 0, node.statistics.deliveries
    began = time.process_time_ns()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        outcomes = [publish(app, channel, "message", DATA) for app, channel in itertools.islice(turns, IN_FLIGHT)]
        for outcome in outcomes:
            await outcome
        await asyncio.sleep(0)  # a turn of the loop: the flush
        count += IN_FLIGHT
    used = time.process_time_ns() - began
    if node.statistics.deliveries - delivered != count:
        raise AssertionError(f"{node.statistics.deliveries - delivered:,} of {count:,} were delivered")
    return used / count / 1000


async def run(channel_count: int, app_count: int, seconds: float, url: str, prefix: str) -> dict[str, float]:
    """The figures, by where is published."""
    loop, clock, transport = asyncio.get_running_loop(), SystemClock(), CountingTransport()
    broker, presence = make_bus(url, prefix, clock)
    node = Node(broker, presence, Hub(loop.call_soon, clock.monotonic, Statistics()), clock)
    await node.start()
    apps = [f"app-{number}" for number in range(app_count)]
    for app in apps:
        node.use_app(App(app, app, (), 0))
    channels = [(apps[number % app_count], f"room-{number}") for number in range(channel_count)]
    await subscribe_all(node, transport, channels)
    keep_out_of_collections()
    few = channels[:IN_FLIGHT]
    await measure(node, few, seconds / 5)
    figures = {"few": await measure(node, few, seconds), "all": await measure(node, channels, seconds)}
    await node.stop()
    return figures


def main(arguments: Sequence[str]) -> int:
    channel_count, app_count, seconds = int(arguments[0]), int(arguments[1]), float(arguments[2])
    url, prefix = arguments[3:5] if len(arguments) > 3 else ("", "")
    try:
        import uvloop
    except ImportError:
        make_loop = asyncio.new_event_loop
    else:
        make_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make_loop) as runner:
        print(json.dumps(runner.run(run(channel_count, app_count, seconds, url, prefix))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
