"""The HTTP API of the JeuWeb Push Server on the ports of a real server, and across its restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.ports import free_ports
from tests.server_process import Answer, ServerProcess, UsersClient
from tests.wire.tenants import basic

PUSH = "/api/v1/push"
BODY = {"channel": "lobby", "event": "said", "payload": {"text": "hi"}}
DONE = {"status": "ok", "data": {}}

Launch = Callable[..., ServerProcess]


def api_key_of(server: ServerProcess) -> str:
    """Of an app that is called game."""
    answer = server.admin().request("POST", "/apps", {"name": "Game", "id": "game"})
    assert answer.status == 200, answer
    return str(answer.body["credentials"]["apiKey"])


def push(port: int, api_key: str, key: str | None = None) -> Answer:
    headers = {**basic("game", api_key), **({} if key is None else {"Idempotency-Key": key})}
    return UsersClient(port).request("POST", PUSH, BODY, headers=headers)


@pytest.fixture(scope="module")
def own_port(launch: Launch) -> tuple[ServerProcess, int, str]:
    """A server whose protocol has a port of its own, that port, and an API key."""
    port = free_ports()
    server = launch(fresh=True, protocols={"jwp": {"port": port}})
    return server, port, api_key_of(server)


def test_it_is_on_both_ports(own_port: tuple[ServerProcess, int, str]) -> None:
    server, port, api_key = own_port
    for each in (server.http_port, port):
        answer = push(each, api_key)
        assert (answer.status, answer.body) == (201, DONE)
        found = UsersClient(each).get("/api/v1/channels", headers=basic("game", api_key))
        assert found.body == {"status": "ok", "data": {"channels": [], "has_more": False, "complete": True}}
        assert push(each, "wrong").body == {"status": "error", "error": {"code": 401, "message": "Not authenticated"}}


def test_nothing_else_is_on_its_own_port(own_port: tuple[ServerProcess, int, str]) -> None:
    _, port, api_key = own_port
    for path in ("/", "/users", "/apps", "/healthz", "/metrics", "/openapi.json", "/docs", "/api/v1"):
        answer = UsersClient(port).get(path, headers=basic("game", api_key))
        assert answer.status == 404, path
        assert answer.body == {"status": "error", "error": {"code": 404, "message": "There is nothing at this address"}}


def test_sockets_are_on_its_own_port_too(own_port: tuple[ServerProcess, int, str]) -> None:
    """A handshake is answered there by the protocol, not by the HTTP API: without a token with Phoenix' 403."""
    server, port, _ = own_port
    path = "/socket/websocket?vsn=2.0.0"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for each in (server.websocket_port, port):
        assert UsersClient(each).get(path, headers=headers).status == 403
        assert UsersClient(each).get(path).status in (400, 426)


def test_it_is_not_on_the_port_of_the_sockets(own_port: tuple[ServerProcess, int, str]) -> None:
    server, _, api_key = own_port
    assert push(server.websocket_port, api_key).status == 404


def test_it_is_described_where_it_is_served(own_port: tuple[ServerProcess, int, str], launch: Launch) -> None:
    server, _, _ = own_port
    assert PUSH in server.http().get("/openapi.json").body["paths"]
    off = launch(fresh=True, protocols={"jwp": {"enabled": False}})
    assert PUSH not in off.http().get("/openapi.json").body["paths"]
    assert off.http().request("POST", PUSH, BODY).status == 404


def test_keys_are_remembered_across_restarts(launch: Launch) -> None:
    server = launch(fresh=True)
    api_key = api_key_of(server)
    assert push(server.http_port, api_key, "key").status == 201
    server.kill()
    server.start()
    answer = push(server.http_port, api_key, "key")
    assert (answer.status, answer.body) == (201, DONE)
    other = {**basic("game", api_key), "Idempotency-Key": "key"}
    changed = server.http().request("POST", PUSH, {**BODY, "payload": 2}, headers=other)
    assert changed.status == 422
    server.terminate()
    assert server.wait() == 0
    server.start()
    assert push(server.http_port, api_key, "key").body == DONE
    server.stop()


def test_clients_that_push_at_the_same_time(own_port: tuple[ServerProcess, int, str]) -> None:
    server, port, api_key = own_port
    answers: list[Any] = []

    def run(each: int) -> None:
        answers.extend(push(each, api_key, "at once").status for _ in range(5))

    threads = [threading.Thread(target=run, args=(each,)) for each in (server.http_port, port) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert set(answers) <= {201, 409}
    assert push(port, api_key, "at once").status == 201
