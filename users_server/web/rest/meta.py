"""Meta data of users. Reading answers the bare value, so that it can be used as it is."""

from __future__ import annotations

from users_server.schemas.json_text import encode
from users_server.web.route import Answer, BareAnswer, Call


async def get_meta(call: Call) -> BareAnswer:
    return BareAnswer(encode(await call.context.users.get_meta(call.identity, call.path["user"])))


async def get_meta_property(call: Call) -> BareAnswer:
    users, path = call.context.users, call.path
    return BareAnswer(encode(await users.get_meta_property(call.identity, path["user"], path["name"])))


async def set_meta(call: Call) -> Answer:
    users, path = call.context.users, call.path
    await users.set_meta(call.identity, path["user"], call.body["value"], owner_may_write=False)
    return Answer()


async def set_meta_property(call: Call) -> Answer:
    users, path = call.context.users, call.path
    await users.set_meta_property(call.identity, path["user"], path["name"], call.body["value"], owner_may_write=False)
    return Answer(words={"name": path["name"]})
