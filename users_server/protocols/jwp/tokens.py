"""Socket tokens and channel signatures (jwp.md): HMAC-SHA256 in upper-case hex with a secret of the app."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from users_server.errors import Unauthenticated

MAX_SECONDS = 60
"""How far ahead a socket token may expire."""

MAX_SOCKET_ID_BYTES = 255

SUBPROTOCOL = "phoenix"
"""What clients of Phoenix 1.8 offer, with a token behind it, if they are given an ``authToken``."""

NO_SECRETS = ("",)
"""What is compared with where there is no app, so that the time tells nothing."""

_BEARER = "base64url.bearer.phx."
_EXPIRY = re.compile(r"[0-9]{1,15}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class SocketToken:
    """
    A token whose form is right; nothing of it is believed yet.

    Attributes:
        expiry: Seconds since 1970.
        signed: The text that the signature is of.
    """

    socket_id: str
    expiry: int
    signed: str
    signature: str = field(repr=False)

    @classmethod
    def read(cls, token: str) -> SocketToken:
        """``<socket_id>:<expiry>:<signature>``; a socket id may have colons. Raises :class:`Unauthenticated`."""
        signed, _, signature = token.rpartition(":")
        socket_id, _, expiry = signed.rpartition(":")
        if not socket_id or not _EXPIRY.match(expiry) or len(socket_id.encode()) > MAX_SOCKET_ID_BYTES:
            raise Unauthenticated("The token has not the form <socket_id>:<expiry>:<signature>")
        return cls(socket_id, int(expiry), signed, signature)

    def check(self, secrets: Sequence[str], now: int) -> None:
        """Raises :class:`Unauthenticated`. ``now`` is in whole seconds since 1970, as clients count them."""
        check_signature(self.signed, self.signature, secrets)
        if self.expiry <= now:
            raise Unauthenticated("The token has expired")
        if self.expiry > now + MAX_SECONDS:
            raise Unauthenticated(f"The token expires more than {MAX_SECONDS} seconds from now")


def offered_token(subprotocols: str | None) -> str:
    """The ``authToken`` among the subprotocols that a client offers; empty without one (phoenix-protocol.md, 1)."""
    for offer in (subprotocols or "").split(","):
        name, _, encoded = offer.strip().partition(_BEARER)
        if encoded and not name:
            try:
                # it comes from a browser's btoa: the standard alphabet, a byte for each character, no padding
                return binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True).decode("latin-1")
            except ValueError:
                return ""
    return ""


def channel_text(socket_id: str, channel: str, data: str | None) -> str:
    """What the signature of a join is of; ``data`` exactly as it came."""
    return f"{socket_id}:{channel}" if data is None else f"{socket_id}:{channel}:{data}"


def sign(secret: str, text: str) -> str:
    """HMAC-SHA256 in upper-case hex."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def check_signature(text: str, signature: str, secrets: Sequence[str]) -> None:
    """Raises :class:`Unauthenticated` unless one of ``secrets`` has signed ``text``. All are compared."""
    found = signature.encode()
    matches = [hmac.compare_digest(found, sign(secret, text).encode()) for secret in secrets or NO_SECRETS]
    if not any(matches) or not secrets:
        raise Unauthenticated("The signature is not the HMAC-SHA256 of the signed text in upper-case hex")
