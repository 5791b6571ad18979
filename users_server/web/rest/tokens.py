"""Tokens that a logged in user makes for himself, mostly for his sockets."""

from __future__ import annotations

from collections.abc import Collection

from users_server.core.messages import Identity
from users_server.errors import InvalidPayload, PermissionDenied
from users_server.services.tokens import EMIT_SCOPE
from users_server.web.route import Answer, Call


async def create_token(call: Call) -> Answer:
    by, tokens = call.identity, call.context.tokens
    scopes = set(call.body["scopes"])
    check_scopes(by, scopes)
    lifetime = choose_lifetime(
        call.body["lifetimeSeconds"],
        call.context.token_settings.lifetime_seconds,
        by,
        call.context.clock.now_ms() // 1000,
    )
    token = tokens.issue(by.username or "", scopes=scopes, lifetime_seconds=lifetime, session_id=by.session_id)
    return Answer({"token": token, "expires": int(tokens.verify(token).expires_at)})


def check_scopes(by: Identity, scopes: Collection[str]) -> None:
    """
    Nobody becomes a trusted service by his own word.

    Raises:
        PermissionDenied: If an ordinary user asks for ``events:emit``.
    """
    if EMIT_SCOPE in scopes and not by.is_admin:
        raise PermissionDenied


def choose_lifetime(asked: int | None, longest: int, by: Identity, now: int) -> int:
    """
    How many seconds the new token lives: what was asked for, up to ``longest``.

    A token that is made with a token ends no later than that one, so that one that was stolen cannot be renewed.

    Raises:
        InvalidPayload: If more than ``longest`` was asked for.
    """
    if asked is not None and asked > longest:
        raise InvalidPayload(
            {"lifetimeSeconds": [f"At most {longest} seconds are allowed"]}, "The lifetime is too long"
        )
    lifetime = asked or longest
    if by.expires_at is not None:
        lifetime = min(lifetime, max(1, int(by.expires_at) - now))
    return lifetime
