"""
A game, as its developer sees it: players come and go, the server dies, and the back end's page for web hooks was told
of each join and each leave once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.ports import free_ports
from tests.redis_server import until
from tests.server_process import ServerProcess
from tests.wire.jwp import Game, HookPage, make_game, wait_until_settled
from tests.wire.phoenix_client import NEWEST, PhoenixClient

pytestmark = pytest.mark.node

NOTIFIES = {"notify_joins": True, "notify_leaves": True}
BACK_SECONDS = 60.0
"""For the server's start, and the pauses of clients and of deliveries between their attempts."""


@pytest.fixture
def page() -> Iterator[HookPage]:
    with HookPage() as page:
        yield page


@pytest.fixture
def started(serve: Callable[..., ServerProcess], page: HookPage) -> tuple[ServerProcess, Game]:
    """A server that keeps its ports over a restart, and a game whose web hooks go to ``page``."""
    first = free_ports(2)
    server = serve(
        websocket={"port": first},
        http={"port": first + 1},
        protocols={"jwp": {}},
        webhooks={"allowPrivateAddresses": True},
    )
    return server, make_game(server, "jeuweb-prod", webhookEndpoint=page.url)


@pytest.fixture
def play(node: str, started: tuple[ServerProcess, Game]) -> Iterator[Callable[..., PhoenixClient]]:
    """``play(version, socket_id)``: a player who is in the lobby, listed, with web hooks."""
    with ExitStack() as stack:

        def join(version: str, socket_id: str, **options: Any) -> PhoenixClient:
            client = stack.enter_context(PhoenixClient(node, version, *started, socket_id))
            client.join_present("lobby", {"name": socket_id}, **{**NOTIFIES, **options})
            return client

        yield join


def joins(*socket_ids: str) -> list[tuple[str, str, str]]:
    return [("join", "lobby", who) for who in socket_ids]


def leaves(*socket_ids: str) -> list[tuple[str, str, str]]:
    return [("leave", "lobby", who) for who in socket_ids]


def test_each_join_and_each_leave_is_told_once(
    started: tuple[ServerProcess, Game], page: HookPage, play: Callable[..., PhoenixClient]
) -> None:
    server, game = started
    ann, tab, bob = play(NEWEST, "user:ann"), play("1.4", "user:ann"), play("1.6", "bob")
    watcher = play("1.7", "watcher", notify_leaves=False)
    watcher.wait_until_present("user:ann", "user:ann", "bob", "watcher")
    tab.leave("lobby")
    bob.kill()
    watcher.wait_until_present("user:ann", "watcher")
    ann.disconnect()
    watcher.wait_until_present("watcher")
    watcher.kill()
    expected = joins("user:ann", "user:ann", "bob", "watcher") + leaves("user:ann", "bob", "user:ann")
    page.wait_for(*expected)
    server.stop()
    assert sorted(page.hooks) == sorted(expected)
    for request in page.requests:
        assert request.headers["authorization"] == game.webhook_key
        assert request.headers["content-type"].startswith("application/json")
    assert len({request.headers["webhook-id"] for request in page.requests}) == len(expected)
    server.start()


def test_kill_9(started: tuple[ServerProcess, Game], page: HookPage, play: Callable[..., PhoenixClient]) -> None:
    """Ann comes back when the server does, and Bob never."""
    server, game = started
    ann, bob = play(NEWEST, "user:ann"), play("1.5", "bob")
    ann.wait_until_present("user:ann", "bob")
    first = joins("user:ann", "bob")
    page.wait_for(*first)
    wait_until_settled(server)
    server.kill()
    ann.expect("closed")
    bob.kill()
    server.start()
    second = first + leaves("user:ann", "bob") + joins("user:ann")
    page.wait_for(*second, seconds=BACK_SECONDS)
    ann.wait_until_present("user:ann", seconds=BACK_SECONDS)
    game.push(server, "lobby", "said", {"text": "welcome back"})
    assert ann.read_event() == ("said", {"text": "welcome back"})
    ann.leave("lobby")
    page.wait_for(*second, *leaves("user:ann"))
    wait_until_settled(server)
    assert sorted(page.hooks) == sorted(second + leaves("user:ann"))
    of_ann = [event for event, _, who in page.hooks if who == "user:ann"]
    assert of_ann == ["join", "leave", "join", "leave"], "in order"


def test_kill_9_while_the_page_is_down(
    started: tuple[ServerProcess, Game], page: HookPage, play: Callable[..., PhoenixClient]
) -> None:
    """What could not be delivered is, when the page is there again: nothing is lost, and a player's order is kept."""
    server, _ = started
    page.status = 503
    ann, bob = play(NEWEST, "user:ann"), play("1.8", "bob")
    ann.leave("lobby")
    until(lambda: len(page.requests) > 0)
    server.kill()
    bob.kill()
    page.status = 200
    server.start()
    expected = joins("user:ann", "bob") + leaves("user:ann", "bob")
    page.wait_for(*expected, seconds=BACK_SECONDS)
    wait_until_settled(server)
    assert sorted(page.hooks) == sorted(expected)
    for who in ("user:ann", "bob"):
        assert [event for event, _, someone in page.hooks if someone == who] == ["join", "leave"]
