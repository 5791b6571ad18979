"""One's own logins, the audit log, and everything that is held of a person."""

from __future__ import annotations

from users_server.core.audit import AuditQuery
from users_server.schemas.safety import audit_entry, own_session_entry
from users_server.web.route import Answer, Call, SessionCookie


async def list_own_sessions(call: Call) -> Answer:
    sessions = await call.context.safety.own_sessions.list(call.identity, call.path["user"])
    entries = [own_session_entry(session, call.identity.session_id) for session in sessions]
    return Answer({"data": entries, "count": len(entries)}, {"count": len(entries)})


async def revoke_own_session(call: Call) -> Answer:
    session_id = call.path["id"]
    await call.context.safety.own_sessions.revoke(call.identity, call.path["user"], session_id)
    cookie = SessionCookie() if session_id == call.identity.session_id else None
    return Answer(words={"id": session_id}, cookie=cookie)


async def revoke_own_sessions(call: Call) -> Answer:
    count = await call.context.safety.own_sessions.log_out_everywhere(call.identity, call.path["user"])
    return Answer({"count": count}, {"count": count})


async def log_out_everywhere(call: Call) -> Answer:
    keeps_current = call.body["keepCurrent"]
    count = await call.context.safety.own_sessions.log_out_everywhere(call.identity, keeps_current=keeps_current)
    return Answer({"count": count}, {"count": count}, cookie=None if keeps_current else SessionCookie())


async def list_audit_entries(call: Call) -> Answer:
    query = call.query
    found = AuditQuery(
        name=query["user"],
        action=query["action"],
        address=query["address"],
        since=query["since"],
        until=query["until"],
    )
    page = await call.context.safety.audit.list(found, index=query["index"], limit=query["limit"])
    return Answer({"data": [audit_entry(entry) for entry in page.items], "count": page.count}, {"count": page.count})


async def export_data(call: Call) -> Answer:
    user, document = await call.context.safety.personal_data.export(call.identity, call.path["user"])
    return Answer({"data": document}, {"name": user.username})
