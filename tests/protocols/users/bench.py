"""The Users Socket API without a socket, over the real node and the real user service."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.memory_node import memory_node
from users_server.backends.sqlite import SQLiteStore
from users_server.core.apps import App
from users_server.core.clock import SystemClock
from users_server.core.messages import Identity
from users_server.protocols.base import Admission, Peer
from users_server.protocols.users.admission import Doorkeeper
from users_server.protocols.users.handlers import Context
from users_server.protocols.users.protocol import UsersProtocol
from users_server.services.identity import IdentityService
from users_server.services.passwords import Argon2Costs, PasswordService
from users_server.services.sessions import SessionService
from users_server.services.settings import LoginLimits, PasswordSettings, SessionSettings, TokenSettings
from users_server.services.throttle import LoginThrottle
from users_server.services.tokens import TokenService
from users_server.services.user_events import UserEventPublisher
from users_server.services.users import UserService

ADMIN = Identity(user_id="0" * 24, username="root", privileges=1)


class JSONLines:
    """A framing that a test can read."""

    def text(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def binary(self, payload: bytes) -> bytes:
        return payload + b"\n"


@dataclass
class Client:
    """One link of a :class:`Bench`."""

    bench: Bench
    identity: Identity
    sent: list[dict[str, Any]] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self.bench.opened += 1
        peer = Peer(f"c{self.bench.opened}", Admission(self.identity), "127.0.0.1")
        self.receiver = self.bench.protocol.open(peer, self, self.bench.framing)

    def write(self, frames: bytes) -> None:
        self.sent += [json.loads(line) for line in frames.splitlines()]

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.closed = (1006, "")

    @property
    def queued_bytes(self) -> int:
        return 0

    async def say(self, message: Any) -> list[dict[str, Any]]:
        """What this client gets after sending ``message``: an object, or text or bytes as they are."""
        self.sent.clear()
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        pending = self.receiver.receive(payload, True)
        if pending is not None:
            await pending
        self.bench.tick()
        return self.sent


class Bench:
    """The protocol over a node with the memory broker and a user service on a SQLite file."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.scheduled: list[Any] = []
        self.framing = JSONLines()
        self.opened = 0
        self.node = memory_node(self.scheduled.append)
        self.store = SQLiteStore(directory / "users.db")
        clock = SystemClock()
        events = UserEventPublisher(self.node)
        self.passwords = PasswordService(PasswordSettings(), costs=Argon2Costs(1, 8, 1))
        sessions = SessionService(self.store, events, self.node, SessionSettings(), clock)
        self.users = UserService(
            self.store,
            self.passwords,
            sessions,
            events,
            LoginThrottle(self.store, LoginLimits(), clock),
            clock,
            max_meta_bytes=1000,
        )
        tokens = TokenService(TokenSettings(), clock)
        identities = IdentityService(self.store, sessions, tokens, "the api key of the tests")
        doorkeeper = Doorkeeper(identities, lambda app, origin: origin in app.allowed_origins, lambda: self.app)
        self.app = App("default", "Default", (), created_on=0, allowed_origins=("http://mine",))
        self.protocol = UsersProtocol(Context(self.users), self.node, clock, doorkeeper, **options)

    async def __aenter__(self) -> Bench:
        await self.store.open()
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()
        await self.passwords.close()
        await self.store.close()

    def tick(self) -> None:
        scheduled, self.scheduled[:] = self.scheduled[:], []
        for flush in scheduled:
            flush()

    async def account(self, name: str) -> Identity:
        user = await self.users.create(
            ADMIN, username=name, email=f"{name}@example.com", password="correct horse", privileges=3
        )
        self.tick()
        return Identity(user_id=user.id, username=user.username)
