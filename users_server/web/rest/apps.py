"""Apps, for their owners and admins."""

from __future__ import annotations

from typing import Any

from users_server.schemas.apps import app_entry, limits_of, new_app_fields
from users_server.services.app_rules import AppDraft
from users_server.web.route import Answer, Call


async def list_apps(call: Call) -> Answer:
    page = await call.context.apps.list(call.identity, index=call.query["index"], limit=call.query["limit"])
    return Answer({"data": [app_entry(app) for app in page.items], "count": page.count}, {"count": page.count})


async def create_app(call: Call) -> Answer:
    by, body = call.identity, call.body
    owner_id = by.user_id
    if body["owner"] is not None:
        owner_id = (await call.context.users.get(by, body["owner"])).id
    new = await call.context.apps.create(by, draft_of(body), app_id=body["id"], owner_id=owner_id)
    return Answer(new_app_fields(new), {"id": new.app.id})


async def get_app(call: Call) -> Answer:
    app = await call.context.apps.show(call.identity, call.path["app"])
    return Answer({"data": app_entry(app)}, {"id": app.id})


async def change_app(call: Call) -> Answer:
    app = await call.context.apps.change(call.identity, call.path["app"], draft_of(call.body))
    return Answer({"data": app_entry(app)}, {"id": app.id})


async def remove_app(call: Call) -> Answer:
    app = await call.context.apps.remove(call.identity, call.path["app"])
    return Answer(words={"id": app.id})


async def rotate_app_keys(call: Call) -> Answer:
    new = await call.context.apps.rotate(call.identity, call.path["app"])
    return Answer(new_app_fields(new), {"id": new.app.id})


async def retire_app_keys(call: Call) -> Answer:
    app = await call.context.apps.retire_old(call.identity, call.path["app"])
    return Answer({"data": app_entry(app)}, {"id": app.id})


def draft_of(body: dict[str, Any]) -> AppDraft:
    """What the body says about the app."""
    return AppDraft(
        name=body["name"],
        webhook_endpoint=body["webhookEndpoint"],
        webhook_key=body["webhookKey"],
        protocols=body["protocols"],
        allowed_origins=body["allowedOrigins"],
        limits=None if body["limits"] is None else limits_of(body["limits"]),
        is_enabled=body["enabled"],
        debug_signatures=body["debugSignatures"],
    )
