"""New passwords."""

from __future__ import annotations

from users_server.web.route import Answer, Call, SessionCookie


async def request_password_reset(call: Call) -> Answer:
    is_told = call.context.is_webinate or call.identity.is_admin
    await call.context.flows.password_reset.request(
        call.path["user"], is_told=is_told, origin=call.origin, by=call.identity
    )
    return Answer()


async def reset_password(call: Call) -> Answer:
    body = call.body
    await call.context.flows.password_reset.reset(body["user"], body["key"], body["password"])
    return Answer()


async def change_password(call: Call) -> Answer:
    opened = await call.context.flows.password_reset.change(
        call.identity,
        call.path["user"],
        password=call.body["password"],
        new_password=call.body["newPassword"],
    )
    if opened is None:
        return Answer()
    session, cookie = opened
    return Answer(cookie=SessionCookie(cookie, session.is_persistent))
