"""The shapes of messages as objects, which is how V1 has them, without ``event``, which the table owns."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from users_server.schemas.fields import Input, Output

REF: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}
POSITION = (
    "In a channel with history: where that is with this message, as EPOCH:OFFSET; what to give as last_message_id "
    "when joining again. Else null"
)


def _topic() -> fields.String:
    return fields.String(required=True, metadata={"description": "jwp:APP:CHANNEL"})


def _check_ref(value: Any) -> None:
    if type(value) not in (str, int, float):
        raise ValidationError("Not text, a number or null.")


def _ref(description: str) -> fields.Raw:
    metadata = {"description": description, **REF}
    return fields.Raw(required=True, allow_none=True, validate=_check_ref, metadata=metadata)


def _word(word: str) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf([word]), metadata={"enum": [word]})


def _null() -> fields.Raw:
    return fields.Raw(required=True, metadata={"type": "null"})


class JWPQuery(Input):
    """The query of the handshake."""

    app_id = fields.String(required=True, metadata={"description": "The id of the app"})
    auth = fields.String(
        required=True,
        metadata={
            "description": "SOCKET_ID:EXPIRY:SIGNATURE. EXPIRY in seconds since 1970, at most 60 from now; SIGNATURE "
            "is the upper-case hex of HMAC-SHA256 of SOCKET_ID:EXPIRY with the app's secret"
        },
    )
    vsn = fields.String(metadata={"description": "1.0.0, which is the default, or 2.0.0"})


class JoinPayload(Input):
    auth = fields.String(
        required=True,
        metadata={
            "description": "Upper-case hex of HMAC-SHA256 of SOCKET_ID:CHANNEL, or SOCKET_ID:CHANNEL:DATA where there "
            "is data, with the app's secret"
        },
    )
    data = fields.String(
        allow_none=True,
        metadata={
            "description": "JSON text of an object: meta, an object, and options, an object of booleans with "
            "presence_track, presence_diffs, notify_joins and notify_leaves"
        },
    )
    last_message_id = fields.String(
        allow_none=True,
        metadata={"description": "Of the newest message that the client has: what it missed since then comes first"},
    )


class JoinInput(Input):
    event = _word("phx_join")
    topic = _topic()
    payload = fields.Nested(JoinPayload, required=True)
    ref = _ref("Of this message; the reply has it too. Text has 255 bytes at most")


class LeaveInput(Input):
    event = _word("phx_leave")
    topic = _topic()
    payload = fields.Dict(keys=fields.String(), required=True)
    ref = _ref("Of this message; the reply has it too. Text has 255 bytes at most")


class HeartbeatInput(Input):
    event = _word("heartbeat")
    topic = _word("phoenix")
    payload = fields.Dict(keys=fields.String(), required=True)
    ref = _ref("Of this message; the reply has it too. Text has 255 bytes at most")


class ReplyPayload(Output):
    status = fields.String(required=True, metadata={"enum": ["ok", "error"]})
    response = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "Of a join in a channel with history: last_message_id. Of an error: reason, and for most of "
            "them a message"
        },
    )


class ReplyOutput(Output):
    topic = fields.String(required=True, metadata={"description": "As the client's message had it"})
    payload = fields.Nested(ReplyPayload, required=True)
    ref = _ref("Of the message that is answered")


class CloseOutput(Output):
    topic = _topic()
    payload = fields.Dict(keys=fields.String(), required=True, metadata={"description": "Empty"})
    ref = _ref("The join_ref of the channel that is closed")


class Presence(Output):
    metas = fields.List(
        fields.Dict(keys=fields.String(), values=fields.Raw()),
        required=True,
        metadata={
            "description": "One for each connection: its meta and phx_ref, which tells it from others of the same user"
        },
    )


class PresenceStateOutput(Output):
    topic = _topic()
    payload = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(Presence),
        required=True,
        metadata={"description": "By socket_id. Oneself follows in a presence_diff"},
    )
    ref = _null()


class Diff(Output):
    joins = fields.Dict(keys=fields.String(), values=fields.Nested(Presence), required=True)
    leaves = fields.Dict(keys=fields.String(), values=fields.Nested(Presence), required=True)


class PresenceDiffOutput(Output):
    topic = _topic()
    payload = fields.Nested(Diff, required=True)
    ref = _null()


class SystemPayload(Output):
    type = fields.String(required=True, metadata={"enum": ["error", "gap"]})
    message = fields.String(required=True, metadata={"description": "For people"})
    last_message_id = fields.String(metadata={"description": "With gap: the messages after this one follow"})


class SystemOutput(Output):
    topic = _topic()
    payload = fields.Nested(SystemPayload, required=True)
    ref = _null()


class BroadcastOutput(Output):
    topic = _topic()
    payload = fields.Raw(required=True, allow_none=True, metadata={"description": "What was pushed: any JSON"})
    ref = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": POSITION, "anyOf": [{"type": "string"}, {"type": "null"}]},
    )
