"""Accounts and tokens for tests."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import jwt

from tests.raw_client import RawClient
from tests.server_process import TOKEN_SECRET, ServerProcess, UsersClient

ADMINS, REGULAR = 2, 3


@dataclass
class Person:
    """An account and an HTTP client that is logged in to it."""

    username: str
    password: str
    http: UsersClient
    server: ServerProcess

    @property
    def email(self) -> str:
        return f"{self.username}@example.com"

    def connect(self, **options: Any) -> RawClient:
        """A socket that brings this login's cookie."""
        return self.server.connect(cookie=self.http.cookie, **options)

    def log_in_again(self) -> Person:
        """Another login of the same account."""
        client = self.server.http()
        client.login(self.username, self.password)
        return Person(self.username, self.password, client, self.server)


class People:
    """Makes accounts, each with a name of its own."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.admin = server.admin()
        self._numbers = itertools.count(1)

    def register(self, *, privileges: int = REGULAR) -> Person:
        """A new account without a login."""
        name = f"Person{next(self._numbers)}"
        self.admin.create(name, privileges=privileges)
        return Person(name, "a password", self.server.http(), self.server)

    def __call__(self, *, privileges: int = REGULAR) -> Person:
        """A new account, logged in."""
        return self.register(privileges=privileges).log_in_again()


def make_token(subject: str, *, key: str = TOKEN_SECRET, kid: str | None = "tests", **claims: Any) -> str:
    """A token that the server's configuration would accept; a claim of :obj:`None` is left out."""
    now = time.time()
    body = {
        "sub": subject,
        "iat": now,
        "exp": now + 600,
        "jti": f"{subject}-{now}",
        "iss": "users-server",
        "aud": "users-server",
        **claims,
    }
    headers = {"kid": kid} if kid else None
    algorithm = "HS256" if key else "none"
    return jwt.encode({k: v for k, v in body.items() if v is not None}, key, algorithm=algorithm, headers=headers)
