"""How what happens in a channel looks to clients that share a framing and a version."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from users_server.core.messages import JSON, Gap, Member, PresenceChange, Publication, StreamPosition
from users_server.core.subscriptions import Subscribed
from users_server.protocols.base import Framing
from users_server.protocols.jwp.codec import ClientMessage, Ref, Serializer
from users_server.protocols.jwp.errors import UNMATCHED_TOPIC
from users_server.protocols.jwp.events import CLOSE, PRESENCE_DIFF, PRESENCE_STATE, REPLY, SYSTEM, is_reserved
from users_server.protocols.jwp.presence import diff_of, presence_of

BINARY_KEY = "$binary"
"""A payload that has this key alone, with bytes in base64, stands for the bytes."""

GAP_MESSAGE = "Messages were lost and cannot be had any more; those after last_message_id follow"

_POSITION = re.compile(r"([!-~]{1,200}):(0|[1-9][0-9]{0,17})\Z", re.ASCII)


def topic_of(app: str, channel: str) -> str:
    return f"jwp:{app}:{channel}"


def position_text(position: StreamPosition) -> str:
    """``EPOCH:OFFSET``."""
    return f"{position.epoch}:{position.offset}"


def read_position(text: str) -> StreamPosition | None:
    """:obj:`None` for what is no position."""
    match = _POSITION.match(text)
    return None if match is None else StreamPosition(int(match[2]), match[1])


def bytes_of(payload: JSON) -> bytes | None:
    """What ``{"$binary": "<base64>"}`` stands for; :obj:`None` for every other payload."""
    if type(payload) is not dict or len(payload) != 1 or type(payload.get(BINARY_KEY)) is not str:
        return None
    try:
        return binascii.a2b_base64(payload[BINARY_KEY].encode(), strict_mode=True)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Greeting:
    """
    What a client is told when it has joined.

    Attributes:
        since: The position that it gave, if it gave one.
        listed_as: As what it is listed in the presence, if it is.
        problem: Why it is not listed although it was to be; empty if nothing is wrong.
    """

    message: ClientMessage
    since: StreamPosition | None
    hears_presence: bool
    listed_as: Member | None
    problem: str


class JWPEncoder:
    """
    :class:`users_server.core.interfaces.Encoder` of this protocol over one framing, for one version.

    A publication whose event is one of Phoenix' own has no form here, so that nobody can speak for the server.
    """

    def __init__(self, framing: Framing, serializer: Serializer) -> None:
        self._framing = framing
        self.serializer = serializer

    def encode(self, publication: Publication) -> bytes | None:
        event, data, position = publication.event, publication.data, publication.position
        if is_reserved(event):
            return None
        topic = topic_of(publication.app, publication.channel)
        content = bytes_of(data)
        if content is not None:
            frame = self.serializer.encode_binary(topic, event, content)
            if frame is not None:
                return self._framing.binary(frame)
        ref = None if position is None else position_text(position)
        return self._text(None, ref, topic, event, data)

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        diff = diff_of(change.member, is_join=change.is_join)
        if diff is None:
            return None
        return self._text(None, None, topic_of(change.app, change.channel), PRESENCE_DIFF.type, diff)

    def encode_gap(self, gap: Gap) -> bytes | None:
        told = {"type": "gap", "message": GAP_MESSAGE, "last_message_id": position_text(gap.top)}
        return self._text(None, None, topic_of(gap.app, gap.channel), SYSTEM.type, told)

    def reply(self, message: ClientMessage, status: str, response: Mapping[str, JSON]) -> bytes:
        """The answer to ``message``: nothing, where it has no ref."""
        return self._reply(message.join_ref, message, status, response)

    def unmatched(self, message: ClientMessage) -> bytes:
        """The answer to a message in a topic that is not joined."""
        return self._reply(None, message, "error", {"reason": UNMATCHED_TOPIC})

    def closed(self, topic: str, join_ref: Ref) -> bytes:
        """The channel that was joined with ``join_ref`` is over."""
        return self._text(join_ref, join_ref, topic, CLOSE.type, {})

    def greet(self, greeting: Greeting, subscribed: Subscribed) -> bytes:
        """
        The reply to a join, what was missed, who is there, and what went wrong.

        The reply tells the position that the client has now, not the one that it has after what follows: if the line
        is cut in between, it comes back from there. Like in Phoenix, who is listed is not in its own state but in
        the diff behind it.
        """
        message = greeting.message
        position = greeting.since if subscribed.is_recovered else subscribed.position
        response: dict[str, JSON] = {} if position is None else {"last_message_id": position_text(position)}
        frames = [self.reply(message, "ok", response)]
        frames += [frame for missed in subscribed.recovered if (frame := self.encode(missed)) is not None]
        if greeting.hears_presence:
            frames += self._presence(greeting, subscribed)
        if greeting.problem:
            told = {"type": "error", "message": greeting.problem}
            frames.append(self._text(message.join_ref, None, message.topic, SYSTEM.type, told))
        return b"".join(frames)

    def _presence(self, greeting: Greeting, subscribed: Subscribed) -> list[bytes]:
        message, own = greeting.message, greeting.listed_as
        others = [member for member in subscribed.members if own is None or member.connection_id != own.connection_id]
        frames = [self._text(message.join_ref, None, message.topic, PRESENCE_STATE.type, presence_of(others))]
        diff = None if own is None else diff_of(own, is_join=True)
        if diff is not None:
            frames.append(self._text(None, None, message.topic, PRESENCE_DIFF.type, diff))
        return frames

    def _reply(self, join_ref: Ref, message: ClientMessage, status: str, response: Mapping[str, JSON]) -> bytes:
        if message.ref is None:
            return b""
        return self._text(join_ref, message.ref, message.topic, REPLY.type, {"status": status, "response": response})

    def _text(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: JSON) -> bytes:
        return self._framing.text(self.serializer.encode(join_ref, ref, topic, event, payload))
