"""The opening handshake (RFC 6455 section 4.2): headers in, answer out, no I/O."""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import dataclass, field

from users_server.services.credentials import ReadsHeaders

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE_ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_DEFLATE_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOW_BITS = frozenset(map(str, range(8, 16)))


@dataclass(frozen=True)
class HandshakeRefused(Exception):
    """The request is no WebSocket handshake; answer with plain HTTP."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Handshake:
    """``greeting`` is the whole 101 answer."""

    greeting: bytes
    accepts_deflate: bool


def answer_handshake(method: str, headers: ReadsHeaders, *, offers_deflate: bool, subprotocol: str = "") -> Handshake:
    """
    Check the request and make the answer. ``subprotocol`` is confirmed if the client offers it.

    Raises:
        HandshakeRefused: 405, 426 or 400, with what the client should have sent.
    """
    if method != "GET":
        raise HandshakeRefused(405, "A WebSocket handshake is a GET request", {"Allow": "GET"})
    if (headers.get("upgrade") or "").lower() != "websocket" or not _asks_for_upgrade(headers.get("connection")):
        raise HandshakeRefused(
            426, "This is a WebSocket endpoint: connect with a WebSocket client", {"Upgrade": "websocket"}
        )
    if headers.get("sec-websocket-version") != "13":
        raise HandshakeRefused(
            426,
            "Only WebSocket version 13 is spoken here",
            {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        )
    key = headers.get("sec-websocket-key") or ""
    if not _is_key(key):
        raise HandshakeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    accepts_deflate = offers_deflate and _offers_deflate(headers.get("sec-websocket-extensions") or "")
    speaks = subprotocol and _offers(headers.get("sec-websocket-protocol"), subprotocol)
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    greeting = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + binascii.b2a_base64(digest, newline=False)
        + (f"\r\nSec-WebSocket-Protocol: {subprotocol}".encode() if speaks else b"")
        + (f"\r\nSec-WebSocket-Extensions: {_DEFLATE_ANSWER}".encode() if accepts_deflate else b"")
        + b"\r\n\r\n"
    )
    return Handshake(greeting, accepts_deflate)


def _asks_for_upgrade(connection: str | None) -> bool:
    if connection is None:
        return False
    value = connection.lower()
    return value == "upgrade" or "upgrade" in (token.strip() for token in value.split(","))


def _offers(subprotocols: str | None, wanted: str) -> bool:
    return subprotocols is not None and wanted in (offer.strip() for offer in subprotocols.split(","))


def _is_key(key: str) -> bool:
    if len(key) != 24:
        return False
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except ValueError:
        return False


def _offers_deflate(extensions: str) -> bool:
    """Whether one of the offers is permessage-deflate in a form that we can keep (RFC 7692 section 7.1)."""
    for offer in extensions.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name != "permessage-deflate":
            continue
        if _can_keep(parameters):
            return True
    return False


def _can_keep(parameters: list[str]) -> bool:
    """Each parameter once, with a value of its own form; our window is the largest, so a smaller one cannot be kept."""
    seen = set()
    for parameter in parameters:
        name, equals, value = (part.strip() for part in parameter.partition("="))
        value = value.strip('"')
        if name in seen or not (
            (name in _DEFLATE_FLAGS and not equals)
            or (name == "client_max_window_bits" and (not equals or value in _WINDOW_BITS))
            or (name == "server_max_window_bits" and value == "15")
        ):
            return False
        seen.add(name)
    return True
