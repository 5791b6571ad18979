"""A client that comes back gets exactly what it missed, or is told that it cannot, whatever dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cluster.nodes import OUTAGE, Cluster
from tests.cluster.streams import Ledger
from tests.redis_server import until

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reconnect", "kill node", "cut line", "hang line", "restart redis"]),
        st.integers(0, 40),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=4,
)
"""What happens, after how many publications more, and to which node."""

SHORTEST_STEP = 5


@pytest.fixture
def cluster(start: Callable[..., Cluster]) -> Cluster:
    made = start(3)
    for node in made.nodes:
        node.allowed_problems.append(OUTAGE)
    return made


class Source(threading.Thread):
    """
    Publishes numbers from the third node until told to end, each again and again until it was accepted.

    Of an attempt that was not confirmed nobody knows whether it was published, so that number may come twice.
    """

    def __init__(self, cluster: Cluster, channel: str) -> None:
        super().__init__(daemon=True)
        self._publisher = cluster.publisher(2)
        self._channel = channel
        self._is_over = threading.Event()
        self.count = 0
        self.unconfirmed: set[int] = set()

    def run(self) -> None:
        while not self._is_over.wait(0.005):  # the rate of publications, not a wait for anything
            if self._publisher.try_publish(self.count, self._channel) is None:
                self.unconfirmed.add(self.count)
            else:
                self.count += 1
        self._publisher.close()

    def wait_for(self, count: int) -> None:
        until(lambda: self.count >= count, seconds=40)

    def end(self) -> int:
        self._is_over.set()
        self.join(40)
        assert not self.is_alive()
        return self.count


@pytest.fixture
def channels() -> Iterator[str]:
    """A channel for each example."""
    return (f"kept:{number}" for number in range(1_000_000))


@pytest.mark.parametrize("redis", [True], indirect=True)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_what_a_client_has_is_complete_or_it_was_told(
    cluster: Cluster, channels: Iterator[str], steps: list[tuple[str, int, int]]
) -> None:
    channel = next(channels)
    source = Source(cluster, channel)
    home = 0
    ledger = Ledger(cluster.watch(home, channel))
    source.start()
    for what, pause, target in steps:
        source.wait_for(source.count + SHORTEST_STEP + pause)
        home = happen(cluster, ledger, channel, what, target, home)
    source.wait_for(source.count + SHORTEST_STEP)
    count = source.end()
    cluster.heal()
    cluster.publish(1, "end", channel)
    ledger.wait_for(lambda data: "end" in data, seconds=30)
    ledger.leave()
    ledger.check()
    numbers = [data for data in ledger.data if data != "end"]
    assert not ledger.lost_at, "Redis kept everything, so nothing is lost"
    assert numbers == sorted(numbers), "in order"
    assert set(range(count)) <= set(numbers) <= set(range(count)) | source.unconfirmed
    assert {number for number in numbers if numbers.count(number) > 1} <= source.unconfirmed, "once each"


def happen(cluster: Cluster, ledger: Ledger, channel: str, what: str, target: int, home: int) -> int:
    """Let it happen; where the client is afterwards."""
    if what == "reconnect":
        return move(cluster, ledger, channel, target)
    if what == "kill node":
        cluster.nodes[target].kill()
        if target == home:
            home = move(cluster, ledger, channel, 1 - target)
        cluster.nodes[target].start()
    elif what == "restart redis":
        cluster.redis.kill()
        cluster.redis.start()
        cluster.heal()
    else:
        getattr(cluster.nodes[target].line, "cut" if what == "cut line" else "hang")()
        until(lambda: not cluster.nodes[target].is_ready())
        cluster.nodes[target].line.mend()
    return home


def move(cluster: Cluster, ledger: Ledger, channel: str, node: int) -> int:
    """Drop the connection and come back on ``node`` with the last position."""
    ledger.leave()
    until(cluster.nodes[node].is_ready, seconds=20)
    ledger.follow(cluster.watch(node, channel, since=ledger.position))
    return node


def test_a_position_of_another_history_is_refused(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    cluster.publish(0, "something")
    for since in ("0000:1", "unknown:0"):
        client: Any = cluster.watch(1, since=since)
        first = client.read_event()
        assert first["recovered"] is False, first
        client.close()
