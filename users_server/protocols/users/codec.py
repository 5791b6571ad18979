"""Events to frames and frames to events: pure functions over the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from users_server.core.messages import JSON, Publication
from users_server.errors import InvalidPayload, UnknownEvent, UsersServerError
from users_server.protocols.base import Event, Framing, PublicationsOnly
from users_server.protocols.users.errors import ERROR_CODES
from users_server.protocols.users.events import BY_TYPE
from users_server.schemas.checker import Loader, compile_loader
from users_server.schemas.json_text import encode

_READERS = {event.type: (event, compile_loader(event.input)) for event in BY_TYPE.values()}
_TYPES = {event.name: event.type for event in BY_TYPE.values()}


def find_event(event_type: JSON) -> tuple[Event, Loader]:
    """The table's line for a value of ``eventType``, and what validates its fields. Raises :class:`UnknownEvent`."""
    reader = _READERS.get(event_type) if type(event_type) is int else None
    if reader is None:
        raise UnknownEvent("eventType is missing" if event_type is None else "eventType is not a known number")
    return reader


def encode_event(name: str, data: Mapping[str, JSON]) -> bytes:
    """``{"eventType":10,"message":"…"}`` for ``("Echo", {"message": "…"})``."""
    return encode({"eventType": _TYPES[name], **data})


def error_data(error: UsersServerError, received: JSON) -> dict[str, JSON]:
    """The fields of the Error event for ``error``; ``received`` is what stood in ``eventType``, if anything."""
    data: dict[str, JSON] = {"code": ERROR_CODES.get(error.reason, "internal"), "message": error.message}
    if isinstance(error, InvalidPayload):
        data["errors"] = _with_text_keys(error.messages)
    if isinstance(received, (int, float, str, bool)):
        data["received"] = received if not isinstance(received, str) else received[:64]
    return data


def _with_text_keys(value: Any) -> JSON:
    """marshmallow's messages with the indices of lists as text, which JSON needs."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return value


class PublicationEncoder(PublicationsOnly):
    """
    :class:`users_server.core.interfaces.Encoder` of this protocol over one framing.

    The default app's channels may hold what other protocols have published; what is no event of the table, or no
    object, has no form here.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing

    def encode(self, publication: Publication) -> bytes | None:
        if publication.event not in _TYPES or type(publication.data) is not dict:
            return None
        return self._framing.text(encode_event(publication.event, publication.data))
