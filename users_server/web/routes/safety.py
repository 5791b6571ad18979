"""One's own logins, the audit log, and the export of one's data. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.safety import (
    AuditAnswer,
    AuditLogQuery,
    ExportAnswer,
    LogoutEverywhereAnswer,
    LogoutEverywhereInput,
    OwnSessionsAnswer,
)
from users_server.web.rest import safety
from users_server.web.route import Route, Who

SAFETY = (
    Route(
        "POST",
        "/logout-everywhere",
        safety.log_out_everywhere,
        Who.LOGGED_IN,
        summary="End all logins of the caller, or all but this one",
        message="Ended {count} sessions",
        tag="authentication",
        request=LogoutEverywhereInput,
        answer=LogoutEverywhereAnswer,
    ),
    Route(
        "GET",
        "/users/:user/sessions",
        safety.list_own_sessions,
        Who.OWNER,
        summary="List a user's logins with device, address and time",
        message="Found {count} sessions",
        tag="sessions",
        answer=OwnSessionsAnswer,
    ),
    Route(
        "DELETE",
        "/users/:user/sessions",
        safety.revoke_own_sessions,
        Who.OWNER,
        summary="End all logins of a user and close his sockets",
        message="Ended {count} sessions",
        tag="sessions",
        answer=LogoutEverywhereAnswer,
    ),
    Route(
        "DELETE",
        "/users/:user/sessions/:id",
        safety.revoke_own_session,
        Who.OWNER,
        summary="End one login of a user and close its sockets",
        message="Session {id} has been removed",
        tag="sessions",
    ),
    Route(
        "GET",
        "/users/:user/export",
        safety.export_data,
        Who.OWNER,
        summary="Everything that is held of a user, as one document",
        message="Everything that is held of {name}",
        tag="users",
        answer=ExportAnswer,
    ),
    Route(
        "GET",
        "/audit",
        safety.list_audit_entries,
        Who.ADMIN,
        summary="List security events: who did what to whom, from where, and when",
        message="Found {count} entries",
        tag="operation",
        query=AuditLogQuery,
        answer=AuditAnswer,
    ),
)
