"""Channels of an app, for its back end: publishing, history and who is there."""

from __future__ import annotations

from users_server.schemas.channels import (
    channel_entry,
    channel_event,
    history_fields,
    member_entry,
    parse_position,
    published_entry,
)
from users_server.web.route import Answer, Call


async def publish_events(call: Call) -> Answer:
    body = call.body if isinstance(call.body, list) else [call.body]
    published = await call.context.publishing.publish(call.admitted_app, [channel_event(event) for event in body])
    data = [published_entry(each) for of_event in published for each in of_event]
    return Answer({"data": data}, {"count": len(data)})


async def get_channel(call: Call) -> Answer:
    channel = call.path["channel"]
    state = await call.context.publishing.state(call.admitted_app, channel)
    return Answer({"data": channel_entry(channel, state)}, {"count": state.subscribers})


async def list_history(call: Call) -> Answer:
    since, limit = parse_position(call.query["since"]), call.query["limit"]
    page = await call.context.publishing.history(call.admitted_app, call.path["channel"], since=since, limit=limit)
    return Answer(history_fields(page), {"count": len(page.publications)})


async def list_members(call: Call) -> Answer:
    state = await call.context.publishing.members(call.admitted_app, call.path["channel"])
    return Answer(
        {"data": [member_entry(member) for member in state.members], "count": len(state.members)},
        {"count": len(state.members)},
    )
