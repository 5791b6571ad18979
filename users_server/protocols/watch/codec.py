"""What happens in an app to messages: pure functions."""

from __future__ import annotations

import re
from typing import Any

from users_server.core.messages import (
    JSON,
    ClientInfo,
    Gap,
    Member,
    PresenceChange,
    Publication,
    StreamPosition,
)
from users_server.core.subscriptions import Subscribed
from users_server.errors import ProtocolViolation
from users_server.protocols.base import Framing
from users_server.protocols.watch.events import GAP, PRESENCE, PUBLICATION, SUBSCRIBED, Message
from users_server.schemas.json_text import encode

_POSITION = re.compile(r"([A-Za-z0-9._-]{1,64}):(0|[1-9][0-9]{0,17})\Z", re.ASCII)


def position_data(position: StreamPosition | None) -> dict[str, JSON] | None:
    return None if position is None else {"epoch": position.epoch, "offset": position.offset}


def read_position(text: str) -> StreamPosition:
    """Raises :class:`ProtocolViolation` for what is no position."""
    match = _POSITION.match(text)
    if match is None:
        raise ProtocolViolation("since is a position as EPOCH:OFFSET")
    return StreamPosition(int(match[2]), match[1])


def encode_message(message: Message, data: dict[str, JSON]) -> bytes:
    """``{"type":"gap","channel":"news",…}``."""
    return encode({"type": message.type, **data})


def subscribed_data(channel: str | None, subscribed: Subscribed | None = None) -> dict[str, JSON]:
    """The fields of ``subscribed``; without ``subscribed``, of all channels of the app."""
    if subscribed is None:
        return {"channel": channel, "position": None, "recovered": None, "members": []}
    return {
        "channel": channel,
        "position": position_data(subscribed.position),
        "recovered": subscribed.is_recovered,
        "members": [member_data(member) for member in subscribed.members],
    }


def member_data(member: Member) -> dict[str, JSON]:
    return {"connection": member.connection_id, "user": member.user_id, "info": member.info}


def publication_data(publication: Publication) -> dict[str, JSON]:
    data: dict[str, Any] = {
        "channel": publication.channel,
        "event": publication.event,
        "data": publication.data,
        "position": position_data(publication.position),
    }
    if publication.by is not None:
        data["by"] = _publisher(publication.by)
    return data


def _publisher(client: ClientInfo) -> dict[str, JSON]:
    fields = {"connection": client.connection_id, "user": client.user_id, "username": client.username}
    return {name: value for name, value in fields.items() if value is not None}


def presence_data(change: PresenceChange) -> dict[str, JSON]:
    return {
        "channel": change.channel,
        "change": "join" if change.is_join else "leave",
        **member_data(change.member),
        "isOfUser": change.is_of_user,
    }


class WatchEncoder:
    """:class:`users_server.core.interfaces.Encoder` of this protocol over one framing."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing

    def encode(self, publication: Publication) -> bytes | None:
        return self._framing.text(encode_message(PUBLICATION, publication_data(publication)))

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        return self._framing.text(encode_message(PRESENCE, presence_data(change)))

    def encode_gap(self, gap: Gap) -> bytes | None:
        data = {"channel": gap.channel, "position": position_data(gap.top)}
        return self._framing.text(encode_message(GAP, data))

    def encode_subscribed(self, channel: str | None, subscribed: Subscribed | None = None) -> bytes:
        """The first message, and what was recovered behind it."""
        first = self._framing.text(encode_message(SUBSCRIBED, subscribed_data(channel, subscribed)))
        recovered = () if subscribed is None else subscribed.recovered
        return first + b"".join(
            self._framing.text(encode_message(PUBLICATION, publication_data(publication))) for publication in recovered
        )
