"""Events from internal services over HTTP."""

from __future__ import annotations

from marshmallow import INCLUDE, fields

from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input


class EventInput(Input):
    """One event, as a trusted connection sends it; the other fields are those of the event's own schema."""

    class Meta:
        unknown = INCLUDE

    eventType = fields.Integer(required=True, strict=True, metadata={"description": "The event's number"})


class EmitAnswer(MessageAnswer):
    emitted = fields.Integer(required=True, metadata={"description": "How many events were emitted"})
