"""Events 1 to 8: every action of the users HTTP API, and what a connected client hears of it, once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.test_files import upload
from tests.raw_client import RawClient
from tests.server_process import ServerProcess, UsersClient

LOGIN, LOGOUT, ACTIVATED, REMOVED = 1, 2, 3, 4
FILES_UPLOADED, FILES_REMOVED, BUCKET_UPLOADED, BUCKET_REMOVED = 5, 6, 7, 8

KEY = r"(\S{43})"


class Story:
    """One person's actions; each tells the events that it caused."""

    def __init__(self, server: ServerProcess, witness: RawClient, name: str) -> None:
        self.server, self.witness, self.name = server, witness, name
        self.admin, self.person = server.admin(), server.http()
        self.events()

    def events(self) -> list[int]:
        """What was heard since the last time."""
        found: list[dict[str, Any]] = self.witness.events_until_echo("mark")
        assert all(self.name in str(event) for event in found if "chief" not in str(event)), found
        return [event["eventType"] for event in found]

    def does(self, method: str, path: str, body: Any = None, *, by: UsersClient | None = None) -> list[int]:
        """``NAME`` in the path is the person's."""
        answer = (by or self.person).request(method, path.replace("NAME", self.name), body)
        assert answer.status == 200, answer
        return self.events()

    def registers(self) -> list[int]:
        body = {"username": self.name, "email": f"{self.name}@example.com", "password": "a password"}
        return self.does("POST", "/users/register", body)

    def logs_in(self, password: str = "a password", *, by: UsersClient | None = None) -> list[int]:
        (by or self.person).login(self.name, password)
        return self.events()

    def session(self) -> str:
        """The public id of the person's login."""
        (session,) = self.person.get(f"/users/{self.name}/sessions").body["data"]
        return str(session["sessionId"])

    def link(self, path: str) -> str:
        """The path and query of the last link of this kind that was mailed to the person."""
        pattern = rf"^http://localhost:\d+(/{path}\?user={self.name}&\S+)$"
        self.server.wait_for_output(pattern)
        return str(re.findall(pattern, self.server.log, re.MULTILINE)[-1])


@pytest.fixture
def tell(shared: ServerProcess) -> Iterator[Callable[[str], Story]]:
    with shared.connect() as witness:
        yield lambda name: Story(shared, witness, name)


def test_registration_and_activation(tell: Callable[[str], Story]) -> None:
    story = tell("Newcomer")
    assert story.registers() == [BUCKET_UPLOADED]
    assert story.does("GET", "/users/NAME/resend-activation") == []
    assert story.does("POST", "/users/NAME/resend-activation") == []
    story.server.wait_for_output(rf"(?s)(activate-account\?user={story.name}&.*){{3}}")
    assert story.does("GET", story.link("activate-account")) == [ACTIVATED]
    assert story.logs_in() == [LOGIN]
    assert story.does("DELETE", "/users/NAME") == [LOGOUT, BUCKET_REMOVED, REMOVED]
    assert story.registers() == [BUCKET_UPLOADED], "the name is free again"
    assert story.does("PUT", "/users/NAME/approve-activation", by=story.admin) == [ACTIVATED]


def test_logins_and_sessions(tell: Callable[[str], Story]) -> None:
    story = tell("Visitor")
    body = {"username": "Visitor", "email": "visitor@example.com", "password": "a password"}
    assert story.does("POST", "/users", body, by=story.admin) == [BUCKET_UPLOADED]
    for method in ("GET", "POST"):
        assert story.logs_in() == [LOGIN]
        assert story.does(method, "/logout") == [LOGOUT]
    assert story.logs_in() == [LOGIN]
    assert story.does("DELETE", f"/sessions/{story.session()}", by=story.admin) == [LOGOUT]
    assert story.logs_in() == [LOGIN]
    assert story.does("DELETE", f"/users/NAME/sessions/{story.session()}") == [LOGOUT]
    assert story.logs_in() == story.logs_in(by=story.server.http()) == [LOGIN]
    assert story.does("POST", "/logout-everywhere") == [LOGOUT, LOGOUT]
    assert story.logs_in() == [LOGIN]
    assert story.does("DELETE", "/users/NAME/sessions", by=story.admin) == [LOGOUT]
    assert story.logs_in() == [LOGIN]
    for path in ("/authenticated", "/who-am-i", "/users", "/users/NAME", "/users/NAME/meta", "/users/NAME/export"):
        assert story.does("GET", path) == []
    for path, value in (("/users/NAME/meta", {"a": 1}), ("/users/NAME/meta/b", 2)):
        assert story.does("POST", path, {"value": value}, by=story.admin) == []
    assert story.does("GET", "/sessions", by=story.admin) == []


def test_new_passwords_and_addresses(tell: Callable[[str], Story]) -> None:
    story = tell("Mover")
    assert story.registers() == [BUCKET_UPLOADED]
    assert story.does("GET", story.link("activate-account")) == [ACTIVATED]
    assert story.logs_in() == [LOGIN]
    assert story.does("PUT", "/users/NAME/email", {"email": "mover@new.example", "password": "a password"}) == []
    assert story.does("GET", story.link("confirm-email")) == []
    body = {"password": "a password", "newPassword": "a second one"}
    assert story.does("PUT", "/users/NAME/password", body) == [LOGOUT, LOGIN], "a new session in place of the old one"
    assert story.does("GET", "/users/NAME/request-password-reset") == []
    mail = rf"^Mail to mover@new\.example: Your password at users-server\n(?s:.*?)^{KEY}$"
    body = {"user": story.name, "key": story.server.wait_for_output(mail)[1], "password": "a third one"}
    assert story.does("PUT", "/password-reset", body) == [LOGOUT]
    assert story.logs_in("a third one") == [LOGIN]
    assert story.does("POST", "/message-webmaster", {"message": "Hello"}) == []


def test_buckets_and_files(tell: Callable[[str], Story]) -> None:
    story = tell("Keeper")
    story.admin.create(story.name)
    assert story.events() == [BUCKET_UPLOADED]
    assert story.logs_in() == [LOGIN]
    assert story.does("POST", "/users/NAME/buckets/second") == [BUCKET_UPLOADED]
    files = []
    for content in (b"one", b"two", b"three"):
        files.append(upload(story.server, story.person, content, "second")["tokens"][0]["file"])
        assert story.events() == [FILES_UPLOADED]
    for action in ("make-private", "make-public"):
        assert story.does("PUT", f"/files/{files[0]}/{action}") == []
    assert story.does("PUT", f"/files/{files[0]}/rename-file", {"name": "a"}) == []
    for path in (f"/files/{files[0]}/download", "/users/NAME/buckets", "/users/NAME/buckets/second/files"):
        assert story.does("GET", path) == []
    assert story.does("DELETE", f"/files/{files[0]},{files[1]}") == [FILES_REMOVED]
    assert story.does("DELETE", "/buckets/second") == [FILES_REMOVED, BUCKET_REMOVED]
    for path in ("storage-calls/NAME/1", "storage-memory/NAME/0", "storage-allocated-memory/NAME/1000"):
        assert story.does("PUT", f"/stats/{path}", by=story.admin) == []
    assert story.does("POST", "/create-stats/NAME", by=story.admin) == []
    upload(story.server, story.person, b"last", "Keeper-bucket")
    assert story.events() == [FILES_UPLOADED]
    removal = story.does("DELETE", "/users/NAME", by=story.admin)
    assert removal == [LOGOUT, FILES_REMOVED, BUCKET_REMOVED, REMOVED]
