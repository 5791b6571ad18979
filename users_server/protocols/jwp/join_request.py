"""What a client asks for when it joins a channel: the payload of ``phx_join``, checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from users_server.core.messages import JSON, StreamPosition
from users_server.errors import InvalidPayload
from users_server.protocols.jwp.encoder import read_position
from users_server.protocols.jwp.errors import InvalidLastMessageId
from users_server.schemas.json_text import decode_object


@dataclass(frozen=True, slots=True)
class Options:
    """What the channel's signature allows the client, and asks of the server."""

    presence_track: bool = False
    presence_diffs: bool = False
    notify_joins: bool = False
    notify_leaves: bool = False


OPTIONS = frozenset(Options.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What stands in ``data``: how the client is shown to others, and the options."""

    meta: dict[str, JSON] = field(default_factory=dict)
    options: Options = Options()


def signature_of(payload: JSON | bytes) -> tuple[str, str | None]:
    """``auth`` and ``data``, of which nothing is believed yet. Raises :class:`InvalidPayload`."""
    if type(payload) is not dict:
        raise InvalidPayload({"payload": ["Not an object."]})
    auth, data = payload.get("auth"), payload.get("data")
    if type(auth) is not str:
        raise InvalidPayload({"auth": ["Not text."]})
    if data is not None and type(data) is not str:
        raise InvalidPayload({"data": ["Not text."]})
    return auth, data


def position_of(payload: JSON) -> StreamPosition | None:
    """Where the client wants to go on, if it does. Raises :class:`InvalidLastMessageId`."""
    text = payload.get("last_message_id")
    if text is None or text == "":
        return None
    position = read_position(text) if type(text) is str else None
    if position is None:
        raise InvalidLastMessageId
    return position


def read_data(data: str | None) -> Wishes:
    """
    The JSON text of ``data``.

    Raises:
        InvalidPayload, MalformedFrame: If it is no object, or has options that there are not, or of the wrong type.
    """
    if data is None:
        return Wishes()
    value = decode_object(data.encode())
    meta, options = value.get("meta"), value.get("options", {})
    if meta is not None and type(meta) is not dict:
        raise InvalidPayload({"meta": ["Not an object."]})
    if type(options) is not dict or not options.keys() <= OPTIONS:
        raise InvalidPayload({"options": ["Not an object of the known options."]})
    if any(type(option) is not bool for option in options.values()):
        raise InvalidPayload({"options": ["Not a boolean."]})
    return Wishes(meta or {}, Options(**options))
