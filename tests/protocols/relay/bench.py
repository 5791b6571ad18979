"""The relay without a socket: tokens and messages in, frames out, over the real node, apps and memory bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt

from tests.protocols.links import HeldClock, JSONLines, ScriptedLink
from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.backends.sqlite import SQLiteStore
from users_server.core.acceptance import Accepted
from users_server.core.apps import App
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules
from users_server.core.hub import Hub
from users_server.core.messages import HistoryRule, Identity
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.errors import ConfigError, Disconnect
from users_server.protocols.base import Foundation, Peer, Visit
from users_server.protocols.relay import PROTOCOL
from users_server.protocols.relay.settings import RelaySettings
from users_server.services.app_origins import AppOrigins
from users_server.services.apps import AppDraft, AppService, SecretSealer
from users_server.services.idempotency import IdempotentRequests
from users_server.services.origins import OriginPolicy
from users_server.services.publishing import PublishingService
from users_server.services.settings import AppSettings
from users_server.web.outgoing import JSONPoster

SECRET = "a secret of the relay that is long enough for HS512, which is refused all the same"
ADMIN = Identity(user_id="0" * 24, username="root", privileges=1)


class Source:
    """An input from Redis without Redis: the test brings the messages."""

    def __init__(self) -> None:
        self.channel: str | None = None
        self.is_closed = False
        self._handle: Callable[[bytes], Awaitable[None]] | None = None

    async def listen(self, channel: str, handle: Callable[[bytes], Awaitable[None]]) -> None:
        self.channel, self._handle = channel, handle

    async def close(self) -> None:
        self.is_closed = True

    async def bring(self, message: Any) -> None:
        assert self._handle is not None
        await self._handle(message if isinstance(message, bytes) else json.dumps(message).encode())


@dataclass(eq=False)
class Client(ScriptedLink):
    """One link of a :class:`Bench`."""

    bench: Bench
    sent: list[dict[str, Any]] = field(default_factory=list)

    def open(self, peer: Peer) -> None:
        self.receiver = self.bench.protocol.open(peer, self, self.bench.framing)

    async def joined(self) -> None:
        """Until it is in its channel, or is closed because it cannot be."""
        if self.receiver._joining is not None:
            await asyncio.wait({self.receiver._joining})

    def write(self, frames: bytes) -> None:
        if self.closed is None:
            self.sent += [json.loads(line) for line in frames.splitlines()]

    def leave(self) -> None:
        """The client goes by itself."""
        self.go()
        self.bench.tick()

    def start(self, message: Any) -> asyncio.Future[None] | None:
        """Send without waiting for the answer."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        pending = self.receiver.receive(payload, True)
        return None if pending is None else asyncio.ensure_future(pending)

    async def say(self, message: Any) -> list[dict[str, Any]]:
        """What this client gets after sending ``message``: an object, or text or bytes as they are."""
        self.take()
        pending = self.start(message)
        if pending is not None:
            await pending
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        """What has come since the last time."""
        self.bench.tick()
        taken, self.sent = self.sent, []
        return taken


class Bench:
    """The protocol as ``settings`` build it, with the apps ``default`` and ``other``."""

    def __init__(
        self,
        directory: Path,
        *,
        has_history: bool = False,
        messages_per_second: float = 0,
        limits: ChannelLimits | None = None,
        **settings: Any,
    ) -> None:
        self.settings = RelaySettings(**{"secret": SECRET, **settings})
        self.scheduled: list[Any] = []
        self.framing = JSONLines()
        self.clock = HeldClock()
        self.source = Source()
        self.opened = 0
        self._limit = messages_per_second
        broker = MemoryBroker(MemoryHistory(self.clock), self.clock)
        rules = [ChannelRule("*", history=HistoryRule(100, 300.0))] if has_history else []
        self.node = Node(
            broker,
            MemoryPresence(broker),
            Hub(self.scheduled.append, lambda: 0.0, Statistics()),
            self.clock,
            rules=ChannelRules(rules),
            limits=limits or ChannelLimits(),
        )
        self.store = SQLiteStore(directory / "users.db")
        sealer = SecretSealer(AppSettings(encryption_keys=("k" * 40,)))
        self.apps = AppService(self.store, sealer, AppSettings(), self.clock, lambda notice: Accepted(None))
        self.apps.on_change(lambda app_id, app: self.node.forget_app(app_id) if app is None else self.node.use_app(app))

    async def __aenter__(self) -> Bench:
        await self.store.open()
        await self.node.start()
        self.poster = JSONPoster()
        await self.apps.ensure_default()
        self.other = await self.apps.create(ADMIN, AppDraft(name="Other"), app_id="other")
        origins = AppOrigins(OriginPolicy(["^https://configured\\.example$"]))
        self.foundation = Foundation(
            node=self.node,
            clock=self.clock,
            apps=self.apps,
            publishing=PublishingService(self.node, self.node.rules, self.node.limits),
            idempotency=IdempotentRequests(self.store, self.clock),
            identities=None,  # type: ignore[arg-type]  # the relay has no business with accounts
            http=self.poster,
            approves_origin=origins.approves,
            open_input=self._open_input,
            messages_per_second=self._limit,
            webhooks=None,  # type: ignore[arg-type]  # nor with web hooks
        )
        built = PROTOCOL.build(self.settings, self.foundation)
        assert built is not None
        self.mounts, self.parts = built.mounts, built.parts
        self.protocol = self.mounts[0].protocol
        for part in self.parts:
            await part.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in self.parts:
            await part.stop()
        await self.node.stop()
        await self.apps.stop()
        await self.poster.close()
        await self.store.close()

    def _open_input(self, url: str) -> Source:
        if not url:
            raise ConfigError("broker.url", "a Redis")
        return self.source

    def tick(self) -> None:
        """Let the hub flush."""
        scheduled, self.scheduled[:] = tuple(self.scheduled), ()
        for flush in scheduled:
            flush()

    def token(self, user_id: Any = 7, name: Any = "Ann", channel: Any = "chat:room1", **changes: Any) -> str:
        """A token of the configured secret; ``changes`` are further claims, :obj:`None` for none of that name."""
        secret = changes.pop("secret", SECRET)
        algorithm = changes.pop("algorithm", "HS256")
        now = self.clock.now_ms() // 1000
        claims = {"id": user_id, "name": name, "channel": channel, "iat": now, "exp": now + 60, **changes}
        claims = {key: value for key, value in claims.items() if value is not None}
        return jwt.encode(claims, secret, algorithm=algorithm)

    async def admit(
        self,
        token: str | None,
        *,
        app: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Any:
        """What the protocol says of a handshake; raises what it raises."""
        parameters = {} if app is None else {"app": app}
        text = urlencode({**({} if token is None else {"token": token}), **query})
        admission = self.protocol.admit(Visit(parameters, text, dict(headers or {}), "127.0.0.1"))
        return await admission if isinstance(admission, Awaitable) else admission

    async def connect(
        self,
        user_id: Any = 7,
        name: str = "Ann",
        channel: str = "chat:room1",
        *,
        is_joined: bool = True,
        **options: Any,
    ) -> Client:
        """A client that is in its channel, or with ``is_joined`` false on its way there."""
        token = options.pop("token", None) or self.token(user_id, name, channel)
        admission = await self.admit(token, **options)
        self.opened += 1
        client = Client(self)
        client.open(Peer(f"c{self.opened}", admission, "127.0.0.1"))
        if is_joined:
            await client.joined()
        return client

    async def refusal(self, token: str | None, **options: Any) -> tuple[int, str]:
        """The code and the reason with which a handshake is closed."""
        try:
            await self.admit(token, **options)
        except Disconnect as reason:
            return self.protocol.close_code(reason), reason.message
        raise AssertionError("the handshake was accepted")

    async def change_app(self, app_id: str, draft: AppDraft) -> App:
        return await self.apps.change(ADMIN, app_id, draft)
