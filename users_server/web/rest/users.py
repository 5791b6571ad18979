"""Accounts."""

from __future__ import annotations

from users_server.core.accounts import Privilege
from users_server.schemas.users import user_entry
from users_server.web.route import Answer, Call


async def list_users(call: Call) -> Answer:
    by, query, is_webinate = call.identity, call.query, call.context.is_webinate
    page = await call.context.users.list(
        by, index=query["index"], limit=query["limit"], search=query["search"], require_login=not is_webinate
    )
    is_verbose = query["verbose"] and by.is_admin and by.privileges == Privilege.SUPER_ADMIN
    entries = [
        user_entry(user, is_verbose=is_verbose, shows_email=is_webinate or by.is_admin or user.id == by.user_id)
        for user in page.items
    ]
    return Answer({"data": entries, "count": page.count}, {"count": page.count})


async def get_user(call: Call) -> Answer:
    user = await call.context.users.get(call.identity, call.path["user"])
    return Answer({"data": user_entry(user, is_verbose=call.query["verbose"])}, {"name": user.username})


async def create_user(call: Call) -> Answer:
    user = await call.context.users.create(call.identity, **call.body)
    return Answer({"data": user_entry(user)}, {"name": user.username})


async def remove_user(call: Call) -> Answer:
    user = await call.context.users.remove(call.identity, call.path["user"])
    return Answer(words={"name": user.username})


async def approve_activation(call: Call) -> Answer:
    await call.context.users.approve_activation(call.identity, call.path["user"])
    return Answer()
