"""Phoenix clients without a socket: tokens and messages in, frames out, over the real node, apps and memory bus."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.protocols.links import HeldClock, ScriptedLink
from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.backends.sqlite import SQLiteStore
from users_server.core.acceptance import Accepted
from users_server.core.apps import App
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules
from users_server.core.hub import Hub
from users_server.core.messages import HistoryRule, Identity
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.errors import Disconnect
from users_server.protocols.base import Foundation, Peer, Visit
from users_server.protocols.jwp import PROTOCOL
from users_server.protocols.jwp.settings import JWPSettings
from users_server.services.app_origins import AppOrigins
from users_server.services.apps import AppDraft, AppService, SecretSealer
from users_server.services.idempotency import IdempotentRequests
from users_server.services.origins import OriginPolicy
from users_server.services.publishing import PublishingService
from users_server.services.settings import AppSettings
from users_server.web.outgoing import JSONPoster

APP = "game"
ADMIN = Identity(user_id="0" * 24, username="root", privileges=1)
OK: dict[str, Any] = {"status": "ok", "response": {}}
LISTED = {"presence_track": True, "presence_diffs": True}


def hexed(secret: str, text: str) -> str:
    return hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex().upper()


class Frames:
    """A framing that a test can take apart."""

    def text(self, payload: bytes) -> bytes:
        return b"T" + len(payload).to_bytes(4, "big") + payload

    def binary(self, payload: bytes) -> bytes:
        return b"B" + len(payload).to_bytes(4, "big") + payload

    @staticmethod
    def read(data: bytes) -> list[Any]:
        """JSON of text frames, bytes of binary ones."""
        found: list[Any] = []
        while data:
            size = int.from_bytes(data[1:5], "big")
            payload, kind, data = data[5 : 5 + size], data[:1], data[5 + size :]
            found.append(json.loads(payload) if kind == b"T" else payload)
        return found


class RecordedHooks:
    """:class:`users_server.protocols.base.Webhooks` that keeps what it is told. ``held`` makes announcing wait."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.owed: dict[str, Any] = {}
        self.error: Exception | None = None
        self.held: asyncio.Event | None = None
        self.is_announcing = asyncio.Event()

    async def announce(
        self, app: App, queue: str, now: Mapping[str, Any] | None, at_end: Mapping[str, Any] | None
    ) -> str | None:
        if self.error is not None:
            raise self.error
        self.is_announcing.set()
        if self.held is not None:
            await self.held.wait()
        name = f"a{len(self.owed) + 1}"
        self.owed[name] = (app.id, queue, now, at_end)
        self.calls.append(("announce", queue, now, at_end))
        return name

    def end(self, announcement: str) -> None:
        self.calls.append(("end", announcement))

    def retract(self, announcement: str) -> None:
        self.calls.append(("retract", announcement))

    @property
    def ends(self) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] != "announce"]


@dataclass(eq=False)
class Client(ScriptedLink):
    """One link of a :class:`Bench`."""

    bench: Bench
    socket_id: str
    version: int
    sent: list[Any] = field(default_factory=list)

    def open(self, peer: Peer) -> None:
        self.receiver = self.bench.protocol.open(peer, self, self.bench.framing)

    def write(self, frames: bytes) -> None:
        if self.closed is None:
            self.sent += Frames.read(frames)

    def leave(self) -> None:
        """The client goes by itself."""
        self.go()
        self.bench.tick()

    def start(self, message: Any, *, is_text: bool = True) -> asyncio.Future[None] | None:
        """Send without waiting for the answer."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        pending = self.receiver.receive(payload, is_text)
        return None if pending is None else asyncio.ensure_future(pending)

    async def say(self, message: Any, *, is_text: bool = True) -> list[Any]:
        """What this client gets after sending ``message``: JSON, or bytes as they are."""
        self.take()
        pending = self.start(message, is_text=is_text)
        if pending is not None:
            await pending
        return self.take()

    def take(self) -> list[Any]:
        """What has come since the last time."""
        self.bench.tick()
        taken, self.sent = self.sent, []
        return taken

    def join_message(self, channel: str, ref: Any = "1", **payload: Any) -> Any:
        """``phx_join`` in the client's version; ``payload`` as in :meth:`Bench.join_payload`."""
        made = self.bench.join_payload(self.socket_id, channel, **payload)
        topic = f"jwp:{APP}:{channel}"
        if self.version == 1:
            return {"topic": topic, "event": "phx_join", "payload": made, "ref": ref}
        return [ref, ref, topic, "phx_join", made]

    async def join(self, channel: str = "lobby", ref: Any = "1", **payload: Any) -> list[Any]:
        return await self.say(self.join_message(channel, ref, **payload))


class Bench:
    """The protocol as ``settings`` build it, with the app ``game``, which has web hooks."""

    def __init__(
        self,
        directory: Path,
        *,
        has_history: bool = False,
        history_size: int = 100,
        messages_per_second: float = 0,
        limits: ChannelLimits | None = None,
        **settings: Any,
    ) -> None:
        self.settings = JWPSettings(**settings)
        self.scheduled: list[Any] = []
        self.framing = Frames()
        self.clock = HeldClock()
        self.opened = 0
        self._limit = messages_per_second
        self.broker = MemoryBroker(MemoryHistory(self.clock), self.clock)
        rules = [ChannelRule("*", history=HistoryRule(history_size, 300.0))] if has_history else []
        self.node = Node(
            self.broker,
            MemoryPresence(self.broker),
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
        self.webhooks = RecordedHooks()
        draft = AppDraft(name="Game", webhook_endpoint="https://game.example/hooks")
        made = await self.apps.create(ADMIN, draft, app_id=APP)
        self.secret = made.secret
        self.foundation = Foundation(
            node=self.node,
            clock=self.clock,
            apps=self.apps,
            publishing=PublishingService(self.node, self.node.rules, self.node.limits),
            idempotency=IdempotentRequests(self.store, self.clock),
            identities=None,  # type: ignore[arg-type]  # the protocol has no business with accounts
            http=self.poster,
            approves_origin=AppOrigins(OriginPolicy(["^https://configured\\.example$"])).approves,
            open_input=None,  # type: ignore[arg-type]  # nor with other programs' Redis
            messages_per_second=self._limit,
            webhooks=self.webhooks,
        )
        built = PROTOCOL.build(self.settings, self.foundation)
        assert built is not None
        self.built = built
        self.protocol: Any = built.mounts[0].protocol
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()
        await self.apps.stop()
        await self.poster.close()
        await self.store.close()

    def tick(self) -> None:
        """Let the hub flush."""
        scheduled, self.scheduled[:] = tuple(self.scheduled), ()
        for flush in scheduled:
            flush()

    def socket_token(self, socket_id: str, seconds: float = 60, *, secret: str | None = None) -> str:
        signed = f"{socket_id}:{self.clock.now_ms() // 1000 + round(seconds)}"
        return f"{signed}:{hexed(secret or self.secret, signed)}"

    def join_payload(
        self,
        socket_id: str,
        channel: str,
        *,
        options: Any = None,
        meta: Any = None,
        data: Any = None,
        secret: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """A signed payload of ``phx_join``. ``data`` is sent as it is, or made of ``options`` and ``meta``."""
        if data is None and (options is not None or meta is not None):
            wishes = {"meta": meta, "options": options}
            data = json.dumps({key: value for key, value in wishes.items() if value is not None})
        signed = f"{socket_id}:{channel}" if data is None else f"{socket_id}:{channel}:{data}"
        payload = {"auth": hexed(secret or self.secret, signed), **more}
        return payload if data is None else {**payload, "data": data}

    async def admit(self, headers: Mapping[str, str] | None = None, **query: str) -> Any:
        """What the protocol says of a handshake; raises what it raises."""
        return await self.protocol.admit(Visit({}, urlencode(query), dict(headers or {}), "127.0.0.1"))

    async def refusal(self, headers: Mapping[str, str] | None = None, **query: str) -> str:
        """Why a handshake is refused: the slug."""
        try:
            await self.admit(headers, **query)
        except Disconnect as reason:
            return reason.reason
        raise AssertionError("the handshake was accepted")

    async def connect(self, socket_id: str = "user:1", *, version: int = 2) -> Client:
        query = {"app_id": APP, "auth": self.socket_token(socket_id), "vsn": f"{version}.0.0"}
        admission = await self.admit(**query)
        self.opened += 1
        client = Client(self, socket_id, version)
        client.open(Peer(f"c{self.opened}", admission, "127.0.0.1"))
        return client

    async def push(self, event: str, payload: Any, channel: str = "lobby", **options: Any) -> None:
        """What the application publishes."""
        await self.node.publish(APP, channel, event, payload, **options)

    async def change_app(self, draft: AppDraft) -> App:
        return await self.apps.change(ADMIN, APP, draft)
