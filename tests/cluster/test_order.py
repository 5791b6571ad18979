"""One order for all nodes, and every publication once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from tests.cluster.nodes import APP, KEPT, LOST, Cluster
from tests.cluster.streams import Ledger
from tests.raw_client import TEXT, build_frame
from tests.wire.relay import path

EACH = 300


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("channel", [KEPT, LOST])
def test_all_nodes_see_one_order(start: Callable[..., Cluster], count: int, channel: str) -> None:
    cluster = start(count)
    ledgers = [Ledger(cluster.watch(number, channel)) for number in range(count)]

    def publish(number: int) -> None:
        publisher = cluster.publisher(number)
        for index in range(EACH):
            publisher.publish([number, index], channel)
        publisher.close()

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for ledger in ledgers:
        ledger.wait_for(lambda data: len(data) >= count * EACH)
        ledger.leave()
    assert all(ledger.data == ledgers[0].data for ledger in ledgers)
    assert len(ledgers[0].data) == count * EACH
    for number in range(count):
        mine = [index for publisher, index in ledgers[0].data if publisher == number]
        assert mine == list(range(EACH)), "a publisher's own order"
    if channel == KEPT:
        ledgers[0].check()


def test_apps_and_channels_stay_apart(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    here, there = Ledger(cluster.watch(1, "kept:here")), Ledger(cluster.watch(1, "kept:there"))
    publisher = cluster.publisher(0)
    for index in range(20):
        publisher.publish(index, "kept:here" if index % 2 else "kept:there")
    publisher.close()
    here.wait_for(lambda data: len(data) >= 10)
    there.wait_for(lambda data: len(data) >= 10)
    for ledger in (here, there):
        ledger.leave()
    assert here.data == list(range(1, 20, 2))
    assert there.data == list(range(0, 20, 2))


def test_answers_keep_the_order_of_their_messages(start: Callable[..., Cluster]) -> None:
    cluster = start(1)
    where = path(1, "Ann", "plain", at=f"/relay/{APP}", secret=cluster.secret)
    client = cluster.nodes[0].connect(where, origin=None)
    frames = [build_frame(TEXT, json.dumps({"data": {"number": number}}).encode()) for number in range(200)]
    frames[70] = build_frame(TEXT, b"no JSON")
    client.send(b"".join(frames))  # at once, so that Redis has many of them before it answers one
    answers, numbers = [], []
    while len(answers) < 200 or len(numbers) < 199:
        event = client.read_event()
        if event["type"] == "sended":
            answers.append(event["ok"])
        else:
            numbers.append(event["data"]["number"])
    client.close()
    assert [index for index, is_ok in enumerate(answers) if not is_ok] == [70]
    assert numbers == [number for number in range(200) if number != 70]
