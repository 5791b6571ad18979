"""Logins, as an admin sees them. The cookie's value is kept nowhere and so shown nowhere."""

from __future__ import annotations

from marshmallow import fields

from users_server.core.accounts import Session
from users_server.core.messages import JSON
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Output


class SessionEntry(Output):
    """One login. Times are milliseconds since 1970."""

    sessionId = fields.String(
        required=True, metadata={"description": "The public id, which DELETE /sessions/:id takes"}
    )
    username = fields.String(required=True)
    createdOn = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    expiration = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    persistent = fields.Boolean(required=True, metadata={"description": "Whether the cookie outlives the browser"})
    address = fields.String(required=True, metadata={"description": "Where the login came from"})
    userAgent = fields.String(required=True)


class SessionsAnswer(MessageAnswer):
    data = fields.List(fields.Nested(SessionEntry), required=True)
    count = fields.Integer(required=True, metadata={"description": "How many there are in all"})


def session_entry(session: Session) -> dict[str, JSON]:
    """The login as an admin sees it."""
    return {
        "sessionId": session.id,
        "username": session.username,
        "createdOn": session.created_on,
        "expiration": session.expires_at,
        "persistent": session.is_persistent,
        "address": session.address,
        "userAgent": session.user_agent,
    }
