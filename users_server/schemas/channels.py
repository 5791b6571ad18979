"""Channels of an app over HTTP: publishing, history and who is there."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from users_server.core.messages import JSON, HistoryPage, Member, StreamPosition
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input, Output
from users_server.services.publishing import ChannelEvent, ChannelState, Published

MAX_CHANNELS = 100
MAX_HISTORY = 1000

POSITION_PATTERN = r"\A[0-9A-Za-z_-]{1,64}:[0-9]{1,18}\Z"


class PublishInput(Input):
    """One event for one channel, or for up to a hundred."""

    exactly_one = ("channel", "channels")

    channel = fields.String(metadata={"description": "Either this or `channels`"})
    channels = fields.List(fields.String(), validate=validate.Length(1, MAX_CHANNELS))
    event = fields.String(required=True, metadata={"description": "The event's name, 1 to 200 printable characters"})
    data = fields.Raw(required=True, allow_none=True, metadata={"description": "Any JSON value"})
    toUser = fields.String(
        load_default=None, metadata={"description": "If set, only this user's connections get it (his id in the app)"}
    )
    exceptConnection = fields.String(
        load_default=None, metadata={"description": "If set, the connection with this id does not get it"}
    )

    @validates_schema
    def has_one_kind_of_address(self, data: dict[str, Any], **_: Any) -> None:
        if sum(name in data for name in self.exactly_one) != 1:
            raise ValidationError("Either channel or channels is needed", "channel")


class HistoryQuery(Input):
    since = fields.String(
        load_default=None,
        validate=validate.Regexp(POSITION_PATTERN, error="Must be EPOCH:OFFSET, as a position has them."),
        metadata={"description": "`EPOCH:OFFSET`: what came after it, oldest first; without it the newest"},
    )
    limit = fields.Integer(
        load_default=100,
        validate=validate.Range(0, MAX_HISTORY),
        metadata={"description": "How many are answered at most; 0 for the position alone"},
    )


class PositionEntry(Output):
    """A place in a channel's history. Offsets grow by one; those of two epochs do not compare."""

    epoch = fields.String(required=True)
    offset = fields.Integer(required=True)


class PublishedEntry(Output):
    channel = fields.String(required=True)
    position = fields.Nested(
        PositionEntry, required=True, allow_none=True, metadata={"description": "null in a channel without history"}
    )


class PublishAnswer(MessageAnswer):
    data = fields.List(
        fields.Nested(PublishedEntry), required=True, metadata={"description": "In the order of events and channels"}
    )


class HistoryRuleEntry(Output):
    size = fields.Integer(required=True)
    seconds = fields.Float(required=True)


class ChannelStateEntry(Output):
    channel = fields.String(required=True)
    history = fields.Nested(
        HistoryRuleEntry, required=True, allow_none=True, metadata={"description": "null if nothing is kept"}
    )
    presence = fields.Boolean(required=True, metadata={"description": "Whether it is kept who is there"})
    publishers = fields.String(
        required=True, validate=validate.OneOf(["clients", "server"]), metadata={"description": "Who may publish"}
    )
    subscribers = fields.Integer(required=True, metadata={"description": "Connections to this node"})
    position = fields.Nested(
        PositionEntry, required=True, allow_none=True, metadata={"description": "Of the newest; null without history"}
    )
    members = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Connections on all nodes; null without presence"}
    )
    users = fields.Integer(
        required=True, allow_none=True, metadata={"description": "How many users these are; null without presence"}
    )


class ChannelAnswer(MessageAnswer):
    data = fields.Nested(ChannelStateEntry, required=True)


class SenderEntry(Output):
    connectionId = fields.String(required=True)
    userId = fields.String(required=True, allow_none=True)
    username = fields.String(required=True, allow_none=True)


class PublicationEntry(Output):
    offset = fields.Integer(required=True)
    event = fields.String(required=True)
    data = fields.Raw(required=True, allow_none=True)
    sender = fields.Nested(
        SenderEntry, required=True, allow_none=True, metadata={"description": "null for one of a server"}
    )
    toUser = fields.String(required=True, allow_none=True)
    exceptConnection = fields.String(required=True, allow_none=True)


class HistoryAnswer(MessageAnswer):
    data = fields.List(fields.Nested(PublicationEntry), required=True, metadata={"description": "Oldest first"})
    position = fields.Nested(
        PositionEntry, required=True, allow_none=True, metadata={"description": "The newest; null without history"}
    )
    complete = fields.Boolean(
        required=True, metadata={"description": "False: something between `since` and now is lost; `data` is empty"}
    )


class MemberEntry(Output):
    connectionId = fields.String(required=True)
    userId = fields.String(required=True)
    info = fields.Raw(required=True, allow_none=True)


class MembersAnswer(MessageAnswer):
    data = fields.List(fields.Nested(MemberEntry), required=True, metadata={"description": "In order of their coming"})
    count = fields.Integer(required=True)


def channel_event(loaded: dict[str, Any]) -> ChannelEvent:
    """What :class:`PublishInput` accepted."""
    channels = loaded["channels"] if "channels" in loaded else [loaded["channel"]]
    return ChannelEvent(channels, loaded["event"], loaded["data"], loaded["toUser"], loaded["exceptConnection"])


def parse_position(text: str | None) -> StreamPosition | None:
    """What :class:`HistoryQuery` accepted as ``since``."""
    if text is None:
        return None
    epoch, _, offset = text.rpartition(":")
    return StreamPosition(int(offset), epoch)


def position_entry(position: StreamPosition | None) -> dict[str, JSON] | None:
    """:obj:`None` also for the position of a channel that never had one."""
    if position is None or not position.epoch:
        return None
    return {"epoch": position.epoch, "offset": position.offset}


def published_entry(published: Published) -> dict[str, JSON]:
    return {"channel": published.channel, "position": position_entry(published.position)}


def channel_entry(channel: str, state: ChannelState) -> dict[str, JSON]:
    rule = state.rule
    return {
        "channel": channel,
        "history": None if rule.history is None else {"size": rule.history.size, "seconds": rule.history.seconds},
        "presence": rule.presence,
        "publishers": rule.publishers.value,
        "subscribers": state.subscribers,
        "position": position_entry(state.position),
        "members": state.members,
        "users": state.users,
    }


def history_fields(page: HistoryPage) -> dict[str, JSON]:
    return {
        "data": [
            {
                "offset": 0 if publication.position is None else publication.position.offset,
                "event": publication.event,
                "data": publication.data,
                "sender": None
                if publication.by is None
                else {
                    "connectionId": publication.by.connection_id,
                    "userId": publication.by.user_id,
                    "username": publication.by.username,
                },
                "toUser": publication.to_user,
                "exceptConnection": publication.except_connection,
            }
            for publication in page.publications
        ],
        "position": position_entry(page.top),
        "complete": page.is_complete,
    }


def member_entry(member: Member) -> dict[str, JSON]:
    return {"connectionId": member.connection_id, "userId": member.user_id, "info": member.info}
