"""kill -9 under load: what was acknowledged is there after the restart, whole."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.server_process import ServerProcess, UsersClient

ENOUGH = 24
"""Accounts to be acknowledged before the kill; the load goes on meanwhile."""

AWAY = (ConnectionError, http.client.HTTPException, OSError)


class Load:
    """Threads that make accounts and log them in until the server dies."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.admin = server.admin()
        self.asked: list[str] = []
        self.created: list[str] = []
        self.cookies: dict[str, str] = {}
        self.has_enough = threading.Event()
        self.surprises: list[object] = []
        self._numbers: Iterator[int] = iter(range(100_000))
        self._lock = threading.Lock()

    def password(self, name: str) -> str:
        return f"the password of {name}"

    def work(self) -> None:
        """One thread's work: an account, then its login, and so on."""
        while True:
            with self._lock:
                name = f"crash{next(self._numbers)}"
                self.asked.append(name)
            try:
                self._make(name)
            except AWAY:
                return
            if len(self.created) >= ENOUGH and len(self.cookies) >= ENOUGH // 2:
                self.has_enough.set()

    def _make(self, name: str) -> None:
        body = {"username": name, "email": f"{name}@example.com", "password": self.password(name)}
        answer = self.admin.request("POST", "/users", body)
        if answer.status not in (200, 201):
            self.surprises.append(answer)
            return
        self.created.append(name)
        person = UsersClient(self.server.http_port)
        person.login(name, self.password(name))
        assert person.cookie
        self.cookies[name] = person.cookie


def test_no_acknowledged_account_is_lost(serve: Callable[..., ServerProcess]) -> None:
    server = serve()
    load = Load(server)
    with ThreadPoolExecutor(6) as pool:
        threads = [pool.submit(load.work) for _ in range(6)]
        assert load.has_enough.wait(60), server.log
        server.kill()
        for thread in threads:
            thread.result(30)
    assert not load.surprises
    server.start()
    check_logins(server, load)
    check_sessions(server, load)
    check_the_rest(server, load)


def check_logins(server: ServerProcess, load: Load) -> None:
    """Every acknowledged account can log in."""

    def log_in(name: str) -> None:
        server.http().login(name, load.password(name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log_in, load.created))


def check_sessions(server: ServerProcess, load: Load) -> None:
    """Every acknowledged login still holds."""
    for name, cookie in load.cookies.items():
        client = server.http()
        client.cookie = cookie
        assert client.get("/authenticated").body["authenticated"] is True, name


def check_the_rest(server: ServerProcess, load: Load) -> None:
    """What was not acknowledged is there whole or not at all."""
    admin = server.admin()
    for name in set(load.asked) - set(load.created):
        body = {"username": name, "email": f"{name}@example.com", "password": load.password(name)}
        answer = admin.request("POST", "/users", body)
        assert answer.status in (200, 201, 409), answer
        server.http().login(name, load.password(name))
