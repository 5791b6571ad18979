"""Who am I, log in, log out."""

from __future__ import annotations

from users_server.errors import UsersServerError
from users_server.schemas.users import user_entry
from users_server.web.route import Answer, Call, SessionCookie


async def who_am_i(call: Call) -> Answer:
    if not call.identity.is_authenticated or call.identity.username is None:
        return Answer({"authenticated": False, "user": None}, message="User is not authenticated")
    user = await call.context.users.get(call.identity, call.identity.username)
    return Answer({"authenticated": True, "user": user_entry(user, is_verbose=call.query["verbose"])})


async def login(call: Call) -> Answer:
    context = call.context
    try:
        user, session, cookie = await context.users.login(
            call.body["username"],
            call.body["password"],
            remember_me=call.body["rememberMe"],
            address=call.address,
            user_agent=call.user_agent,
        )
    except UsersServerError as error:
        context.metrics.count_login(error.reason)
        raise
    context.metrics.count_login("success")
    return Answer(
        {"authenticated": True, "user": user_entry(user)}, cookie=SessionCookie(cookie, session.is_persistent)
    )


async def logout(call: Call) -> Answer:
    await call.context.users.logout(call.identity.session_id, by=call.identity)
    return Answer(cookie=SessionCookie())
