"""Logins, for admins."""

from __future__ import annotations

from users_server.errors import NotFound
from users_server.schemas.sessions import session_entry
from users_server.services.audit import Action
from users_server.web.route import Answer, Call


async def list_sessions(call: Call) -> Answer:
    page = await call.context.sessions.list(call.query["index"], call.query["limit"])
    return Answer(
        {"data": [session_entry(session) for session in page.items], "count": page.count}, {"count": page.count}
    )


async def remove_session(call: Call) -> Answer:
    session_id = call.path["id"]
    session = await call.context.sessions.close(session_id)
    if session is None:
        raise NotFound(f"Session '{session_id}' does not exist")
    call.context.safety.audit.record(
        Action.SESSION_REVOKED, name=session.username, by=call.identity, details={"session": session_id}
    )
    return Answer(words={"id": session_id})
