"""A user that is logged out, removed or whose token ends loses his sockets at once; nobody else loses one."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable

import pytest

from tests.raw_client import CLOSE, RawClient
from tests.server_process import API_KEY, ORIGIN, ServerProcess
from tests.wire.people import People, Person, make_token


def closed(client: RawClient) -> str:
    """Skip what else was sent, and see the close: 4401 with a reason."""
    while True:
        frame = client.read_frame()
        if frame.opcode == 8:
            code, reason = client.parse_close(frame)
            assert code == 4401
            assert reason
            return reason


def alive(client: RawClient) -> bool:
    client.events_until_echo("alive")
    return True


@pytest.fixture
def person(people: People) -> Person:
    return people()


def test_logout_closes_the_sockets_of_that_login(people: People, person: Person) -> None:
    again = person.log_in_again()
    with (
        person.connect() as first,
        person.connect() as second,
        again.connect() as other,
        people().connect() as stranger,
    ):
        assert person.http.request("POST", "/logout").status == 200
        closed(first)
        closed(second)
        assert alive(other), "another login of the same person"
        assert alive(stranger)


def test_removing_a_session_closes_its_sockets(people: People, person: Person) -> None:
    session_id = people.admin.get(f"/users/{person.username}?verbose=true").body["data"]["sessionId"]
    with person.connect() as client, people().connect() as stranger:
        assert people.admin.request("DELETE", f"/sessions/{session_id}").status == 200
        closed(client)
        assert alive(stranger)


def test_removing_an_account_closes_all_its_sockets(people: People, person: Person) -> None:
    again = person.log_in_again()
    token = f"/?token={make_token(person.username)}"
    with person.connect() as first, again.connect() as second, people.server.connect(token) as third:
        assert people.admin.request("DELETE", f"/users/{person.username}").status == 200
        for client in (first, second, third):
            closed(client)


def test_a_token_of_a_login_ends_with_it(people: People, person: Person) -> None:
    token = person.http.request("POST", "/tokens", {}).body["token"]
    with people.server.connect(f"/?token={token}") as client:
        assert client.ask(eventType=9)["val"] == {}
        assert person.http.request("POST", "/logout").status == 200
        closed(client)
    with people.server.connect(f"/?token={token}") as late:
        assert late.expect_close(4401)


def test_a_socket_of_a_service_with_a_persons_cookie_ends_with_the_login(people: People, person: Person) -> None:
    with people.server.connect(cookie=person.http.cookie, headers={"users-api-key": API_KEY}) as client:
        person.http.request("POST", "/logout")
        closed(client)


def test_a_token_that_expires(people: People, person: Person) -> None:
    soon = make_token(person.username, exp=time.time() + 2)
    later = make_token(person.username)
    with people.server.connect(f"/?token={soon}") as client, people.server.connect(f"/?token={later}") as other:
        assert client.ask(eventType=9)["val"] == {}
        closed(client)
        assert alive(other)


def test_a_session_that_expires_closes_its_sockets(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, session={"lifetimeSeconds": 1})
    admin = server.admin()
    with server.connect(cookie=admin.cookie) as client, server.connect() as anonymous:
        closed(client)
        assert alive(anonymous)


def test_what_was_on_its_way_is_not_carried_out(people: People, person: Person) -> None:
    """Nothing that comes after the close counts as the person's."""
    with person.connect() as client, people.server.connect() as witness:
        person.http.request("POST", "/logout")
        client.send_event(eventType=10, message="late", broadcast=True)
        assert witness.read_event()["eventType"] == 2
        assert witness.events_until_echo("mark") == []
        closed(client)


def test_a_person_may_come_back(people: People, person: Person) -> None:
    with person.connect() as client:
        person.http.request("POST", "/logout")
        closed(client)
    with person.log_in_again().connect() as client:
        assert client.ask(eventType=9)["val"] == {}


@pytest.mark.parametrize("attempt", range(5))
def test_a_handshake_that_races_with_the_logout(people: People, person: Person, attempt: int) -> None:
    """Whether the socket or the logout is first, none is left that acts for somebody who has logged out."""
    server = people.server
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.dial()) for _ in range(8)]
        logout = stack.enter_context(RawClient(("localhost", server.http_port), tls=server.tls))
        headers = {"Origin": ORIGIN, "Cookie": f"SID={person.http.cookie}"}
        before, after = clients[: attempt + 2], clients[attempt + 2 :]
        for client in before:
            client.send_request(headers=headers)
        logout.send(f"GET /logout HTTP/1.1\r\nHost: localhost\r\nCookie: SID={person.http.cookie}\r\n\r\n".encode())
        for client in after:
            client.send_request(headers=headers)
        assert logout.read_response().status == 200
        for client in clients:
            assert client.read_response().status == 101
            client.send_event(eventType=9)
            assert lost_its_identity(client)


def lost_its_identity(client: RawClient) -> bool:
    """Closed with 4401, or a stranger to the server: it has sent a MetaRequest."""
    while True:
        frame = client.read_frame()
        if frame.opcode == CLOSE:
            return client.parse_close(frame)[0] == 4401
        event = json.loads(frame.payload)
        if event["eventType"] == 9:
            if "error" in event:
                return True
            # answered before the logout; then the close must follow
            closed(client)
            return True
