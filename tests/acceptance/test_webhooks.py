"""Web hooks of real servers: a killed process loses none, one node sends each, and nobody waits for others."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.raw_client import RawClient
from tests.redis_server import until
from tests.server_process import ServerProcess
from tests.wire.jwp import Game, HookPage, make_game

SECTIONS = {
    "webhooks": {"allowPrivateAddresses": True},
    "apps": {"encryptionKeys": ["a-key-that-the-nodes-of-these-tests-share"]},
    "websocket": {"messagesPerSecond": 0},
}
FOUND_SECONDS = 60.0
"""For a node that died to be found, claims of its to run out, and a machine that is busy."""


@pytest.fixture
def page() -> Iterator[HookPage]:
    with HookPage() as page:
        yield page


@contextmanager
def joined(server: ServerProcess, game: Game, who: str, channel: str = "lobby") -> Iterator[RawClient]:
    """A player who was told that he has joined; both ends are notified of."""
    token = quote(game.socket_token(who), safe="")
    path = f"/socket/websocket?app_id={game.id}&auth={token}&vsn=2.0.0"
    with server.connect(path) as client:
        data = json.dumps({"options": {"notify_joins": True, "notify_leaves": True}})
        payload = {"auth": game.channel_token(who, channel, data), "data": data}
        client.send_text(json.dumps(["1", "1", game.topic(channel), "phx_join", payload]))
        reply = json.loads(client.read_message().payload)
        assert reply[3:] == ["phx_reply", {"status": "ok", "response": {}}], reply
        yield client


def stories(page: HookPage) -> dict[str, list[str]]:
    """What was told of each player, each delivery once, in order."""
    seen: set[str] = set()
    told: dict[str, list[str]] = defaultdict(list)
    for request in list(page.requests):
        if request.headers["webhook-id"] not in seen:
            seen.add(request.headers["webhook-id"])
            body = json.loads(request.body)
            told[body["socket_id"]].append(body["event"])
    return told


def waiting(server: ServerProcess) -> str:
    """What is owed, as the command line lists it."""
    return subprocess.run(
        [sys.executable, "-m", "users_server", "webhook", "list", "--config", "config.json"],
        cwd=server.directory,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_kill_9_loses_none(serve: Callable[..., ServerProcess], page: HookPage) -> None:
    server = serve(**SECTIONS)
    game = make_game(server, "game", webhookEndpoint=page.url)
    accepted: set[str] = set()
    is_over = threading.Event()

    def play(thread: int) -> None:
        number = 0
        with suppress(OSError, AssertionError):  # the server is gone
            while not is_over.is_set():
                who = f"player{thread}x{number}"
                number += 1
                with joined(server, game, who, f"room{number % 5}"):
                    accepted.add(who)

    with ThreadPoolExecutor(4) as pool:
        players = [pool.submit(play, thread) for thread in range(4)]
        until(lambda: len(accepted) >= 60, seconds=FOUND_SECONDS)
        server.kill()
        is_over.set()
        for player in players:
            player.result(30)
    server.start()

    def is_complete() -> bool:
        told = stories(page)
        return all(told.get(who) == ["join", "leave"] for who in accepted)

    until(is_complete, seconds=FOUND_SECONDS)
    server.stop()
    # of those that were not told that they had joined: nothing, or both
    assert set(map(tuple, stories(page).values())) == {("join", "leave")}


def test_two_nodes_send_each_once_and_one_ends_what_the_other_began(
    serve: Callable[..., ServerProcess], launch: Callable[..., ServerProcess], page: HookPage
) -> None:
    first = serve(**SECTIONS)
    if "FerretDB 1 does not change documents atomically" in first.log:
        pytest.skip("FerretDB 1 is for one node: it does not change documents atomically")
    second = launch(fresh=True, arguments=(), **{**SECTIONS, "database": first.config["database"]})
    game = make_game(first, "game", webhookEndpoint=page.url)
    for number in range(40):
        with joined((first, second)[number % 2], game, f"player{number}", f"room{number % 7}"):
            pass
    until(lambda: len(page.requests) >= 80, seconds=FOUND_SECONDS)
    until(lambda: not waiting(first), seconds=FOUND_SECONDS)
    assert len(page.requests) == len(stories(page)) * 2 == 80
    with joined(first, game, "alive"), joined(second, game, "lost"):
        until(lambda: {"alive", "lost"} <= set(stories(page)), seconds=FOUND_SECONDS)
        second.kill()
        until(lambda: stories(page)["lost"] == ["join", "leave"], seconds=30)
        assert stories(page)["alive"] == ["join"]
    until(lambda: stories(page)["alive"] == ["join", "leave"], seconds=FOUND_SECONDS)
    ids = Counter(request.headers["webhook-id"] for request in page.requests)
    assert len(ids) == 84
    assert sum(ids.values()) <= 85, "what was under way when a node died may come twice"
    assert set(map(tuple, stories(page).values())) == {("join", "leave")}


@contextmanager
def silent_endpoint() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_dead_endpoint_holds_up_nobody(serve: Callable[..., ServerProcess], page: HookPage) -> None:
    server = serve(**SECTIONS)
    good = make_game(server, "good", webhookEndpoint=page.url)
    with silent_endpoint() as url:
        dead = make_game(server, "dead", webhookEndpoint=url)
        for number in range(60):
            with joined(server, dead, f"player{number}", f"room{number}"):
                pass
        times = []
        for number in range(20):
            started = time.monotonic()
            with joined(server, good, f"player{number}"):
                until(lambda: f"player{number}" in stories(page), seconds=FOUND_SECONDS)  # noqa: B023
            times.append(time.monotonic() - started)
        assert sorted(times)[len(times) // 2] < 2.0, times
        assert server.http().get("/readyz").status == 200
        metrics = server.http().get("/metrics").body
        assert "users_server_webhooks_open 0.0" in metrics
        assert "users_server_webhooks_announced_total 80.0" in metrics
        started = time.monotonic()
        server.stop()  # within its time, whatever is under way
        assert time.monotonic() - started < 15


def test_a_redirect_to_a_private_address_is_not_followed(serve: Callable[..., ServerProcess], page: HookPage) -> None:
    class Redirects(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", page.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirects) as outside:
        thread = threading.Thread(target=outside.serve_forever)
        thread.start()
        try:
            server = serve(**SECTIONS)
            game = make_game(server, "game", webhookEndpoint=f"http://127.0.0.1:{outside.server_address[1]}/from")
            with joined(server, game, "ann"):
                until(lambda: len(asked) >= 2, seconds=FOUND_SECONDS)
        finally:
            outside.shutdown()
            thread.join()
    assert not page.requests
    server.stop()


def test_private_addresses_are_refused_by_default(serve: Callable[..., ServerProcess], page: HookPage) -> None:
    server = serve()
    game = make_game(server, "game", webhookEndpoint=page.url)
    with joined(server, game, "ann"):
        match = server.wait_for_log(r"^.*a web hook endpoint cannot be reached.*$")
        assert "not public" in match[0]
        assert page.url not in server.log
    assert not page.requests
    server.stop()
