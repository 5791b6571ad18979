"""Logins. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.queries import PageQuery
from users_server.schemas.sessions import SessionsAnswer
from users_server.web.rest import sessions
from users_server.web.route import Route, Who

SESSIONS = (
    Route(
        "GET",
        "/sessions",
        sessions.list_sessions,
        Who.ADMIN,
        summary="List the logins that are alive",
        message="Found {count} active sessions",
        tag="sessions",
        query=PageQuery,
        answer=SessionsAnswer,
    ),
    Route(
        "DELETE",
        "/sessions/:id",
        sessions.remove_session,
        Who.ADMIN,
        summary="End a login and close its sockets",
        message="Session {id} has been removed",
        tag="sessions",
    ),
)
