"""New email addresses, and messages to the webmaster."""

from __future__ import annotations

from users_server.services.audit import Action
from users_server.web.rest.landing import land
from users_server.web.route import Answer, Call, Redirect


async def change_email(call: Call) -> Answer:
    body = call.body
    await call.context.flows.email_change.request(
        call.identity,
        call.path["user"],
        body["email"],
        password=body["password"],
        origin=call.origin,
    )
    return Answer()


async def confirm_email(call: Call) -> Answer | Redirect:
    query, flows = call.query, call.context.flows
    changed = flows.email_change.confirm(query["user"], query["key"])
    return await land(call, changed, "Your address has been changed", Action.EMAIL_CHANGED)


async def message_webmaster(call: Call) -> Answer:
    body = call.body
    await call.context.flows.webmaster.send(
        call.identity,
        body["message"],
        name=body["name"] or "",
        sender=body["sender"] or "",
    )
    return Answer()
