"""What every wire protocol is made of: an event table, what a handler returns, and how a link is opened."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from marshmallow import Schema

from users_server.core.apps import App
from users_server.core.clock import Clock
from users_server.core.connection import Connection
from users_server.core.interfaces import ExternalInput, Transport
from users_server.core.messages import ANONYMOUS, DEFAULT_APP, JSON, Gap, Identity, PresenceChange
from users_server.core.node import Node
from users_server.errors import Disconnect
from users_server.protocols.http import HTTPService, HTTPTable
from users_server.protocols.messages import MessageTable
from users_server.schemas.settings import Section
from users_server.services.apps import AppService
from users_server.services.credentials import ReadsHeaders
from users_server.services.idempotency import IdempotentRequests
from users_server.services.identity import IdentityService
from users_server.services.publishing import PublishingService


class Direction(enum.Enum):
    """Who may send an event."""

    SERVER = "server to client"
    BOTH = "both"


@dataclass(slots=True)
class Reply:
    """Answer the sender alone, in the form of the protocol's event ``event``. Not frozen: one is made a message."""

    event: str
    data: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Publish:
    """
    Publish to a channel of the connection's app; subscribers get it, the sender too if he is one.

    With ``to_user`` only the connections of that user of the app do.
    """

    channel: str
    event: str
    data: Mapping[str, JSON]
    to_user: str | None = None


SchemaClass: TypeAlias = type[Schema]
Result: TypeAlias = "Reply | Publish | None"
Handler: TypeAlias = "Callable[[Any, Event, Connection, dict[str, Any]], Result | Awaitable[Result]]"
"""
``(context, event, connection, message)`` to what shall happen. A handler never writes; it may raise a
:class:`ClientError`, which is answered, or a :class:`Disconnect`. ``message`` is what the input schema gave.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One line of a protocol's event table; everything about the event is found from here.

    ``output`` is the shape that clients receive, ``input`` the shape that they may send (by default the same fields are
    accepted as are sent). ``help`` is one sentence for the catalogue.
    """

    type: int
    name: str
    direction: Direction
    input: SchemaClass
    output: SchemaClass
    handler: Handler
    help: str


class Framing(Protocol):
    """How a payload becomes bytes on the socket; shared by all connections that negotiated the same."""

    def text(self, payload: bytes) -> bytes:
        """One complete text message. ``payload`` is UTF-8."""

    def binary(self, payload: bytes) -> bytes:
        """One complete binary message."""


@dataclass(frozen=True, slots=True)
class Visit:
    """
    A handshake whose form is right, before anybody knows who it is. Nothing of it is to be believed yet.

    Attributes:
        parameters: What stood in the place of ``:name`` in the path that the protocol is mounted at, percent-decoded.
        query: The query string as it came, without ``?``.
        address: The client's address, behind a trusted proxy the one that the proxy names.
    """

    parameters: Mapping[str, str]
    query: str
    headers: ReadsHeaders
    address: str


@dataclass(frozen=True, slots=True)
class Admission:
    """
    Who came in. ``details`` is for the protocol alone: what it has found out and needs in ``open``.

    If ``identity.expires_at`` is set, the link is closed then.
    """

    identity: Identity = ANONYMOUS
    app: str = DEFAULT_APP
    details: Any = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Who came in through the handshake, and how its link is called. ``connection_id`` is unique in the cluster."""

    connection_id: str
    admission: Admission
    address: str

    @property
    def identity(self) -> Identity:
        return self.admission.identity


class Receiver(Protocol):
    """A protocol's end of one link, driven by the websocket shell."""

    def receive(self, payload: bytes, is_text: bool) -> Awaitable[None] | None:
        """
        One whole message, text or binary.

        Returns an awaitable if the answer needs time: the shell reads nothing more from this client until it is done,
        so that answers keep the order of their questions. Never raises.
        """

    def write_changed(self) -> None:
        """The transport has replaced its ``write`` function."""

    def disconnect(self, reason: Disconnect) -> None:
        """Close the link for ``reason`` with the protocol's own code."""

    def lost(self) -> None:
        """Nothing more will be received or can be sent, by whatever end. Called exactly once."""


class WireProtocol(Protocol):
    """What is spoken at one path."""

    name: str

    def admit(self, visit: Visit) -> Admission | Awaitable[Admission]:
        """
        Say who this is, if he may come in. Called once a handshake, before it is answered.

        Raises:
            Disconnect: He may not: the handshake is completed and the link closed with :meth:`close_code`; or, where
                :attr:`refusal_status` is set, the handshake is refused with that status.
            BackendError: Nobody can say now; the handshake is refused with 503.
        """

    @property
    def subprotocol(self) -> str:
        """The WebSocket subprotocol (RFC 6455, 1.9) that is confirmed to clients which offer it; empty for none."""

    @property
    def refusal_status(self) -> int | None:
        """The HTTP status of a refused handshake; :obj:`None`: it is completed, and closed with a code and a reason."""

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> Receiver:
        """
        Take over a link whose handshake is done. May write at once.

        Raises:
            Disconnect: There is no room for it; the link is closed with :meth:`close_code`.
        """

    def close_code(self, reason: Disconnect) -> int:
        """The close code for ``reason``; total."""


class PublicationsOnly:
    """For an encoder whose protocol tells its clients neither who is there nor that something was lost."""

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        return None

    def encode_gap(self, gap: Gap) -> bytes | None:
        return None


@dataclass(frozen=True, slots=True)
class Mount:
    """
    Where a protocol is spoken.

    Attributes:
        path: Its last segment may be ``:name``, which stands for any one segment.
        port: 0 for the port of the WebSocket API, else one of its own, where nothing else is.
    """

    path: str
    protocol: WireProtocol
    port: int = 0


class Part(Protocol):
    """What of a protocol works beside its links, from the start of the server to its end."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Idempotent."""


@dataclass(frozen=True, slots=True)
class BuiltProtocol:
    """A protocol as it is configured: what :attr:`ProtocolFolder.build` gives."""

    mounts: Sequence[Mount]
    parts: Sequence[Part] = ()
    http: HTTPService | None = None


class PostsJSON(Protocol):
    """An HTTP client for calls that the configuration asks for."""

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, max_answer_bytes: int
    ) -> tuple[int, bytes]:
        """
        POST ``body`` as ``application/json``; the answer's status and body. Redirects are not followed.

        Raises:
            BackendError: There was no answer in time, or too large a one.
        """


class Webhooks(Protocol):
    """Calls of the endpoints of apps: each is made at least once, and those of one queue in their order."""

    def announce(
        self, app: App, queue: str, now: Mapping[str, JSON] | None, at_end: Mapping[str, JSON] | None
    ) -> Awaitable[str | None]:
        """
        Owe the app's endpoint ``now``, and ``at_end`` when :meth:`end` is called or this process dies; both are bodies.

        When awaiting returns, both outlive the process. The result is what :meth:`end` and :meth:`retract` are given;
        :obj:`None` if the app has no endpoint, so that nothing is owed. Awaiting raises :class:`StoreUnavailable` and
        :class:`Overloaded`; nothing is owed then.
        """

    def end(self, announcement: str) -> None:
        """What was announced is over. Never waits nor raises, and is not lost while the store is away. Idempotent."""

    def retract(self, announcement: str) -> None:
        """What was announced did not happen. As :meth:`end`; the receiver hears nothing, or of begin and end."""


@dataclass(frozen=True, slots=True)
class Foundation:
    """
    What a protocol may build on. The composition root gives the same to all.

    Attributes:
        approves_origin: By the patterns of the app that is given, or the configuration's where it has none.
        open_input: Makes an input from the Redis at a URL; with an empty one, from the broker's own. Raises
            :class:`ConfigError` where there is none.
    """

    node: Node
    clock: Clock
    apps: AppService
    publishing: PublishingService
    idempotency: IdempotentRequests
    identities: IdentityService
    http: PostsJSON
    approves_origin: Callable[[App, str | None], bool]
    open_input: Callable[[str], ExternalInput]
    messages_per_second: float
    webhooks: Webhooks


@dataclass(frozen=True, slots=True)
class MountPoint:
    """
    A path that a protocol is to be served at, as its settings have it.

    Attributes:
        path: As in :class:`Mount`.
        port: 0 for the port of the WebSocket API, else one of its own.
        port_setting: The key of the protocol's section that ``port`` comes from; empty where there is none.
    """

    path: str
    port: int = 0
    port_setting: str = ""


@dataclass(frozen=True, slots=True)
class ProtocolFolder:
    """
    What a folder of ``protocols/`` exports as ``PROTOCOL``.

    Attributes:
        name: Of the protocol, and of its section in config.json.
        section: How ``settings`` are written there. Every setting has a default.
        build: From settings; :obj:`None` if they turn the protocol off. Raises :class:`ConfigError`.
        mount_points: Where ``build`` mounts it, from settings: known before anything is built. None if it is off.
        messages: What is said, for the definitions.
        http: What is answered beside that; :obj:`None` for nothing.
    """

    name: str
    section: type[Section]
    description: str
    build: Callable[[Any, Foundation], BuiltProtocol | None]
    mount_points: Callable[[Any], Sequence[MountPoint]]
    messages: MessageTable
    http: HTTPTable | None = None
