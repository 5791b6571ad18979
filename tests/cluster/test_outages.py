"""A node that is cut off from Redis, a Redis that hangs, and one that is started again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.nodes import KEPT, OUTAGE, Cluster
from tests.cluster.streams import Ledger, since
from tests.raw_client import CLOSE, RawClient
from tests.redis_server import RedisServer, until

COUNT = 150
PAUSE_SECONDS = 0.02
"""50 messages a second."""


class Stream(threading.Thread):
    """Publishes numbers at a steady rate from one node. ``accepted`` are those that the server confirmed."""

    def __init__(self, cluster: Cluster, node: int, channel: str = KEPT, count: int = COUNT) -> None:
        super().__init__(daemon=True)
        self._publisher = cluster.publisher(node)
        self._channel, self._count = channel, count
        self._pace = threading.Event()
        self.sent = 0
        self.accepted: list[int] = []

    def run(self) -> None:
        for number in range(self._count):
            self.sent = number + 1
            if self._publisher.try_publish(number, self._channel) is not None:
                self.accepted.append(number)
            self._pace.wait(PAUSE_SECONDS)  # nobody sets it: the rate is what is asked for
        self._publisher.close()

    def wait_until_sent(self, count: int) -> None:
        until(lambda: self.sent >= count, seconds=30)

    def finish(self) -> None:
        self.join(60)
        assert not self.is_alive()


@pytest.mark.parametrize("redis", [True], indirect=True)
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_redis_loses_nothing_that_was_accepted(
    start: Callable[..., Cluster], redis: RedisServer, how: str
) -> None:
    cluster = start(2)
    for node in cluster.nodes:
        node.allowed_problems.append(OUTAGE)
    ledgers = [Ledger(cluster.watch(number)) for number in range(2)]
    stream = Stream(cluster, 0)
    stream.start()
    stream.wait_until_sent(40)
    getattr(redis, how)()
    stream.wait_until_sent(min(COUNT, stream.sent + 1))
    redis.start()
    stream.finish()
    cluster.heal()
    cluster.publish(1, "end")
    for ledger in ledgers:
        ledger.wait_for(lambda data: "end" in data)
        ledger.leave()
        ledger.check()
        assert not ledger.lost_at, "a durable Redis has everything"
        assert len(set(ledger.data)) == len(ledger.data), "once each"
        assert [number for number in ledger.data if number in set(stream.accepted)] == stream.accepted
    assert ledgers[0].data == ledgers[1].data
    assert len(stream.accepted) > 40


def test_a_redis_that_forgot_is_told(start: Callable[..., Cluster], redis: RedisServer) -> None:
    cluster = start(2)
    for node in cluster.nodes:
        node.allowed_problems.append(OUTAGE)
    ledgers = [Ledger(cluster.watch(number)) for number in range(2)]
    stream = Stream(cluster, 0)
    stream.start()
    stream.wait_until_sent(40)
    before = cluster.watch(1)
    position = since(before.read_event()["position"])
    before.close()
    redis.kill()
    redis.start()
    stream.finish()
    cluster.heal()
    cluster.publish(1, "end")
    for ledger in ledgers:
        ledger.wait_for(lambda data: "end" in data)
        ledger.leave()
        lost = [number for number in stream.accepted if number not in ledger.data]
        assert ledger.lost_at, "the history is gone, and nobody said so"
        assert len(set(ledger.data)) == len(ledger.data)
        assert [number for number in ledger.data if number != "end"] == sorted(set(ledger.data) - {"end"})
        assert not [number for number in lost if number < ledger.data[ledger.lost_at[0] - 1]]
    back = cluster.watch(0, since=position)
    first = back.read_event()
    back.close()
    assert first["recovered"] is False


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_node_without_redis_catches_up(start: Callable[..., Cluster], how: str) -> None:
    cluster = start(2)
    cut = cluster.nodes[1]
    cut.allowed_problems.append(OUTAGE)
    ledgers = [Ledger(cluster.watch(number)) for number in range(2)]
    publisher = cluster.publisher(0)
    publisher.publish("before")
    for ledger in ledgers:
        ledger.wait_for(lambda data: data == ["before"])
    getattr(cut.line, how)()
    for number in range(100):
        publisher.publish(number)
    until(lambda: cut.http().get("/readyz").status == 503)
    assert ledgers[1].data == ["before"]
    unheard = cluster.publisher(1)
    assert unheard.try_publish("nobody hears") is None, "it is told that it was not published"
    unheard.close()
    cluster.heal()
    publisher.publish("after")
    publisher.close()
    for ledger in ledgers:
        ledger.wait_for(lambda data: "after" in data)
        ledger.leave()
        ledger.check()
        assert ledger.data == ["before", *range(100), "after"]
        assert not ledger.lost_at
    assert cut.wait_for_log(r"(?i)redis")


def test_more_missed_than_is_kept_is_told(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    cut = cluster.nodes[1]
    cut.allowed_problems.append(OUTAGE)
    ledger = Ledger(cluster.watch(1, "short:room"))
    publisher = cluster.publisher(0)
    cut.line.cut()
    for number in range(30):
        publisher.publish(number, "short:room")
    cluster.heal()
    publisher.publish("after", "short:room")
    publisher.close()
    ledger.wait_for(lambda data: "after" in data)
    ledger.leave()
    assert ledger.lost_at == [0], "told before anything else"
    assert ledger.data == ["after"] or ledger.data == [*range(30 - len(ledger.data) + 1, 30), "after"]


def test_user_events_and_log_outs_cross_nodes(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    near, far = cluster.nodes
    far.allowed_problems.append(OUTAGE)
    near.admin().create("ann")
    cookies = []
    for _ in range(2):
        ann = near.http()
        ann.login("ann", "a password")
        cookies.append(ann.cookie)
    watcher = far.connect()
    events, other = far.connect(cookie=cookies[0]), far.connect(cookie=cookies[1])

    logged_in = near.http()
    logged_in.login("ann", "a password")
    assert _next(watcher, 1) == {"eventType": 1, "username": "ann"}

    leaving = near.http()
    leaving.cookie = cookies[0]
    assert leaving.request("POST", "/logout", {}).status == 200
    assert _close_code(events) == 4401
    assert _next(watcher, 2) == {"eventType": 2, "username": "ann"}

    far.line.cut()
    assert near.admin().request("DELETE", "/users/ann").status == 200
    cluster.heal()
    assert _close_code(other) == 4401, "also if it was cut off when the account was removed"
    for client in (watcher, events, other):
        client.close()


def _next(client: RawClient, event_type: int) -> dict[str, Any]:
    """The next event of this type about ann."""
    while True:
        event = client.read_event()
        if event["eventType"] == event_type and event["username"] == "ann":
            return event


def _close_code(client: RawClient) -> int | None:
    """The code of the close frame that comes, whatever comes before it."""
    while True:
        frame = client.read_frame()
        if frame.opcode == CLOSE:
            return client.parse_close(frame)[0]
