"""Claims that somebody else has signed with a secret that we share: JWTs with HS256 (RFC 7515, RFC 7519)."""

from __future__ import annotations

from collections.abc import Sequence

import jwt

from users_server.core.messages import JSON
from users_server.errors import Unauthenticated
from users_server.services.tokens import EXPIRED, INVALID, LEEWAY_SECONDS, MAX_TOKEN_LENGTH, numeric_date

_OPTIONS: jwt.types.Options = {
    "require": ["exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def verify_claims(token: str, secrets: Sequence[str], now: float) -> dict[str, JSON]:
    """
    The claims of ``token``, if one of ``secrets`` has signed it with HS256 and it is valid at ``now`` (seconds).

    ``exp`` must be there and is a finite number, without tolerance, so that what begins with the token can end with it.
    ``nbf`` and ``iat`` may be a little in the future, as clocks are. Signatures are compared in constant time; no
    other algorithm is tried, whatever the token's header says. What is wrong is told in two sentences only.

    Raises:
        Unauthenticated: Otherwise.
    """
    claims = _signed(token, secrets)
    expires_at = numeric_date(claims["exp"])
    if expires_at is None:
        raise Unauthenticated(INVALID)
    if expires_at <= now:
        raise Unauthenticated(EXPIRED)
    for name in ("nbf", "iat"):
        if name in claims:
            starts_at = numeric_date(claims[name])
            if starts_at is None or starts_at > now + LEEWAY_SECONDS:
                raise Unauthenticated(INVALID)
    return claims


def _signed(token: str, secrets: Sequence[str]) -> dict[str, JSON]:
    if len(token) <= MAX_TOKEN_LENGTH and token.isascii():
        for secret in secrets:
            claims = _claims(token, secret)
            if claims is not None:
                return claims
    raise Unauthenticated(INVALID)


def _claims(token: str, secret: str) -> dict[str, JSON] | None:
    """:obj:`None` for a token that this secret did not sign."""
    try:
        claims: dict[str, JSON] = jwt.decode(token, secret, algorithms=["HS256"], options=_OPTIONS)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return claims
