"""The hub's promises: encode once, one write a client and flush, order, and nothing after removal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.core.doubles import LineEncoder, RecordingTransport
from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.messages import DEFAULT_APP, Identity, Publication, Revocation
from users_server.core.statistics import Statistics


class Bench:
    """A hub whose scheduled flushes are run by hand, and whose time stands still."""

    def __init__(self, **options: int) -> None:
        self.scheduled: list[Callable[[], None]] = []
        self.statistics = Statistics()
        self.now = 0.0
        self.hub = Hub(self.scheduled.append, lambda: self.now, self.statistics, **options)
        self._ids = 0

    def connection(
        self, encoder: LineEncoder, *channels: str, identity: Identity | None = None, app: str = DEFAULT_APP
    ) -> Connection:
        self._ids += 1
        connection = Connection(
            f"c{self._ids}",
            identity or Identity(),
            encoder,
            RecordingTransport(),
            lambda connection, reason: None,
            app=app,
        )
        self.hub.add(connection)
        self.hub.pin(connection, channels)
        return connection

    def publish(
        self, event: str, channel: str = "news", *, app: str = DEFAULT_APP, by: Connection | None = None
    ) -> None:
        info = by.client_info if by is not None else None
        self.hub.broadcast(Publication(app, channel, event, {}, info))

    def tick(self) -> None:
        scheduled, self.scheduled[:] = self.scheduled[:], []
        for flush in scheduled:
            flush()


def writes(connection: Connection) -> list[bytes]:
    assert isinstance(connection.transport, RecordingTransport)
    return connection.transport.writes


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_publication_is_encoded_once_and_every_write_is_the_same_bytes(bench: Bench) -> None:
    encoder = LineEncoder()
    connections = [bench.connection(encoder, "news") for _ in range(10)]
    bench.publish("a")
    bench.tick()
    assert encoder.calls == 1
    assert [writes(c) for c in connections] == [[b"a;"]] * 10
    assert len({id(writes(c)[0]) for c in connections}) == 1


def test_each_encoder_gives_its_own_form(bench: Bench) -> None:
    plain, other = bench.connection(LineEncoder(), "news"), bench.connection(LineEncoder("x:"), "news")
    bench.publish("a")
    bench.tick()
    assert (writes(plain), writes(other)) == ([b"a;"], [b"x:a;"])


def test_publications_of_one_tick_are_one_write_in_order(bench: Bench) -> None:
    connection = bench.connection(LineEncoder(), "news")
    for event in "abc":
        bench.publish(event)
    assert len(bench.scheduled) == 1
    bench.tick()
    assert writes(connection) == [b"a;b;c;"]
    assert bench.statistics.deliveries == 3
    assert bench.statistics.writes == 1


def test_two_channels_of_one_tick_are_one_write_and_one_copy(bench: Bench) -> None:
    encoder = LineEncoder()
    both = [bench.connection(encoder, "news", "sport") for _ in range(3)]
    one = bench.connection(encoder, "sport")
    bench.publish("a", "news")
    bench.publish("b", "sport")
    bench.tick()
    assert [writes(c) for c in both] == [[b"a;b;"]] * 3
    assert len({id(writes(c)[0]) for c in both}) == 1
    assert writes(one) == [b"b;"]


def test_a_channel_over_its_bound_is_flushed_before_the_tick_ends() -> None:
    bench = Bench(max_pending_bytes=5)
    connection = bench.connection(LineEncoder(), "news")
    for event in "abcd":
        bench.publish(event)
    assert writes(connection) == [b"a;b;c;"]
    bench.tick()
    assert writes(connection) == [b"a;b;c;", b"d;"]


def test_a_new_subscriber_gets_nothing_that_was_published_before(bench: Bench) -> None:
    encoder = LineEncoder()
    early = bench.connection(encoder, "news")
    bench.publish("a")
    late = bench.connection(encoder, "news")
    bench.publish("b")
    bench.tick()
    assert writes(early) == [b"a;b;"]
    assert writes(late) == [b"b;"]


def test_an_answer_comes_behind_what_its_client_has_published(bench: Bench) -> None:
    encoder = LineEncoder()
    sender, other = bench.connection(encoder, "news"), bench.connection(encoder, "news")
    bench.publish("a", by=sender)
    bench.hub.write(sender, b"answer;")
    bench.tick()
    assert writes(sender) == [b"a;", b"answer;"]
    assert writes(other) == [b"a;"]


def test_an_answer_to_another_client_does_not_end_the_tick(bench: Bench) -> None:
    encoder = LineEncoder()
    sender, other = bench.connection(encoder, "news"), bench.connection(encoder, "news")
    bench.publish("a", by=sender)
    bench.hub.write(other, b"answer;")
    bench.publish("b", by=sender)
    bench.tick()
    assert writes(sender) == [b"a;b;"]


def test_a_removed_connection_gets_nothing_and_leaves_no_trace(bench: Bench) -> None:
    connection = bench.connection(LineEncoder(), "news", identity=Identity(user_id="u1"))
    bench.publish("a")
    bench.hub.remove(connection)
    bench.hub.remove(connection)
    bench.tick()
    assert writes(connection) == []
    assert bench.statistics.connections == 0
    assert (tuple(bench.hub.connections()), tuple(bench.hub.channels())) == ((), ())
    assert bench.hub.matching(Revocation(user_id="u1")) == []


def test_channels_of_one_app_are_not_those_of_another(bench: Bench) -> None:
    encoder = LineEncoder()
    mine, theirs = bench.connection(encoder, "news"), bench.connection(encoder, "news", app="other")
    bench.publish("a", app="other")
    bench.tick()
    assert (writes(mine), writes(theirs)) == ([], [b"a;"])


def test_an_event_without_a_form_is_not_delivered(bench: Bench) -> None:
    connection = bench.connection(LineEncoder(), "news")
    bench.publish("foreign")
    bench.publish("a")
    bench.tick()
    assert writes(connection) == [b"a;"]
    assert bench.statistics.publications == 2
    assert bench.statistics.deliveries == 1


def test_latency_is_from_the_publication_to_the_flush(bench: Bench) -> None:
    bench.connection(LineEncoder(), "news")
    bench.publish("a")
    bench.now = 0.004
    bench.tick()
    assert bench.statistics.broadcast_latency.total == pytest.approx(0.004)
    assert sum(bench.statistics.broadcast_latency.counts) == 1


@pytest.mark.parametrize(
    ("revocation", "expected"),
    [
        (Revocation(user_id="u1"), {"c1", "c2"}),
        (Revocation(session_id="s2"), {"c2"}),
        (Revocation(user_id="u1", session_id="s3"), set()),
        (Revocation(), set()),
    ],
    ids=["all of a user", "one login", "a login of another user", "nothing said"],
)
def test_a_revocation_matches_by_every_field_that_is_set(
    bench: Bench, revocation: Revocation, expected: set[str]
) -> None:
    encoder = LineEncoder()
    for user_id, session_id in (("u1", "s1"), ("u1", "s2"), ("u2", "s3")):
        bench.connection(encoder, identity=Identity(user_id=user_id, session_id=session_id))
    bench.connection(encoder)
    assert {c.id for c in bench.hub.matching(revocation)} == expected
