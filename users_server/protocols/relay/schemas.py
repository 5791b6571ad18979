"""The shapes of the relay's messages (relay.md), without ``type``, which the table owns."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from users_server.protocols.relay.errors import ERROR_CODES
from users_server.schemas.fields import Input, Output, StrictBoolean

POSITION = {
    "description": "Where the channel's history is with this message, as EPOCH:OFFSET; only with recover=1, and in a "
    "channel with history"
}
LARGEST_ID = 2**53 - 1
"""A whole number that JavaScript holds exactly."""


def is_user_id(value: Any) -> bool:
    """A whole number that every client can hold, and not 0, which is the system's."""
    return type(value) is int and value != 0 and -LARGEST_ID <= value <= LARGEST_ID


class WholeNumber(fields.Integer):
    """A JSON number without a fraction, and nothing that can merely be read as one, such as ``"1"`` and ``true``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is not int or not -LARGEST_ID <= value <= LARGEST_ID:
            raise self.make_error("invalid", input=value)
        return value


class UserId(WholeNumber):
    """The id of a user: see :func:`is_user_id`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not is_user_id(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class ChatData(Input):
    """``data`` of kind chat. ``target_user_id`` narrows the recipients, who do not get it."""

    message = fields.String(required=True)
    name = fields.String(required=True)
    target_user_id = UserId()


class TweetUser(Input):
    id = WholeNumber(required=True)
    name = fields.String(required=True)


class Tweet(Input):
    id = WholeNumber(required=True)
    content = fields.String(required=True)
    created_at = fields.String(required=True)
    user = fields.Nested(TweetUser, required=True)


class TweetData(Input):
    """``data`` of kind tweet."""

    tweet = fields.Nested(Tweet, required=True)


class ProgressInfo(Input):
    """``detail`` depends on ``type``: see :data:`DETAILS`."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    detail = fields.Dict(keys=fields.String(), required=True)


class ProgressData(Input):
    """``data`` of kind progress."""

    info = fields.Nested(ProgressInfo, required=True)


class SampleJobProgress(Input):
    cursor = WholeNumber(required=True)
    total = WholeNumber(required=True)


DETAILS = {"sample_job_progress": SampleJobProgress}
"""``info.type`` to the shape of ``info.detail``; that of any other type is any object."""


class SendInput(Input):
    """What a client sends; it has no ``type``."""

    data = fields.Dict(keys=fields.String(), required=True)


class RelayQuery(Input):
    """The query of the handshake."""

    token = fields.String(required=True, metadata={"description": "Who connects, and to which channel: a JWT"})
    recover = fields.String(metadata={"description": "1 to be told positions, and of what was lost"})
    position = fields.String(
        metadata={"description": "With recover=1: the newest position of the connection before, as EPOCH:OFFSET"}
    )


class NothingInput(Input):
    """Only the server sends this; the shape is there so that the table is whole."""


class User(Output):
    id = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            "description": "The claim id of the user's token; 0 for the system. Text, or null, for who publishes over "
            "another protocol and has no whole number for an id",
            "anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}],
        },
    )
    name = fields.String(required=True)


class Refusal(Output):
    code = fields.String(
        required=True, metadata={"description": "A stable slug", "enum": sorted({*ERROR_CODES.values()})}
    )
    message = fields.String(required=True, metadata={"description": "The same for people"})
    errors = fields.Dict(
        keys=fields.String(), values=fields.Raw(), metadata={"description": "Field to messages, for validation_failed"}
    )


class SendedOutput(Output):
    ok = StrictBoolean(required=True, metadata={"description": "Whether the message was published"})
    error = fields.Nested(Refusal, metadata={"description": "Why it was not"})


class MessageOutput(Output):
    sender = fields.Nested(User, required=True)
    data = fields.Dict(keys=fields.String(), required=True)
    position = fields.String(metadata=POSITION)


class ConnectedOutput(Output):
    users = fields.List(fields.Nested(User), required=True, metadata={"description": "Each once, oneself included"})


class UserData(Output):
    user = fields.Nested(User, required=True)


class PresenceOutput(Output):
    sender = fields.Nested(User, required=True)
    data = fields.Nested(UserData, required=True)


class SubscribedOutput(Output):
    position = fields.String(required=True, allow_none=True, metadata=POSITION)
    recovered = StrictBoolean(
        required=True, metadata={"description": "Whether everything after the position that was asked for follows"}
    )


class GapOutput(Output):
    position = fields.String(required=True, metadata=POSITION)
