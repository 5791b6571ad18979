"""What every handshake has to pass, whichever door it came through: form, origin, identity, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from users_server.core.clock import Clock
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import BackendError, Disconnect, IdentityRefused, OriginRefused, Unauthenticated
from users_server.protocols.base import Peer, Receiver, WireProtocol
from users_server.services.identity import IdentityService
from users_server.services.origins import OriginPolicy
from users_server.web.credentials import Credentials, ReadsHeaders
from users_server.web.websocket.frames import DeflateFraming, PlainFraming
from users_server.web.websocket.handshake import Handshake, HandshakeRefused, answer_handshake
from users_server.web.websocket.link import WebSocketLink
from users_server.web.websocket.links import LinkRegistry

log = structlog.stdlib.get_logger(__name__)

PLAIN, DEFLATE = PlainFraming(), DeflateFraming()
RETRY_AFTER = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class Examined:
    """A handshake whose form is right. ``refusal`` is set if it must be closed whoever sends it."""

    protocol: WireProtocol
    handshake: Handshake
    credentials: Credentials
    refusal: Disconnect | None


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    One for each server, shared by all its listeners.

    Attributes:
        protocols: Path to the protocol that is spoken there.
        trusted_proxies: Addresses whose ``X-Forwarded-For`` is believed.
        is_open: False when the server is shutting down.
    """

    protocols: Mapping[str, WireProtocol]
    links: LinkRegistry
    identities: IdentityService
    origins: OriginPolicy
    trusted_proxies: frozenset[str]
    offers_deflate: bool
    is_open: Callable[[], bool]
    clock: Clock

    def examine(self, method: str, path: str, query: str, headers: ReadsHeaders) -> Examined:
        """
        Everything that can be told without asking a store. ``path`` must be one of :attr:`protocols`.

        Raises:
            HandshakeRefused: If it is no handshake, or the server is shutting down.
        """
        handshake = answer_handshake(method, headers, offers_deflate=self.offers_deflate)
        if not self.is_open():
            raise HandshakeRefused(503, "The server is shutting down", RETRY_AFTER)
        credentials = Credentials.of_headers(headers, query)
        protocol = self.protocols[path]
        is_approved = (
            not protocol.checks_origin
            or self.origins.approves(headers.get("origin"))
            or self.identities.is_api_key(credentials.api_key)
        )
        return Examined(protocol, handshake, credentials, None if is_approved else OriginRefused())

    async def identify(self, examined: Examined) -> tuple[Identity, Disconnect | None]:
        """
        Who it is, or why he is not let in.

        Raises:
            HandshakeRefused: If the store that knows is away.
        """
        if examined.refusal is not None or not examined.credentials:
            return ANONYMOUS, examined.refusal
        credentials = examined.credentials
        try:
            identity = await self.identities.identify(
                cookie=credentials.cookie, token=credentials.token, api_key=credentials.api_key
            )
        except Unauthenticated as error:
            return ANONYMOUS, IdentityRefused(error.message)
        except BackendError as error:
            raise HandshakeRefused(503, error.message, RETRY_AFTER) from None
        return identity, None

    def make_link(
        self,
        examined: Examined,
        identity: Identity,
        refusal: Disconnect | None,
        address: str,
        first_bytes: bytes,
    ) -> WebSocketLink:
        """A link that greets the client when its transport is connected, and is then opened, or closed if refused."""
        links = self.links
        if refusal is None:
            refusal = links.admit(address)
        connection_id = links.new_connection_id()
        if refusal is not None:
            log.info("websocket refused", connection=connection_id, address=address, reason=refusal.reason)
        framing = DEFLATE if examined.handshake.accepts_deflate else PLAIN
        protocol = examined.protocol

        def open_receiver(link: WebSocketLink) -> Receiver | None:
            if refusal is None:
                if identity.expires_at is not None:
                    link.expire_in(identity.expires_at - self.clock.now_ms() / 1000)
                return protocol.open(Peer(connection_id, identity, address), link, framing)
            link.close(protocol.close_code(refusal), refusal.message)
            return None

        return links.new_link(
            connection_id,
            address if refusal is None else "",
            greeting=examined.handshake.greeting,
            open_receiver=open_receiver,
            first_bytes=first_bytes,
            accepts_deflate=examined.handshake.accepts_deflate,
        )


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
