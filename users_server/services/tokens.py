"""
JSON Web Tokens.

Rules: a key verifies by its own algorithm alone, whatever the token's header says; time is the clock's, not PyJWT's;
what is wrong with a token is told in two sentences only, so that it does not help to make a better one.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jwt

from users_server.core.clock import Clock
from users_server.core.messages import JSON
from users_server.errors import ConfigError, InvalidValue, NotFound, Unauthenticated
from users_server.services.settings import TokenSettings
from users_server.services.token_keys import LoadedKey, load_keys

EMIT_SCOPE = "events:emit"
"""Lets the holder emit user events; see users-socket-api.md, Events."""

LEEWAY_SECONDS = 5
"""How far the clocks of two machines may be apart."""

MAX_TOKEN_LENGTH = 8192

EXPIRED = "The token has expired"
INVALID = "The token is not valid"
NOT_CONFIGURED = "Tokens are not configured: no key of tokens.keys can sign"

_OPTIONS: jwt.types.Options = {
    "require": ["exp", "sub", "iss", "aud"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a verified token says. Times are seconds since 1970; ``issued_at`` is what another issuer may leave out."""

    subject: str
    scopes: frozenset[str]
    expires_at: float
    session_id: str | None
    issued_at: float | None = None


class TokenService:
    """
    Issues and verifies tokens with the keys of the configuration.

    Raises:
        ConfigError: For key material that cannot be used, or an empty issuer or audience.
    """

    def __init__(self, settings: TokenSettings, clock: Clock) -> None:
        for name in ("issuer", "audience"):
            if not getattr(settings, name):
                raise ConfigError(f"tokens.{name}", "a name that is not empty", '""')
        self._settings = settings
        self._clock = clock
        self._keys: Mapping[str, LoadedKey] = load_keys(settings.keys)

    def issue(
        self,
        subject: str,
        *,
        scopes: Iterable[str] = (),
        lifetime_seconds: int | None = None,
        session_id: str | None = None,
        key_id: str | None = None,
    ) -> str:
        """
        A new token for ``subject``, signed by the key ``key_id``, or by the first one that can sign.

        Args:
            lifetime_seconds: By default the configured one.
            session_id: The login that the token shall end with.

        Raises:
            NotFound: If there is no such key, or it can only verify.
            InvalidValue: If the subject is empty, a scope is not one word, or the lifetime is not positive.
        """
        key = self._signing_key(key_id)
        scope = _join_scopes(scopes)
        lifetime = self._settings.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
        if not subject:
            raise InvalidValue("The subject of a token cannot be empty")
        if lifetime <= 0:
            raise InvalidValue("The lifetime of a token must be positive")
        now = self._clock.now_ms() // 1000
        claims: dict[str, JSON] = {
            "sub": subject,
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_hex(16),
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
        }
        if scope:
            claims["scope"] = scope
        if session_id is not None:
            claims["sid"] = session_id
        return jwt.encode(claims, key.signing, algorithm=key.algorithm, headers={"kid": key.kid})

    def verify(self, token: str) -> TokenClaims:
        """
        The claims of ``token``, if all of it is in order: signature, issuer, audience and times.

        A token without ``kid`` is tried only if exactly one key is configured.

        Raises:
            Unauthenticated: Otherwise.
        """
        claims = self._verified_claims(token)
        expires_at = numeric_date(claims["exp"])
        now = self._clock.now_ms() / 1000
        if expires_at is None:
            raise Unauthenticated(INVALID)
        if expires_at <= now - LEEWAY_SECONDS:
            raise Unauthenticated(EXPIRED)
        for name in ("nbf", "iat"):
            if name in claims:
                starts_at = numeric_date(claims[name])
                if starts_at is None or starts_at > now + LEEWAY_SECONDS:
                    raise Unauthenticated(INVALID)
        scope, session_id = claims.get("scope", ""), claims.get("sid")
        if not isinstance(scope, str) or not isinstance(session_id, str | None) or not claims["sub"]:
            raise Unauthenticated(INVALID)
        return TokenClaims(
            claims["sub"], frozenset(scope.split()), expires_at, session_id, numeric_date(claims.get("iat"))
        )

    def _verified_claims(self, token: str) -> dict[str, JSON]:
        """The claims after PyJWT's checks: signature, required claims, issuer, audience, the type of ``sub``."""
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise Unauthenticated(INVALID)
        try:
            key = self._verifying_key(jwt.get_unverified_header(token))
            claims: dict[str, JSON] = jwt.decode(
                token,
                key.verifying,
                algorithms=[key.algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthenticated(INVALID) from error
        return claims

    def _verifying_key(self, header: Mapping[str, JSON]) -> LoadedKey:
        kid = header.get("kid")
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unauthenticated(INVALID)
        return key

    def _signing_key(self, key_id: str | None) -> LoadedKey:
        if key_id is None:
            key = next((key for key in self._keys.values() if key.can_sign), None)
        else:
            key = self._keys.get(key_id)
        if key is None or not key.can_sign:
            raise NotFound(
                NOT_CONFIGURED if key_id is None else f"Tokens are not configured: no key '{key_id}' can sign"
            )
        return key


def _join_scopes(scopes: Iterable[str]) -> str:
    words = sorted(set(scopes))
    if any(len(word.split()) != 1 or word != word.strip() for word in words):
        raise InvalidValue("A scope must be one word")
    return " ".join(words)


def numeric_date(value: JSON) -> float | None:
    """A NumericDate (RFC 7519): a finite number of seconds. ``True`` is a number for Python only."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
