"""Tokens of the relay, for the tests that speak to it."""

from __future__ import annotations

import time
from typing import Any

import jwt

SECRET = "a secret of the relay that is long enough for everybody"
ANN = {"id": 7, "name": "Ann"}
SYSTEM = {"id": 0, "name": "System"}
SENDED = {"type": "sended", "ok": True}
INVALID = "The token is not valid"


def make_token(
    user_id: int = 7, name: str = "Ann", channel: str = "plain", *, secret: str = SECRET, seconds: float = 600
) -> str:
    now = time.time()
    claims: dict[str, Any] = {"id": user_id, "name": name, "channel": channel, "iat": int(now), "exp": now + seconds}
    return jwt.encode(claims, secret, algorithm="HS256")


def path(*arguments: Any, at: str = "/relay", query: str = "", **options: Any) -> str:
    """Path and query of a handshake with a token for these claims."""
    return f"{at}?token={make_token(*arguments, **options)}{query}"
