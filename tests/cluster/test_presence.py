"""Who is there, over several nodes: once a user, and nobody who is gone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from tests.cluster.nodes import APP, LEASE_SECONDS, OUTAGE, Cluster
from tests.raw_client import RawClient
from tests.redis_server import until
from tests.wire.relay import path

GHOSTS_SECONDS = 30.0
"""What a killed node's members may take to be gone."""


def join(cluster: Cluster, node: int, user_id: int, name: str) -> tuple[RawClient, list[dict[str, Any]]]:
    """A relay client in the chat, and the users that it was told of."""
    where = path(user_id, name, "chat:room", at=f"/relay/{APP}", secret=cluster.secret)
    client = cluster.nodes[node].connect(where, origin=None)
    first = client.read_event()
    assert first["type"] == "connected", first
    return client, sorted(first["users"], key=lambda user: user["id"])


def user(user_id: int, name: str) -> dict[str, Any]:
    return {"id": user_id, "name": name}


ANN, BOB, CID = user(1, "Ann"), user(2, "Bob"), user(3, "Cid")


def expect(client: RawClient, kind: str, who: dict[str, Any], *, seconds: float = 10.0) -> None:
    """The next message tells that ``who`` came or went."""
    client.timeout = seconds
    event = client.read_event()
    client.timeout = 10.0
    assert (event["type"], event["sender"]) == (kind, who), event


def members(cluster: Cluster, node: int) -> list[str]:
    """The users of the members that HTTP lists."""
    answer = (
        cluster.nodes[node]
        .http()
        .get(f"/apps/{APP}/channels/chat%3Aroom/members", headers={"app-api-key": cluster.api_key})
    )
    assert answer.status == 200, answer
    return sorted(member["userId"] for member in answer.body["data"])


def test_a_user_comes_and_goes_once(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    ann, users = join(cluster, 0, 1, "Ann")
    assert users == [ANN]
    tabs = []
    for number in (1, 0, 1):
        tab, users = join(cluster, number, 2, "Bob")
        assert users == [ANN, BOB]
        tabs.append(tab)
    expect(ann, "connectOther", BOB)
    assert members(cluster, 1) == ["1", "2", "2", "2"]
    for tab in tabs[:2]:
        tab.finish()
        tab.close()
    cid, users = join(cluster, 1, 3, "Cid")
    assert users == [ANN, BOB, CID]
    expect(ann, "connectOther", CID)
    tabs[2].close()
    for client in (ann, cid):
        expect(client, "disconnectOther", BOB)
    until(lambda: members(cluster, 0) == ["1", "3"])
    for client in (ann, cid):
        client.close()


def test_ghosts_of_a_killed_node_go(start: Callable[..., Cluster]) -> None:
    cluster = start(3)
    ann, _ = join(cluster, 0, 1, "Ann")
    bob, _ = join(cluster, 1, 2, "Bob")
    bobs_other_tab, _ = join(cluster, 2, 2, "Bob")
    cid, _ = join(cluster, 1, 3, "Cid")
    expect(ann, "connectOther", BOB)
    expect(ann, "connectOther", CID)
    cluster.nodes[1].kill()
    expect(ann, "disconnectOther", CID, seconds=GHOSTS_SECONDS)
    assert members(cluster, 0) == ["1", "2"]
    cluster.nodes[1].start()
    gone = cid
    cid, users = join(cluster, 1, 3, "Cid")
    assert users == [ANN, BOB, CID]
    expect(ann, "connectOther", CID)
    bobs_other_tab.close()
    for client in (ann, cid):
        expect(client, "disconnectOther", BOB)
    for client in (ann, bob, cid, gone):
        client.close()


def test_members_of_a_node_that_slept_come_back(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    ann, _ = join(cluster, 0, 1, "Ann")
    bob, _ = join(cluster, 1, 2, "Bob")
    expect(ann, "connectOther", BOB)
    cluster.nodes[1].allowed_problems.append(OUTAGE)
    cluster.nodes[1].send_signal(signal.SIGSTOP)
    expect(ann, "disconnectOther", BOB, seconds=GHOSTS_SECONDS)
    cluster.nodes[1].send_signal(signal.SIGCONT)
    expect(ann, "connectOther", BOB, seconds=3 * LEASE_SECONDS)
    assert members(cluster, 0) == ["1", "2"]
    bob.finish()
    expect(ann, "disconnectOther", BOB)
    ann.close()
    bob.close()


def test_a_redis_that_forgot_makes_nobody_leave(start: Callable[..., Cluster]) -> None:
    cluster = start(2)
    for node in cluster.nodes:
        node.allowed_problems.append(OUTAGE)
    ann, _ = join(cluster, 0, 1, "Ann")
    bob, _ = join(cluster, 1, 2, "Bob")
    expect(ann, "connectOther", BOB)
    cluster.redis.kill()
    cluster.redis.start()
    cluster.heal()
    until(lambda: members(cluster, 0) == ["1", "2"], seconds=3 * LEASE_SECONDS)
    cid, users = join(cluster, 0, 3, "Cid")
    assert users == [ANN, BOB, CID]
    for client in (ann, bob):
        expect(client, "connectOther", CID)
    bob.finish()
    for client in (ann, cid):
        expect(client, "disconnectOther", BOB)
    for client in (ann, bob, cid):
        client.close()
