"""A raw echo, for conformance runs such as Autobahn's. Only with ``users-server serve --conformance``."""

from __future__ import annotations

from users_server.core.interfaces import Transport
from users_server.errors import Disconnect
from users_server.protocols.base import Admission, Framing, Peer, Visit

CONFORMANCE_PATH = "/conformance"


class ConformanceProtocol:
    """Sends every message back as it came. :class:`users_server.protocols.base.WireProtocol`."""

    name = "conformance"
    subprotocol = ""
    refusal_status = None

    def admit(self, visit: Visit) -> Admission:
        """Everybody: the tools that make conformance runs send neither an origin nor credentials."""
        return Admission()

    def open(self, peer: Peer, transport: Transport, framing: Framing) -> _EchoReceiver:
        return _EchoReceiver(transport, framing)

    def close_code(self, reason: Disconnect) -> int:
        return 1008


class _EchoReceiver:
    __slots__ = ("_framing", "_transport")

    def __init__(self, transport: Transport, framing: Framing) -> None:
        self._transport = transport
        self._framing = framing

    def receive(self, payload: bytes, is_text: bool) -> None:
        self._transport.write(self._framing.text(payload) if is_text else self._framing.binary(payload))

    def write_changed(self) -> None:
        """The function is asked for with each write."""

    def disconnect(self, reason: Disconnect) -> None:
        self._transport.close(1008, reason.message)

    def lost(self) -> None:
        """Nothing is kept of a client."""
