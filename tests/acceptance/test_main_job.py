"""The main job, as somebody sees it who has just started the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from typing import Any

from tests.missing import missing
from tests.server_process import ADMIN, EVIL_ORIGIN, ServerProcess


def test_echo(shared: ServerProcess) -> None:
    with shared.connect() as client:
        assert client.ask(eventType=10, message="Hello world?") == {"eventType": 10, "message": "Hello world?"}


def test_a_broadcast_to_two_clients(shared: ServerProcess) -> None:
    with shared.connect() as sender, shared.connect() as other:
        sender.send_event(eventType=10, message="to all", broadcast=True)
        for client in (sender, other):
            assert client.read_event() == {"eventType": 10, "message": "to all"}


def test_curl_logs_a_user_in_and_everybody_hears_of_it(shared: ServerProcess) -> None:
    curl = shutil.which("curl")
    if not curl:
        missing("curl is not installed")
    with shared.connect() as client:
        body = {"username": ADMIN["username"], "password": ADMIN["password"]}
        url = f"http://localhost:{shared.http_port}/users/login"
        command = [curl, "--silent", "--show-error", "--fail", "--json", json.dumps(body), url]
        found = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["authenticated"] is True
        assert client.read_event() == {"eventType": 1, "username": ADMIN["username"]}


def test_a_login_is_heard_and_a_logout_too(shared: ServerProcess) -> None:
    with shared.connect() as client:
        admin = shared.admin()
        assert client.read_event() == {"eventType": 1, "username": ADMIN["username"]}
        assert admin.request("POST", "/logout").status == 200
        assert client.read_event() == {"eventType": 2, "username": ADMIN["username"]}


def test_evil_gets_1008_and_not_one_event(shared: ServerProcess) -> None:
    with shared.connect() as good, shared.connect(origin=EVIL_ORIGIN) as evil:
        shared.admin()
        good.send_event(eventType=10, message="broadcast", broadcast=True)
        assert [good.read_event()["eventType"] for _ in range(2)] == [1, 10]
        assert evil.expect_close(1008), "the first frame, and the last"


def test_an_account_through_its_life(shared: ServerProcess) -> None:
    admin = shared.admin()
    with shared.connect() as witness:
        admin.create("Traveller", password="first password")
        person = shared.http()
        person.login("TRAVELLER@example.com", "first password")
        with shared.connect(cookie=person.cookie) as own:
            assert own.ask(eventType=9, property="theme", val="dark")["val"] == "dark"
            assert person.get("/users/traveller/meta").body == {"theme": "dark"}
            assert admin.request("DELETE", "/users/Traveller").status == 200
            frame = own.read_frame()
            while frame.opcode == 1:
                frame = own.read_frame()
            assert own.parse_close(frame)[0] == 4401
        numbers = [event["eventType"] for event in witness.events_until_echo("end")]
        assert numbers == [7, 1, 2, 8, 4]
    refused = shared.http().request("POST", "/users/login", {"username": "Traveller", "password": "first password"})
    assert refused.status == 401


def test_two_requests_for_one_name(shared: ServerProcess) -> None:
    """However many ask at once, one account is made, with or without capitals."""
    admin = shared.admin()
    answers: list[Any] = []

    def ask(name: str) -> None:
        body = {"username": name, "email": f"{name}@example.com", "password": "a password"}
        answers.append(admin.request("POST", "/users", body))

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("Twin", "twin", "TWIN", "tWin")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers)[1:] == [409, 409, 409]
    assert admin.get("/users?search=twin").body["count"] == 1
