"""Who gets what in a channel: for one user, for all but one, for those who hear of presence, and in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.doubles import Bench, Client, LineEncoder
from users_server.core.local_channel import Floor
from users_server.core.messages import DEFAULT_APP, Gap, Member, PresenceChange, Publication, StreamPosition

NEWS = (DEFAULT_APP, "news")


def enter(bench: Bench, client: Client, **options: object) -> Client:
    bench.hub.enter(client.connection, bench.hub.open(NEWS), **options)  # type: ignore[arg-type]
    return client


def publish(bench: Bench, event: str, **options: object) -> None:
    bench.hub.broadcast(Publication(DEFAULT_APP, "news", event, {}, **options))  # type: ignore[arg-type]


def change(connection_id: str, *, is_join: bool = True) -> PresenceChange:
    return PresenceChange(DEFAULT_APP, "news", Member(connection_id, "u"), is_join, False, 1, "p")


def test_for_one_user_are_all_his_connections_of_this_app_and_nobody_else() -> None:
    bench = Bench()
    phone, laptop = (enter(bench, bench.client(name, user_id="u1")) for name in ("phone", "laptop"))
    other = enter(bench, bench.client("other", user_id="u2"))
    stranger = bench.client("stranger", user_id="u1")
    namesake = bench.client("namesake", user_id="u1", app="another")
    bench.hub.enter(namesake.connection, bench.hub.open(("another", "news")))
    publish(bench, "a")
    publish(bench, "secret", to_user="u1")
    publish(bench, "b")
    bench.tick()
    assert phone.lines == laptop.lines == ["a", "secret", "b"]
    assert other.lines == ["a", "b"]
    assert stranger.lines == namesake.lines == []
    assert phone.transport.writes == [b"a;secret;b;"]


def test_all_but_one_and_still_one_write_for_each() -> None:
    bench = Bench()
    sender, *others = (enter(bench, bench.client(name)) for name in "abc")
    publish(bench, "a")
    publish(bench, "b", except_connection="a")
    publish(bench, "c")
    bench.tick()
    assert sender.transport.writes == [b"a;c;"]
    assert [client.transport.writes for client in others] == [[b"a;b;c;"]] * 2
    assert bench.statistics.deliveries == 8


def test_an_exception_that_is_not_here_excepts_nobody() -> None:
    bench = Bench()
    client = enter(bench, bench.client("a"))
    publish(bench, "b", except_connection="on another node")
    bench.tick()
    assert client.lines == ["b"]


def test_a_narrowed_publication_is_encoded_once_for_each_encoder_that_needs_it() -> None:
    bench = Bench()
    encoder, unused = LineEncoder(), LineEncoder()
    for name in ("a", "b", "c"):
        enter(bench, bench.client(name, user_id="u1", encoder=encoder))
    enter(bench, bench.client("d", user_id="u2", encoder=unused))
    publish(bench, "x", to_user="u1")
    bench.tick()
    assert (encoder.calls, unused.calls) == (1, 0)


def test_presence_is_told_to_those_who_hear_of_it_and_never_to_the_member() -> None:
    bench = Bench()
    listener = enter(bench, bench.client("listener"), hears_presence=True)
    member = enter(bench, bench.client("member"), hears_presence=True, is_listed=True)
    other = enter(bench, bench.client("other"))
    publish(bench, "a")
    bench.hub.tell_presence(change("member"))
    publish(bench, "b")
    bench.tick()
    assert listener.lines == ["a", "+member", "b"]
    assert member.lines == other.lines == ["a", "b"]


def test_where_all_hear_of_presence_it_costs_no_list_for_each() -> None:
    bench = Bench()
    clients = [enter(bench, bench.client(name), hears_presence=True) for name in "abc"]
    bench.hub.tell_presence(change("elsewhere"))
    assert bench.hub.open(NEWS).personal == {}
    bench.tick()
    assert [client.lines for client in clients] == [["+elsewhere"]] * 3


def test_who_leaves_gets_nothing_of_what_is_pending_and_again_only_what_is_new() -> None:
    bench = Bench()
    leaver, stayer = (enter(bench, bench.client(name)) for name in ("leaver", "stayer"))
    publish(bench, "a")
    bench.hub.leave(leaver.connection, bench.hub.open(NEWS))
    enter(bench, leaver)
    publish(bench, "b")
    bench.tick()
    assert stayer.lines == ["a", "b"]
    assert leaver.lines == ["b"]


def test_two_channels_of_one_tick_are_still_one_write_for_who_gets_less() -> None:
    bench = Bench()
    client = enter(bench, bench.client("a"))
    bench.hub.enter(client.connection, bench.hub.open((DEFAULT_APP, "sport")))
    publish(bench, "a")
    publish(bench, "b", except_connection="a")
    bench.hub.broadcast(Publication(DEFAULT_APP, "sport", "c", {}))
    bench.tick()
    assert client.transport.writes == [b"a;c;"]


def test_personal_frames_count_for_the_bound_of_what_is_pending() -> None:
    bench = Bench(max_pending_bytes=5)
    client = enter(bench, bench.client("a", user_id="u1"))
    for event in "abc":
        publish(bench, event, to_user="u1")
    assert client.lines == ["a", "b", "c"]


def test_who_is_ahead_of_the_node_gets_nothing_twice() -> None:
    bench = Bench()
    floor = Floor(StreamPosition(3, "e2"), stale_epoch="e1")
    ahead, other = enter(bench, bench.client("ahead"), floor=floor), enter(bench, bench.client("other"))
    for offset, epoch in ((9, "e1"), (2, "e2"), (3, "e2"), (4, "e2")):
        publish(bench, f"{epoch}-{offset}", position=StreamPosition(offset, epoch))
    bench.tick()
    assert other.lines == ["e1-9", "e2-2", "e2-3", "e2-4"]
    assert ahead.lines == ["e2-4"]
    assert bench.hub.open(NEWS).floors == {}


def test_a_gap_is_told_to_those_whom_it_concerns() -> None:
    bench = Bench()
    ahead = enter(bench, bench.client("ahead"), floor=Floor(StreamPosition(3, "e")))
    other = enter(bench, bench.client("other"))
    bench.hub.tell_gap(Gap(DEFAULT_APP, "news", StreamPosition(3, "e")))
    bench.hub.tell_gap(Gap(DEFAULT_APP, "news", StreamPosition(5, "e")))
    bench.tick()
    assert other.lines == ["gap", "gap"]
    assert ahead.lines == ["gap"]
    assert bench.statistics.gaps == 2


def test_observers_hear_of_the_first_and_the_last() -> None:
    bench = Bench()
    heard: list[tuple[str, str, bool]] = []
    bench.node.observe_occupancy(lambda app, channel, is_occupied: heard.append((app, channel, is_occupied)))
    first, second = (enter(bench, bench.client(name)) for name in "ab")
    for client in (first, second):
        bench.hub.leave(client.connection, bench.hub.open(NEWS))
    assert heard == [(*NEWS, True), (*NEWS, False)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["all", "to", "except", "presence", "leave", "enter", "flush"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_is_mixed_each_client_gets_its_own_in_order(steps: list[tuple[str, int]]) -> None:
    """Against a model that writes to each client at once."""
    bench = Bench()
    encoders = (LineEncoder(), LineEncoder())
    clients = [bench.client(str(n), user_id=f"u{n % 2}", encoder=encoders[n // 2]) for n in range(4)]
    expected: list[list[str]] = [[] for _ in clients]
    inside: set[int] = set()
    for number, (what, n) in enumerate(steps):
        event = f"e{number}"
        if what == "flush":
            bench.tick()
        elif what == "enter" and n not in inside:
            inside.add(n)
            enter(bench, clients[n], hears_presence=n != 3, is_listed=n != 2)
        elif what == "leave" and n in inside:
            bench.tick()  # so that the model need not know what was pending
            inside.remove(n)
            bench.hub.leave(clients[n].connection, bench.hub.open(NEWS))
        elif what == "all":
            publish(bench, event)
            targets = inside
        elif what == "to":
            publish(bench, event, to_user=f"u{n % 2}")
            targets = {i for i in inside if i % 2 == n % 2}
        elif what == "except":
            publish(bench, event, except_connection=str(n))
            targets = inside - {n}
        elif what == "presence":
            bench.hub.tell_presence(change(str(n)))
            event, targets = f"+{n}", inside - ({3} if n == 2 else {n, 3})
        if what in ("all", "to", "except", "presence"):
            for i in targets:
                expected[i].append(event)
    bench.tick()
    assert [client.lines for client in clients] == expected
