"""Watching without a socket: visits in, messages out, over the real node, services and store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.memory_node import memory_node
from tests.protocols.links import JSONLines, ScriptedLink
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import User
from users_server.core.channels import ChannelRule, ChannelRules
from users_server.core.clock import SystemClock
from users_server.core.messages import HistoryRule, Identity
from users_server.protocols.base import Admission, Peer, Visit
from users_server.protocols.watch.connection import Watcher
from users_server.protocols.watch.events import MESSAGES
from users_server.protocols.watch.protocol import WatchProtocol
from users_server.services.app_origins import AppOrigins
from users_server.services.apps import AppDraft, AppService, SecretSealer
from users_server.services.identity import IdentityService
from users_server.services.origins import OriginPolicy
from users_server.services.sessions import SessionService
from users_server.services.settings import AppSettings, SessionSettings, TokenKey, TokenSettings
from users_server.services.tokens import TokenService
from users_server.services.user_events import UserEventPublisher

TRUSTED_KEY = "the key of this server's services"
ADMIN = Identity(user_id="0" * 24, username="root", privileges=1)
SCHEMAS = {message.type: message.output() for message in MESSAGES}


@dataclass(eq=False)
class Watching(ScriptedLink):
    """One watcher's link."""

    bench: Bench
    sent: list[dict[str, Any]] = field(default_factory=list)

    def open(self, admission: Admission, connection_id: str) -> Watching:
        peer = Peer(connection_id, admission, "192.0.2.1")
        self.receiver: Watcher = self.bench.protocol.open(peer, self, self.bench.framing)
        return self

    def write(self, frames: bytes) -> None:
        for line in frames.splitlines():
            message = json.loads(line)
            assert not SCHEMAS[message["type"]].validate({k: v for k, v in message.items() if k != "type"}), message
            self.sent.append(message)

    async def settled(self) -> Watching:
        """When it is subscribed, or closed because it cannot be."""
        await asyncio.wait({self.receiver._subscribing})
        return self

    def take(self) -> list[dict[str, Any]]:
        """What has come since the last time."""
        self.bench.tick()
        taken, self.sent = self.sent, []
        return taken


class Bench:
    """The protocol over a store with the apps ``default`` and ``other``, and the admin ``root``."""

    def __init__(self, directory: Path) -> None:
        self.scheduled: list[Callable[[], None]] = []
        self.framing = JSONLines()
        self.clock = SystemClock()
        rules = [ChannelRule("news*", history=HistoryRule(3, 300.0)), ChannelRule("room*", presence=True)]
        self.node = memory_node(self.scheduled.append, self.clock, rules=ChannelRules(rules))
        self.store = SQLiteStore(f"sqlite:///{directory / 'users.db'}")
        settings = AppSettings(encryption_keys=("k" * 32,))
        self.apps = AppService(self.store, SecretSealer(settings), settings, self.clock, self.node.notify)
        self.apps.on_change(lambda app_id, app: self.node.forget_app(app_id) if app is None else self.node.use_app(app))
        self.tokens = TokenService(TokenSettings((TokenKey("a", "HS256", "s" * 32),)), self.clock)
        events = UserEventPublisher(self.node)
        sessions = SessionService(self.store, events, self.node, SessionSettings(), self.clock)
        self.identities = IdentityService(self.store, sessions, self.tokens, TRUSTED_KEY)
        self._opened = 0

    async def __aenter__(self) -> Bench:
        await self.store.open()
        await self.node.start()
        default = await self.apps.ensure_default()
        assert default
        other = await self.apps.create(ADMIN, AppDraft(name="Other"), app_id="other")
        self.keys = {"default": default.api_key, "other": other.api_key}
        await self.store.create_user(User("a" * 24, "root", "root@example.com", "", privileges=1, created_on=0))
        await self.store.create_user(User("b" * 24, "ann", "ann@example.com", "", privileges=3, created_on=0))
        origins = AppOrigins(OriginPolicy(["^https://configured\\.example$"]))
        self.protocol = WatchProtocol(self.node, self.apps, self.identities, origins.approves)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()
        await self.apps.stop()
        await self.store.close()

    def tick(self) -> None:
        """Let the hub flush."""
        scheduled, self.scheduled[:] = tuple(self.scheduled), ()
        for flush in scheduled:
            flush()

    def token(self, username: str) -> str:
        return self.tokens.issue(username)

    async def admit(self, headers: Mapping[str, str] | None = None, **query: str) -> Admission:
        return await self.protocol.admit(Visit({}, urlencode(query), dict(headers or {}), "192.0.2.1"))

    async def watch(self, headers: Mapping[str, str] | None = None, **query: str) -> Watching:
        """A watcher that is subscribed, by default with the app's API key."""
        if headers is None:
            headers = {"app-api-key": self.keys[query.get("app", "default")]}
        self._opened += 1
        admission = await self.admit(headers, **query)
        return await Watching(self).open(admission, f"watcher-{self._opened}").settled()
