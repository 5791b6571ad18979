"""A newcomer's way from the default configuration, and a forgotten password, as a connected client sees them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import Answer, ServerProcess, UsersClient

LOGIN, LOGOUT, ACTIVATED, REMOVED = 1, 2, 3, 4
SESSION_EXPIRED = 4401


@pytest.fixture(scope="module")
def server(serve: Callable[..., ServerProcess]) -> ServerProcess:
    """With nothing configured about mail."""
    return serve()


def register(server: ServerProcess, name: str) -> Answer:
    body = {"username": name, "email": f"{name}@example.com", "password": "a password"}
    return server.http().request("POST", "/users/register", body)


def printed(server: ServerProcess, pattern: str) -> str:
    """The first group of what a mail on the console has."""
    return server.wait_for_output(pattern)[1]


def heard(witness: RawClient) -> list[tuple[int, str]]:
    """The events 1 to 4 until now, and whom they name."""
    events: list[dict[str, Any]] = witness.events_until_echo("mark")
    return [(event["eventType"], event["username"]) for event in events if event["eventType"] <= REMOVED]


def test_a_newcomer_finishes_with_what_the_console_shows(server: ServerProcess) -> None:
    with server.connect() as witness:
        answer = register(server, "Newcomer")
        assert (answer.status, answer.body["error"]) == (200, False), answer
        link = printed(server, r"^(http://localhost:\d+/activate-account\?user=Newcomer&\S+)$")
        assert heard(witness) == []
        path = re.sub(r"^http://localhost:\d+", "", link)
        assert f":{server.http_port}/" in link
        for _ in range(2):
            server.http().get(path)
        assert heard(witness) == [(ACTIVATED, "Newcomer")]
        server.http().login("newcomer", "a password")
        assert heard(witness) == [(LOGIN, "Newcomer")]


def test_a_new_password_closes_every_socket_of_the_account(server: ServerProcess) -> None:
    register(server, "Forgetful")
    link = printed(server, r"^(http://localhost:\d+/activate-account\?user=Forgetful&\S+)$")
    server.http().get(re.sub(r"^http://localhost:\d+", "", link))
    clients: list[UsersClient] = [server.http() for _ in range(2)]
    for client in clients:
        client.login("Forgetful", "a password")
    with server.connect() as witness, server.connect(cookie=clients[0].cookie) as socket:
        assert server.http().request("POST", "/users/Forgetful/request-password-reset").status == 200
        key = printed(server, r"^Mail to Forgetful@example\.com: Your password at users-server\n(?s:.*?)^(\S{43})$")
        body = {"user": "Forgetful", "key": key, "password": "another password"}
        assert clients[1].request("PUT", "/password-reset", body).status == 200
        assert [socket.read_event()["eventType"] for _ in range(2)] == [LOGOUT, LOGOUT]
        assert socket.expect_close(SESSION_EXPIRED)
        assert heard(witness) == [(LOGOUT, "Forgetful")] * 2
        assert clients[0].get("/authenticated").body["authenticated"] is False
        clients[0].login("Forgetful", "another password")
        assert heard(witness) == [(LOGIN, "Forgetful")]


def test_a_removed_account_can_be_registered_again(server: ServerProcess) -> None:
    with server.connect() as witness:
        assert register(server, "Phoenix").status == 200
        admin = server.admin()
        assert admin.request("DELETE", "/users/Phoenix").status == 200
        assert heard(witness) == [(LOGIN, "chief"), (REMOVED, "Phoenix")]
        assert register(server, "Phoenix").status == 200


def test_a_mail_server_that_is_away_does_not_make_anybody_wait(serve: Callable[..., ServerProcess]) -> None:
    smtp = {"host": "127.0.0.1", "port": 9, "security": "none"}
    server = serve(mail={"transport": "smtp", "smtp": smtp, "maxAttempts": 1})
    server.allowed_problems.append("mail given up")
    assert register(server, "Patient").status == 200
    server.wait_for_log("mail given up")
    admin = server.admin()
    assert admin.request("PUT", "/users/Patient/approve-activation").status == 200
