"""Stock Phoenix clients on two nodes: who is there, what is pushed, and web hooks that are sent once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster.nodes import APP, OUTAGE, Cluster
from tests.wire.jwp import Game, HookPage, wait_until_settled
from tests.wire.phoenix_client import NEWEST, VERSIONS, PhoenixClient

pytestmark = pytest.mark.node

GHOSTS_SECONDS = 30.0
"""What a killed node's members may take to be gone, and their web hooks to be sent by another."""

COMINGS = 20
NOTIFIES = {"notify_joins": True, "notify_leaves": True}


@pytest.fixture
def page() -> Iterator[HookPage]:
    with HookPage() as page:
        yield page


@pytest.fixture
def cluster(start: Callable[..., Cluster], page: HookPage) -> Cluster:
    """Two nodes, and an app whose web hooks go to ``page``."""
    cluster = start(2, protocols={"jwp": {}, "relay": {}}, webhooks={"allowPrivateAddresses": True})
    changed = cluster.nodes[0].admin().request("PUT", f"/apps/{APP}", {"webhookEndpoint": page.url})
    assert changed.status == 200, changed
    return cluster


@pytest.fixture
def game(cluster: Cluster) -> Game:
    return Game(APP, cluster.secret, cluster.api_key)


@pytest.fixture
def play(node: str, cluster: Cluster, game: Game) -> Iterator[Callable[..., PhoenixClient]]:
    """``play(number, version, socket_id)``: a player in the lobby through that node, listed and told of presence."""
    with ExitStack() as stack:

        def join(number: int, version: str, socket_id: str, **options: Any) -> PhoenixClient:
            client = stack.enter_context(PhoenixClient(node, version, cluster.nodes[number], game, socket_id))
            client.join_present("lobby", {"name": socket_id}, **options)
            return client

        yield join


Play = Callable[..., PhoenixClient]


def test_presence_and_messages_of_two_nodes(cluster: Cluster, game: Game, play: Play) -> None:
    ann, bob = play(0, NEWEST, "ann"), play(1, "1.4", "bob")
    tabs = [play(number, "1.7", "ann") for number in (0, 1)]
    for client in (ann, bob, *tabs):
        present = client.wait_until_present("ann", "ann", "ann", "bob")
        assert len({meta["phx_ref"] for metas in present.values() for meta in metas}) == 4
    for number in (0, 1):
        game.push(cluster.nodes[number], "lobby", "said", {"through": number})
        for client in (ann, bob, *tabs):
            assert client.read_event() == ("said", {"through": number})
    tabs[1].kill()
    for client in (ann, bob):
        client.wait_until_present("ann", "ann", "bob")
    bob.leave("lobby")
    ann.wait_until_present("ann", "ann")


def test_refs_are_the_same_on_both_nodes(play: Play) -> None:
    ann, bob = play(0, NEWEST, "ann"), play(1, NEWEST, "bob")
    assert ann.wait_until_present("ann", "bob") == bob.wait_until_present("ann", "bob")


def test_coming_and_going_at_once(play: Play) -> None:
    """However joins and leaves overlap, both nodes end with those who are there, each listed once."""
    watchers = [play(number, NEWEST, f"watcher:{number}") for number in (0, 1)]
    players = [play(number % 2, VERSIONS[number], f"player:{number}") for number in range(4)]
    for _ in range(COMINGS):
        for player in players:
            player.flicker("lobby")
    for player in players:
        player.expect("joined")
    names = [client.socket_id for client in (*watchers, *players)]
    first, second = (watcher.wait_until_present(*names, seconds=GHOSTS_SECONDS) for watcher in watchers)
    assert first == second


def test_web_hooks_are_sent_once(page: HookPage, cluster: Cluster, play: Play) -> None:
    names = [f"player:{number}" for number in range(6)]
    players = [play(number % 2, NEWEST, name, **NOTIFIES) for number, name in enumerate(names)]
    players[0].wait_until_present(*names)
    for player in players:
        player.leave("lobby")
    expected = [(event, "lobby", name) for event in ("join", "leave") for name in names]
    page.wait_for(*expected)
    for node in cluster.nodes:
        node.stop()
    assert sorted(page.hooks) == sorted(expected)
    for name in names:
        assert [event for event, _, who in page.hooks if who == name] == ["join", "leave"]


def test_a_killed_node(page: HookPage, cluster: Cluster, game: Game, play: Play) -> None:
    """The other one takes its players off the list, and tells of their leaves."""
    ann, bob = play(0, NEWEST, "ann", **NOTIFIES), play(1, "1.5", "bob", **NOTIFIES)
    ann.wait_until_present("ann", "bob")
    page.wait_for(("join", "lobby", "ann"), ("join", "lobby", "bob"))
    wait_until_settled(cluster.nodes[1])
    cluster.nodes[0].allowed_problems.append(OUTAGE)
    cluster.nodes[1].kill()
    bob.expect("closed")
    ann.wait_until_present("ann", seconds=GHOSTS_SECONDS)
    page.wait_for(("leave", "lobby", "bob"), seconds=GHOSTS_SECONDS)
    game.push(cluster.nodes[0], "lobby", "said", 1)
    assert ann.read_event() == ("said", 1)
    ann.leave("lobby")
    page.wait_for(("leave", "lobby", "ann"))
    assert sorted(page.hooks) == [
        ("join", "lobby", "ann"),
        ("join", "lobby", "bob"),
        ("leave", "lobby", "ann"),
        ("leave", "lobby", "bob"),
    ]
