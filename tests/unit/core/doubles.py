"""What stands for the world around the core: transports that remember, codecs that can be read, time held still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.interfaces import Broker, Encoder, PresenceManager
from users_server.core.messages import DEFAULT_APP, Gap, Identity, Member, PresenceChange, Publication
from users_server.core.node import Node
from users_server.core.statistics import Statistics
from users_server.core.subscriptions import Subscribed
from users_server.errors import Disconnect


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return round(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


class RecordingTransport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.writes.append(frames)

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...

    @property
    def queued_bytes(self) -> int:
        return 0


class LineEncoder:
    """
    One line for each thing: ``event``, ``+member``, ``-member`` or ``gap``, behind a prefix.

    A capital ``U`` after the sign says that the user came or went, too. The event ``foreign`` has no form.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.calls = 0

    def encode(self, publication: Publication) -> bytes | None:
        self.calls += 1
        return None if publication.event == "foreign" else self._line(publication.event)

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        sign = "+" if change.is_join else "-"
        return self._line(f"{sign}{'U' if change.is_of_user else ''}{change.member.connection_id}")

    def encode_gap(self, gap: Gap) -> bytes | None:
        return self._line("gap")

    def _line(self, text: str) -> bytes:
        return f"{self.prefix}{text};".encode()


class Client:
    """A connection to a node, and what it was told, in order."""

    def __init__(
        self,
        node: Node,
        connection_id: str,
        *,
        user_id: str | None = None,
        app: str = DEFAULT_APP,
        protocol: str = "",
        encoder: Encoder | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.node = node
        self.transport = RecordingTransport()
        self.closed: list[Disconnect] = []
        self.greetings: list[Subscribed] = []
        self.connection = Connection(
            connection_id,
            identity or Identity(),
            encoder or LineEncoder(),
            self.transport,
            lambda connection, reason: self.closed.append(reason),
            app=app,
            protocol=protocol,
            user_id=user_id,
        )

    @property
    def member(self) -> Member:
        return Member(self.connection.id, self.connection.user_id or "")

    @property
    def lines(self) -> list[str]:
        return b"".join(self.transport.writes).decode().split(";")[:-1]

    def connect(self, *pinned: str) -> Client:
        self.node.connect(self.connection, pinned)
        return self

    def greet(self, subscribed: Subscribed) -> bytes:
        """Tells its client the channel, the top and what was missed, and remembers it."""
        self.greetings.append(subscribed)
        top = "" if subscribed.position is None else str(subscribed.position.offset)
        missed = "".join(f"{publication.event};" for publication in subscribed.recovered)
        return f"<{subscribed.channel}{top}>;{missed}".encode()

    def subscribe(self, channel: str, *, is_member: bool = False, **options: Any) -> Any:
        member = self.member if is_member else None
        return self.node.subscribe(self.connection, channel, self.greet, member=member, **options)


class Bench:
    """A node over memory, whose flushes are run by hand and whose time stands still."""

    def __init__(
        self,
        make_bus: Callable[[ManualClock], tuple[Broker, PresenceManager]] | None = None,
        *,
        max_pending_bytes: int = 262_144,
        **options: Any,
    ) -> None:
        self.scheduled: list[Callable[[], None]] = []
        self.clock = ManualClock()
        self.statistics = Statistics()
        self.hub = Hub(
            self.scheduled.append, self.clock.monotonic, self.statistics, max_pending_bytes=max_pending_bytes
        )
        broker, presence = (make_bus or memory_bus)(self.clock)
        self.node = Node(broker, presence, self.hub, self.clock, **options)

    async def __aenter__(self) -> Bench:
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()

    def client(self, connection_id: str, **options: Any) -> Client:
        return Client(self.node, connection_id, **options).connect()

    def tick(self) -> None:
        scheduled, self.scheduled[:] = self.scheduled[:], []
        for flush in scheduled:
            flush()


def memory_bus(clock: ManualClock) -> tuple[Broker, PresenceManager]:
    broker = MemoryBroker(MemoryHistory(clock), clock)
    return broker, MemoryPresence(broker)


def assert_nothing_is_left(node: Node) -> None:
    """Everybody has left: nothing on the node may remember them."""
    subscribing = node._subscribing
    assert list(node.hub.channels()) == []
    assert len(subscribing._claims) == 0
    assert len(subscribing.replicas) == 0
    assert node._usage._apps == {}
    assert not node.hub._by_user
    assert not node.hub._by_account
