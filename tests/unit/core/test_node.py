"""The node over the memory broker: in by publish, out by handle_publication, and the end of connections."""

from __future__ import annotations

import pytest

from users_server.backends.memory import MemoryBroker
from users_server.core.acceptance import Accepted
from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.messages import DEFAULT_APP, Identity, Publication, Revocation, StreamPosition
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.errors import BrokerUnavailable, Disconnect, Shutdown


class Encoder:
    def encode(self, publication: Publication) -> bytes | None:
        return publication.event.encode()


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.writes.append(frames)

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...

    @property
    def queued_bytes(self) -> int:
        return 0


class Room:
    def __init__(self) -> None:
        self.closed: list[tuple[str, Disconnect]] = []
        self.node = Node(MemoryBroker(), Hub(lambda flush: None, lambda: 0.0, Statistics()))

    def enter(self, connection_id: str, identity: Identity) -> Connection:
        connection = Connection(
            connection_id,
            identity,
            Encoder(),
            Transport(),
            lambda connection, reason: self.closed.append((connection.id, reason)),
        )
        self.node.connect(connection, ("news",))
        return connection


@pytest.mark.gen_test
async def test_publish_is_accepted_with_growing_offsets_of_one_epoch() -> None:
    room = Room()
    await room.node.start()
    first = await room.node.publish(DEFAULT_APP, "news", "a", {})
    second = await room.node.publish(DEFAULT_APP, "news", "b", {})
    assert isinstance(first, StreamPosition)
    assert (second.offset - first.offset, second.epoch) == (1, first.epoch)


@pytest.mark.gen_test
async def test_the_memory_broker_delivers_before_publish_returns() -> None:
    room = Room()
    await room.node.start()
    accepted = room.node.publish(DEFAULT_APP, "news", "a", {})
    assert room.node.statistics.publications == 1
    assert isinstance(accepted, Accepted)


@pytest.mark.gen_test
async def test_without_its_broker_a_node_refuses_and_says_so_when_awaited() -> None:
    room = Room()
    refused = room.node.publish(DEFAULT_APP, "news", "a", {})
    with pytest.raises(BrokerUnavailable):
        await refused
    with pytest.raises(BrokerUnavailable):
        await room.node.revoke(Revocation(user_id="u1"))
    with pytest.raises(BrokerUnavailable):
        await room.node.check()
    assert room.node.statistics.publications == 0


@pytest.mark.gen_test
async def test_a_revocation_closes_once_and_delivers_first_what_came_before_it() -> None:
    room = Room()
    await room.node.start()
    ann = room.enter("ann", Identity(user_id="u1"))
    room.enter("bob", Identity(user_id="u2"))
    await room.node.publish(DEFAULT_APP, "news", "Logout", {})
    await room.node.revoke(Revocation(user_id="u1", message="Logged out"))
    await room.node.revoke(Revocation(user_id="u1"))
    assert [(name, reason.reason, reason.message) for name, reason in room.closed] == [
        ("ann", "session_expired", "Logged out")
    ]
    assert isinstance(ann.transport, Transport)
    assert ann.transport.writes == [b"Logout"]
    assert room.node.statistics.closed == {"session_expired": 1}
    assert room.node.statistics.connections == 1


@pytest.mark.gen_test
async def test_close_all_closes_everybody_for_the_reason() -> None:
    room = Room()
    await room.node.start()
    for name in ("ann", "bob"):
        room.enter(name, Identity())
    room.node.close_all(Shutdown())
    assert {name for name, _ in room.closed} == {"ann", "bob"}
    assert room.node.statistics.closed == {"shutdown": 2}
