"""Refusals of the HTTP API, in the form that clients of the JeuWeb Push Server know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from users_server.errors import Conflict, InvalidPayload, UsersServerError
from users_server.protocols.http import HTTPAnswer
from users_server.protocols.jwp.http_schemas import MISSING
from users_server.schemas.json_text import encode
from users_server.services.idempotency import RequestChanged

NOT_AUTHENTICATED = "Not authenticated"
CHALLENGE = 'Basic realm="jwp", charset="UTF-8"'
MADE_SOON_SECONDS = 1


def refuse(status: int, error: UsersServerError) -> HTTPAnswer:
    """The answer to a request that failed with ``error``; ``status`` is the one that is proper elsewhere."""
    headers: dict[str, str] = {}
    message = error.message
    if status == 422 and not isinstance(error, RequestChanged):
        status = 400
    if isinstance(error, InvalidPayload):
        message = _first_of(error.messages)
    if isinstance(error, Conflict):
        headers["Retry-After"] = str(MADE_SOON_SECONDS)
    if status == 401:
        message = NOT_AUTHENTICATED
        headers["WWW-Authenticate"] = CHALLENGE
    content = encode({"status": "error", "error": {"code": status, "message": message}})
    return HTTPAnswer(status, content, headers)


def _first_of(messages: Mapping[Any, Any]) -> str:
    """What is missing goes before what is wrong; a field that is wrong is named."""
    told = list(_leaves(messages, ()))
    if any(text == MISSING for _, text in told):
        return MISSING
    where, text = told[0]
    return f"{where}: {text}"


def _leaves(messages: Any, path: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each message of marshmallow's with the name of its field, as ``channels.0``."""
    if isinstance(messages, Mapping):
        return [leaf for key, inner in messages.items() for leaf in _leaves(inner, (*path, str(key)))]
    texts = messages if isinstance(messages, list) else [messages]
    return [(".".join(path), str(text)) for text in texts]
