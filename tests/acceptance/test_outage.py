"""The database goes away and comes back: a clear answer, sockets that stay, and recovery by itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.server_process import ADMIN, ServerProcess

RECOVERY_SECONDS = 30.0
ANSWER_SECONDS = 20.0
LOGIN = {"username": ADMIN["username"], "password": ADMIN["password"]}


@pytest.fixture
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve()


@pytest.fixture
def outage(
    store: str, request: pytest.FixtureRequest, server: ServerProcess
) -> Callable[[], AbstractContextManager[None]]:
    """Takes the database away for the length of a ``with``."""

    @contextmanager
    def killed_mongodb() -> Iterator[None]:
        mongo = request.getfixturevalue("mongo")
        mongo.kill()
        try:
            yield
        finally:
            mongo.start()

    @contextmanager
    def locked_sqlite() -> Iterator[None]:
        path = server.config["database"]["url"].removeprefix("sqlite:///")
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
        finally:
            other.close()

    return killed_mongodb if store == "mongodb" else locked_sqlite


def log_in(server: ServerProcess) -> Any:
    return server.http().request("POST", "/users/login", LOGIN, timeout=ANSWER_SECONDS)


def test_it_says_so_and_recovers(
    server: ServerProcess, outage: Callable[[], AbstractContextManager[None]], store: str
) -> None:
    admin = server.admin()
    with server.connect() as anonymous, server.connect(cookie=admin.cookie, timeout=ANSWER_SECONDS) as person:
        with outage():
            answer = log_in(server)
            assert answer.status == 503
            assert answer.body["error"] is True
            assert "database" in answer.body["message"].lower()
            assert "retry-after" in answer.headers
            assert server.http().get("/healthz").status == 200, "the process is well"
            if store == "mongodb":
                assert server.http().get("/readyz").status == 503
            anonymous.send_event(eventType=10, message="still here", broadcast=True)
            for client in (anonymous, person):
                assert client.read_event() == {"eventType": 10, "message": "still here"}
            refused = person.ask(eventType=9, property="a", val=1)
            assert "val" not in refused
            assert "database" in refused.get("error", refused.get("message", "")).lower()
        deadline = time.monotonic() + RECOVERY_SECONDS
        while log_in(server).status != 200:
            assert time.monotonic() < deadline, server.log
        assert anonymous.read_event() == {"eventType": 1, "username": ADMIN["username"]}
        assert server.http().get("/readyz").status == 200
        client = server.connect(cookie=admin.cookie)
        with client:
            assert client.ask(eventType=9, property="a", val=1)["val"] == 1, "the old login holds"


def test_new_sockets_during_an_outage(
    server: ServerProcess, outage: Callable[[], AbstractContextManager[None]], store: str
) -> None:
    """Who needs no database is served; who brings a cookie is not taken for nobody. A locked SQLite can be read."""
    admin = server.admin()
    with outage():
        with server.connect() as client:
            assert client.ask(eventType=10, message="anonymous")["message"] == "anonymous"
        with server.dial(timeout=ANSWER_SECONDS) as client:
            response = client.request(headers={"Origin": "http://localhost", "Cookie": f"SID={admin.cookie}"})
            if store == "sqlite":
                assert response.status == 101
            else:
                assert response.status == 503
                assert "retry-after" in response.headers


def test_it_can_be_ended_during_an_outage(
    server: ServerProcess, outage: Callable[[], AbstractContextManager[None]]
) -> None:
    with server.connect() as client:
        with outage():
            begun = time.monotonic()
            server.terminate()
            assert client.expect_close(1001)
            assert server.wait() == 0
            assert time.monotonic() - begun < server.config["shutdownSeconds"] + 2
