"""The shapes of the messages (docs/watch.md), without ``type``, which the table owns."""

from __future__ import annotations

from marshmallow import fields

from users_server.schemas.fields import Input, Output

POSITION = {"description": "Where it stands in the channel's history; null in a channel without history"}
CHANNEL = {"description": "The name of the channel"}


class WatchQuery(Input):
    """The query of the handshake; it has nothing else."""

    app = fields.String(metadata={"description": "The id of the app; `default` by default"})
    channel = fields.String(metadata={"description": "The channel; without it all channels of the app"})
    since = fields.String(
        metadata={"description": "A position of the channel, as EPOCH:OFFSET: begin with what came after it"}
    )
    token = fields.String(metadata={"description": "An admin's JWT"})


class Publisher(Output):
    """The client that published."""

    connection = fields.String(required=True, metadata={"description": "The id of its connection"})
    user = fields.String(metadata={"description": "The user's id within the app, if he is known"})
    username = fields.String(metadata={"description": "The user's name, if he has one"})


class PositionOutput(Output):
    """Offsets of one epoch grow by one; positions of two epochs do not compare."""

    epoch = fields.String(required=True)
    offset = fields.Integer(required=True)


class MemberOutput(Output):
    """One connection that is listed in a channel's presence."""

    connection = fields.String(required=True, metadata={"description": "The id of the connection"})
    user = fields.String(required=True, metadata={"description": "Whose it is: an id within the app"})
    info = fields.Raw(required=True, allow_none=True, metadata={"description": "What the others are told about him"})


class SubscribedOutput(Output):
    channel = fields.String(
        required=True, allow_none=True, metadata={"description": "The channel; null for all channels of the app"}
    )
    position = fields.Nested(PositionOutput, required=True, allow_none=True, metadata=POSITION)
    recovered = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether everything since the position asked for follows; null if none was asked for"},
    )
    members = fields.List(
        fields.Nested(MemberOutput),
        required=True,
        metadata={"description": "Who is there, in the order of coming; empty in a channel without presence"},
    )


class PublicationOutput(Output):
    channel = fields.String(required=True, metadata=CHANNEL)
    event = fields.String(required=True, metadata={"description": "The event's name"})
    data = fields.Raw(required=True, allow_none=True, metadata={"description": "What was published"})
    position = fields.Nested(PositionOutput, required=True, allow_none=True, metadata=POSITION)
    by = fields.Nested(Publisher, metadata={"description": "The client; not there for the server and services"})


class PresenceOutput(MemberOutput):
    channel = fields.String(required=True, metadata=CHANNEL)
    change = fields.String(required=True, metadata={"description": "What happened", "enum": ["join", "leave"]})
    is_of_user = fields.Boolean(
        required=True,
        data_key="isOfUser",
        metadata={"description": "Whether it is the user's first connection, or his last"},
    )


class GapOutput(Output):
    channel = fields.String(required=True, metadata=CHANNEL)
    position = fields.Nested(
        PositionOutput, required=True, metadata={"description": "Everything that comes after it follows"}
    )
