"""Registration and activation."""

from __future__ import annotations

from users_server.schemas.users import user_entry
from users_server.services.audit import Action
from users_server.web.rest.landing import land
from users_server.web.route import Answer, Call, Redirect


async def register(call: Call) -> Answer:
    body = call.body
    user = await call.context.flows.registration.register(
        username=body["username"],
        email=body["email"],
        password=body["password"],
        captcha=body["captcha"] or "",
        meta=body["meta"],
        origin=call.origin,
        by=call.identity,
    )
    call.context.safety.audit.record(Action.ACCOUNT_REGISTERED, user=user, by=call.identity)
    return Answer({"authenticated": call.context.is_webinate, "user": user_entry(user)})


async def resend_activation(call: Call) -> Answer:
    is_told = call.context.is_webinate or call.identity.is_admin
    await call.context.flows.registration.resend(
        call.path["user"], is_told=is_told, origin=call.origin, by=call.identity
    )
    return Answer()


async def activate_account(call: Call) -> Answer | Redirect:
    query, flows = call.query, call.context.flows
    activated = flows.registration.activate(query["user"], query["key"])
    return await land(call, activated, "Your account has been activated", Action.ACCOUNT_ACTIVATED)
