"""One's own logins, the audit log and the export of one's data."""

from __future__ import annotations

from marshmallow import fields, validate

from users_server.core.accounts import Session
from users_server.core.audit import AuditEntry
from users_server.core.messages import JSON
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Input, Output, StrictBoolean
from users_server.schemas.queries import PageQuery
from users_server.services.audit import Action
from users_server.services.validation import MAX_NAME_LENGTH

MAX_ADDRESS = 64
LATEST_MS = 2**53 - 1
_MILLISECONDS = validate.Range(0, LATEST_MS)


class LogoutEverywhereInput(Input):
    keepCurrent = StrictBoolean(
        load_default=False, metadata={"description": "True: the login that this request comes with stays"}
    )


class LogoutEverywhereAnswer(MessageAnswer):
    count = fields.Integer(required=True, metadata={"description": "How many logins have ended"})


class OwnSessionEntry(Output):
    """One of a user's logins. Times are milliseconds since 1970."""

    sessionId = fields.String(required=True, metadata={"description": "The public id"})
    device = fields.String(required=True, metadata={"description": "The browser's or client's User-Agent"})
    address = fields.String(required=True, metadata={"description": "Where the login came from"})
    createdOn = fields.Integer(required=True)
    lastUsed = fields.Integer(required=True, metadata={"description": "To a tenth of the session's lifetime"})
    expiration = fields.Integer(required=True)
    persistent = fields.Boolean(required=True, metadata={"description": "Whether the cookie outlives the browser"})
    isCurrent = fields.Boolean(required=True, metadata={"description": "Whether this request comes with it"})


class OwnSessionsAnswer(MessageAnswer):
    data = fields.List(fields.Nested(OwnSessionEntry), required=True)
    count = fields.Integer(required=True)


class AuditLogQuery(PageQuery):
    user = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_NAME_LENGTH),
        metadata={"description": "Username or email: whom it is about, or who did it"},
    )
    action = fields.String(
        load_default="",
        validate=validate.OneOf(["", *(action.value for action in Action)]),
        metadata={"description": "What"},
    )
    address = fields.String(
        load_default="", validate=validate.Length(max=MAX_ADDRESS), metadata={"description": "From where, exactly"}
    )
    since = fields.Integer(
        load_default=None, validate=_MILLISECONDS, metadata={"description": "At or after, in milliseconds since 1970"}
    )
    until = fields.Integer(
        load_default=None, validate=_MILLISECONDS, metadata={"description": "Before, in milliseconds since 1970"}
    )


class AuditEntryOutput(Output):
    """Who did what to whom, from where, and when."""

    id = fields.String(required=True)
    at = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    action = fields.String(required=True)
    username = fields.String(required=True, metadata={"description": "Whom it is about, or the name that was tried"})
    by = fields.String(required=True, metadata={"description": "Who did it; empty for a stranger"})
    address = fields.String(required=True)
    userAgent = fields.String(required=True)
    details = fields.Dict(keys=fields.String(), required=True)


class AuditAnswer(MessageAnswer):
    data = fields.List(fields.Nested(AuditEntryOutput), required=True)
    count = fields.Integer(required=True, metadata={"description": "How many there are in all"})


class ExportAnswer(MessageAnswer):
    data = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"description": "account, meta, sessions, audit, and a part for each that keeps something"},
    )


def own_session_entry(session: Session, current_id: str | None) -> dict[str, JSON]:
    """The login as its user sees it."""
    return {
        "sessionId": session.id,
        "device": session.user_agent,
        "address": session.address,
        "createdOn": session.created_on,
        "lastUsed": session.last_used,
        "expiration": session.expires_at,
        "persistent": session.is_persistent,
        "isCurrent": session.id == current_id,
    }


def audit_entry(entry: AuditEntry) -> dict[str, JSON]:
    """The entry as admins see it."""
    return {
        "id": entry.id,
        "at": entry.at,
        "action": entry.action,
        "username": entry.username,
        "by": entry.by_name,
        "address": entry.address,
        "userAgent": entry.user_agent,
        "details": dict(entry.details),
    }
