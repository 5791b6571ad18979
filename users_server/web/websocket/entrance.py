"""What every handshake has to pass, whichever door it came through: form, path, the protocol's own check, limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import structlog

from users_server.core.clock import Clock
from users_server.errors import BackendError, Disconnect, UsersServerError
from users_server.protocols.base import Admission, Peer, Receiver, Visit, WireProtocol
from users_server.services.credentials import ReadsHeaders
from users_server.web.websocket.frames import DeflateFraming, PlainFraming
from users_server.web.websocket.handshake import Handshake, HandshakeRefused, answer_handshake
from users_server.web.websocket.link import WebSocketLink
from users_server.web.websocket.links import LinkRegistry
from users_server.web.websocket.paths import PathTable

log = structlog.stdlib.get_logger(__name__)

PLAIN, DEFLATE = PlainFraming(), DeflateFraming()
RETRY_AFTER = {"Retry-After": "5"}

Outcome: TypeAlias = Admission | Disconnect
"""Who came in, or why the link is to be closed as soon as it is open."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A handshake whose form is right, at a path where something is served."""

    protocol: WireProtocol
    handshake: Handshake
    visit: Visit


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    One for each server, shared by all its listeners but for the paths.

    Attributes:
        trusted_proxies: Addresses whose ``X-Forwarded-For`` is believed.
        is_open: False when the server is shutting down.
        paths: What is served at the port that this is the entrance of.
    """

    links: LinkRegistry
    trusted_proxies: frozenset[str]
    offers_deflate: bool
    is_open: Callable[[], bool]
    clock: Clock
    paths: PathTable = field(default_factory=PathTable)

    def at(self, paths: PathTable) -> Entrance:
        """The same entrance for a port with these paths."""
        return replace(self, paths=paths)

    def examine(self, method: str, path: str, query: str, headers: ReadsHeaders, address: str) -> Examined:
        """
        Everything that can be told without knowing who it is. ``address`` is the client's own.

        Raises:
            HandshakeRefused: If it is no handshake, nothing is served at ``path``, or the server is shutting down.
        """
        found = self.paths.find(path)
        if found is None:
            raise HandshakeRefused(404, "No WebSocket is served at this path")
        protocol, parameters = found
        handshake = answer_handshake(
            method, headers, offers_deflate=self.offers_deflate, subprotocol=protocol.subprotocol
        )
        if not self.is_open():
            raise HandshakeRefused(503, "The server is shutting down", RETRY_AFTER)
        return Examined(protocol, handshake, Visit(parameters, query, headers, address))

    def admit(self, examined: Examined) -> Outcome | Awaitable[Outcome]:
        """
        Ask the protocol. The outcome itself where it needs no time, so that it costs no task.

        Raises:
            HandshakeRefused: If the protocol refuses in the handshake already, or nobody can say now. Awaiting raises
                it too.
        """
        try:
            admission = examined.protocol.admit(examined.visit)
        except Exception as error:
            return _refusal(examined, error)
        return admission if isinstance(admission, Admission) else self._admit_later(examined, admission)

    async def _admit_later(self, examined: Examined, pending: Awaitable[Admission]) -> Outcome:
        try:
            return await pending
        except Exception as error:
            return _refusal(examined, error)

    def make_link(self, examined: Examined, outcome: Outcome, first_bytes: bytes) -> WebSocketLink:
        """
        A link that greets the client when its transport is connected, and is then opened, or closed if refused.

        Raises:
            HandshakeRefused: If the server is full, and the protocol refuses in the handshake.
        """
        links, protocol, address = self.links, examined.protocol, examined.visit.address
        if isinstance(outcome, Admission):
            outcome = links.admit(address) or outcome
            if isinstance(outcome, Disconnect) and protocol.refusal_status is not None:
                raise HandshakeRefused(503, outcome.message, RETRY_AFTER)
        connection_id = links.new_connection_id()
        opening = _Opening(self, examined, outcome, connection_id)
        return links.new_link(
            connection_id,
            address if isinstance(outcome, Admission) else "",
            greeting=examined.handshake.greeting,
            open_receiver=opening.open,
            first_bytes=first_bytes,
            accepts_deflate=examined.handshake.accepts_deflate,
        )


@dataclass(frozen=True, slots=True)
class _Opening:
    """The step from a link that is connected to a protocol's receiver."""

    entrance: Entrance
    examined: Examined
    outcome: Outcome
    connection_id: str

    def open(self, link: WebSocketLink) -> Receiver | None:
        """:obj:`None` if the client may not come in; the link is told why and closed then."""
        outcome, protocol, address = self.outcome, self.examined.protocol, self.examined.visit.address
        if isinstance(outcome, Admission):
            framing = DEFLATE if self.examined.handshake.accepts_deflate else PLAIN
            try:
                receiver = protocol.open(Peer(self.connection_id, outcome, address), link, framing)
            except Disconnect as reason:
                outcome = reason
            else:
                expires_at = outcome.identity.expires_at
                if expires_at is not None:
                    link.expire_in(expires_at - self.entrance.clock.now_ms() / 1000)
                return receiver
        log.info("websocket refused", connection=self.connection_id, address=address, reason=outcome.reason)
        link.close(protocol.close_code(outcome), outcome.message)
        return None


def _refusal(examined: Examined, error: Exception) -> Disconnect:
    """What ``error`` means for the client. Raises :class:`HandshakeRefused` where no link shall be made for it."""
    protocol = examined.protocol
    if isinstance(error, Disconnect):
        if protocol.refusal_status is None:
            return error
        log.info("handshake refused", protocol=protocol.name, address=examined.visit.address, reason=error.reason)
        raise HandshakeRefused(protocol.refusal_status, error.message) from None
    if isinstance(error, BackendError):
        raise HandshakeRefused(503, error.message, RETRY_AFTER) from None
    log.error("admission failed", protocol=protocol.name, exc_info=error)
    raise HandshakeRefused(500, UsersServerError.default_message) from None


def client_address(peer_address: str, headers: ReadsHeaders, trusted_proxies: frozenset[str]) -> str:
    """
    The client's address: ``X-Forwarded-For`` is believed from a trusted proxy, and from nobody else.

    It is the last address of the list that is not a trusted proxy itself; those before it may be invented.
    """
    address = peer_address
    if address not in trusted_proxies:
        return address
    for candidate in reversed((headers.get("x-forwarded-for") or "").split(",")):
        if not candidate.strip():
            break
        address = candidate.strip()
        if address not in trusted_proxies:
            break
    return address
