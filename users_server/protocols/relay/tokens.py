"""What a relay token says (relay.md): who connects, and to which one channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from users_server.errors import Unauthenticated
from users_server.protocols.relay.schemas import is_user_id
from users_server.services.signed_claims import verify_claims


@dataclass(frozen=True, slots=True)
class Claims:
    """``expires_at`` is in seconds since 1970. ``user_id`` is the claim ``id``."""

    user_id: int
    name: str
    channel: str
    expires_at: float


def read_token(token: str, secrets: Sequence[str], now: float) -> Claims:
    """
    The claims of a token that one of ``secrets`` has signed, if it is valid at ``now`` and has all of them.

    Raises:
        Unauthenticated: Otherwise; the message says what is wrong only where the signature is right.
    """
    claims = verify_claims(token, secrets, now)
    user_id, name, channel = claims.get("id"), claims.get("name"), claims.get("channel")
    if not isinstance(user_id, int) or not is_user_id(user_id):
        raise Unauthenticated("The token's id must be a whole number other than 0")
    if not isinstance(name, str) or not _is_unicode(name):
        raise Unauthenticated("The token's name must be text")
    if not isinstance(channel, str) or not channel or not _is_unicode(channel):
        raise Unauthenticated("The token's channel must be text")
    return Claims(user_id, name, channel, float(claims["exp"]))


def _is_unicode(text: str) -> bool:
    """JSON can hold half of a surrogate pair, which is no text and cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
