"""Messages to what clients send and get: pure functions over the table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from users_server.core.messages import JSON, ClientInfo, Gap, Member, PresenceChange, Publication, StreamPosition
from users_server.core.subscriptions import Subscribed
from users_server.errors import InvalidPayload, UsersServerError
from users_server.protocols.base import Framing
from users_server.protocols.relay.errors import ERROR_CODES
from users_server.protocols.relay.events import (
    CONNECT_OTHER,
    CONNECTED,
    DISCONNECT_OTHER,
    GAP,
    MESSAGE,
    OWN_TYPES,
    SENDED,
    SUBSCRIBED,
    Event,
)
from users_server.protocols.relay.kinds import public_id
from users_server.protocols.relay.schemas import SendInput
from users_server.schemas.checker import compile_loader
from users_server.schemas.json_text import decode_object, encode

SYSTEM_USER: Mapping[str, JSON] = {"id": 0, "name": "System"}
"""Who publishes from the server side (relay.md)."""

_POSITION = re.compile(r"([!-~]{1,200}):(0|[1-9][0-9]{0,17})\Z", re.ASCII)
_load = compile_loader(SendInput)


def decode_send(payload: bytes) -> dict[str, JSON]:
    """``data`` of what a client sent. Raises :class:`MalformedFrame` or :class:`InvalidPayload`."""
    message = decode_object(payload)
    data = message.get("data")
    # marshmallow has the last word on everything that is not plainly right
    return data if type(data) is dict else _load(message)["data"]


def encode_event(event: Event, fields: Mapping[str, JSON]) -> bytes:
    """``{"type":"sended","ok":true}`` for ``(SENDED, {"ok": True})``."""
    return encode({"type": event.type, **fields})


def encode_refusal(error: UsersServerError) -> bytes:
    """``{"type":"sended","ok":false,"error":{"code":"not_permitted","message":"…"}}``."""
    told: dict[str, JSON] = {"code": ERROR_CODES.get(error.reason, "internal"), "message": error.message}
    if isinstance(error, InvalidPayload):
        told["errors"] = _with_text_keys(error.messages)
    return encode_event(SENDED, {"ok": False, "error": told})


def _with_text_keys(value: Any) -> JSON:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return value


SENT = encode_event(SENDED, {"ok": True})


def position_text(position: StreamPosition | None) -> str | None:
    """``EPOCH:OFFSET``."""
    return None if position is None else f"{position.epoch}:{position.offset}"


def read_position(text: str) -> StreamPosition | None:
    """:obj:`None` for what is no position: then there is nothing that could be recovered."""
    match = _POSITION.match(text)
    return None if match is None else StreamPosition(int(match[2]), match[1])


def sender_of(publication: Publication) -> Mapping[str, JSON]:
    """Who published: the system, or a client with its id within the app."""
    by: ClientInfo | None = publication.by
    if by is None:
        return SYSTEM_USER
    return {"id": public_id(by.user_id), "name": by.username or ""}


def user_of(member: Member) -> dict[str, JSON]:
    """What others are told about a member; one of another protocol may have no name, and goes by his id."""
    name = member.info.get("name") if isinstance(member.info, dict) else None
    return {"id": public_id(member.user_id), "name": name if isinstance(name, str) else member.user_id}


def users_of(members: Iterable[Member]) -> list[dict[str, JSON]]:
    """Each user once, in the order in which they came."""
    users: dict[str, dict[str, JSON]] = {}
    for member in members:
        users.setdefault(member.user_id, user_of(member))
    return list(users.values())


class RelayEncoder:
    """
    :class:`users_server.core.interfaces.Encoder` of this protocol over one framing.

    A publication of another protocol, or of the server, has its event for a type. One whose event is a word of the
    relay itself has no form here, so that nobody can speak for the relay. Data that is no object is told as
    ``{"value": data}``, since clients expect an object.

    Args:
        tells_positions: For clients that recover; others never see a word that they do not know.
    """

    def __init__(self, framing: Framing, *, tells_positions: bool) -> None:
        self._framing = framing
        self._tells_positions = tells_positions

    def encode(self, publication: Publication) -> bytes | None:
        if publication.event in OWN_TYPES:
            return None
        data = publication.data
        message: dict[str, JSON] = {
            "type": publication.event,
            "sender": sender_of(publication),
            "data": data if type(data) is dict else {"value": data},
        }
        if self._tells_positions and publication.position is not None:
            message["position"] = position_text(publication.position)
        return self._framing.text(encode(message))

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        if not change.is_of_user:
            return None
        user = user_of(change.member)
        event = CONNECT_OTHER if change.is_join else DISCONNECT_OTHER
        return self._framing.text(encode_event(event, {"sender": user, "data": {"user": user}}))

    def encode_gap(self, gap: Gap) -> bytes | None:
        if not self._tells_positions:
            return None
        return self._framing.text(encode_event(GAP, {"position": position_text(gap.top)}))

    def encode_subscribed(
        self, subscribed: Subscribed, *, since: StreamPosition | None, announces_presence: bool
    ) -> bytes:
        """
        What a newcomer gets first: with positions ``subscribed``, then ``connected``, then what it had missed.

        The position of ``subscribed`` is the one that the client has, not the one that it will have after what follows:
        if the line is cut in between, it comes back from there.
        """
        frames = []
        if self._tells_positions:
            position = since if subscribed.is_recovered else subscribed.position
            fields = {"position": position_text(position), "recovered": subscribed.is_recovered is True}
            frames.append(self._framing.text(encode_event(SUBSCRIBED, fields)))
        if announces_presence:
            frames.append(self._framing.text(encode_event(CONNECTED, {"users": users_of(subscribed.members)})))
        frames += [frame for publication in subscribed.recovered if (frame := self.encode(publication)) is not None]
        return b"".join(frames)

    def frame(self, payload: bytes) -> bytes:
        """One whole text message."""
        return self._framing.text(payload)


MESSAGE_EVENT = MESSAGE.type
"""The event of a publication that a relay client, or the back end, sent."""
