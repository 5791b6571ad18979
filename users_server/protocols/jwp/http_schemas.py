"""Shapes of the HTTP API: what an app's back end sends, and what it is answered."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from users_server.schemas.fields import Input, Output

MAX_CHANNELS = 100
"""Of one push."""

MAX_LISTED = 1000
MAX_TEXT = 4096
MAX_NAME = 500
"""In a query, where a percent-encoded one must still fit into a request's head."""

MISSING = "Missing data"
"""What a client of the push API is told if a field is absent."""


def _needed(**options: Any) -> dict[str, Any]:
    return {"required": True, "error_messages": {"required": MISSING}, **options}


class PushInput(Input):
    """One event for one channel, or for up to a hundred."""

    exactly_one = ("channel", "channels")

    channel = fields.String(
        validate=validate.Length(1, MAX_TEXT),
        metadata={"description": "A channel's short name, such as `lobby`. Either this or `channels`"},
    )
    channels = fields.List(
        fields.String(validate=validate.Length(1, MAX_TEXT)),
        validate=validate.Length(1, MAX_CHANNELS),
        metadata={"description": "Several channels; all get the event, or none does"},
    )
    event = fields.String(
        **_needed(
            metadata={
                "description": "1 to 200 printable characters. Names that begin with `phx_`, and `presence_state`, "
                "`presence_diff` and `jwp_system`, are the server's own"
            }
        )
    )
    payload = fields.Raw(
        **_needed(
            allow_none=True,
            metadata={"description": 'Any JSON value. `{"$binary": "BASE64"}` goes to clients as bytes'},
        )
    )

    @validates_schema(skip_on_field_errors=False)
    def names_channels_in_one_way(self, data: dict[str, Any], **_: Any) -> None:
        if "channel" in data and "channels" in data:
            raise ValidationError("Either this or channel is allowed, not both", "channels")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def names_channels(self, _data: dict[str, Any], original: Any, **_: Any) -> None:
        if isinstance(original, dict) and not original.keys() & {"channel", "channels"}:
            raise ValidationError(MISSING, "channel")


class ChannelsQuery(Input):
    prefix = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_NAME),
        metadata={"description": "Only channels whose names begin so"},
    )
    after = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_NAME),
        metadata={"description": "Only channels behind this one: the last of the answer before"},
    )
    limit = fields.Integer(
        load_default=100,
        validate=validate.Range(1, MAX_LISTED),
        metadata={"description": "How many are answered at most"},
    )


class PushDone(Output):
    status = fields.String(required=True, validate=validate.OneOf(["ok"]))
    data = fields.Dict(required=True, metadata={"description": "Empty"})


class DisconnectDone(PushDone):
    pass


class OccupiedChannel(Output):
    channel = fields.String(required=True)
    subscribers = fields.Integer(required=True, metadata={"description": "Connections on all nodes, of all protocols"})


class OccupiedChannels(Output):
    channels = fields.List(
        fields.Nested(OccupiedChannel), required=True, metadata={"description": "In the order of their names"}
    )
    has_more = fields.Boolean(required=True, metadata={"description": "Whether there are others behind the last one"})
    complete = fields.Boolean(
        required=True, metadata={"description": "False: a node did not answer in time, and is not counted"}
    )


class ChannelsFound(Output):
    status = fields.String(required=True, validate=validate.OneOf(["ok"]))
    data = fields.Nested(OccupiedChannels, required=True)


class ChannelDetails(Output):
    channel = fields.String(required=True)
    occupied = fields.Boolean(required=True, metadata={"description": "Whether anybody is subscribed"})
    subscribers = fields.Integer(required=True, metadata={"description": "Connections on all nodes, of all protocols"})
    complete = fields.Boolean(
        required=True, metadata={"description": "False: a node did not answer in time, and is not counted"}
    )
    presence = fields.Dict(
        required=True,
        metadata={
            "description": "Who is listed, as `presence_state` has it: socket id to "
            '`{"metas": [{"phx_ref": …, …}]}`, with one entry for each connection'
        },
    )


class ChannelFound(Output):
    status = fields.String(required=True, validate=validate.OneOf(["ok"]))
    data = fields.Nested(ChannelDetails, required=True)


class ApiError(Output):
    code = fields.Integer(required=True, metadata={"description": "The status of the answer"})
    message = fields.String(required=True, metadata={"description": "For people"})


class ApiRefusal(Output):
    status = fields.String(required=True, validate=validate.OneOf(["error"]))
    error = fields.Nested(ApiError, required=True)
