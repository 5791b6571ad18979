"""Buckets."""

from __future__ import annotations

from users_server.services.content_entries import bucket_entry
from users_server.web.route import Answer, Call


async def list_buckets(call: Call) -> Answer:
    query = call.query
    page = await call.context.content.buckets.list(
        call.identity, call.path["user"], search=query["search"], index=query["index"], limit=query["limit"]
    )
    return Answer({"data": [bucket_entry(bucket) for bucket in page.items], "count": page.count}, {"count": page.count})


async def create_bucket(call: Call) -> Answer:
    bucket = await call.context.content.buckets.create(call.identity, call.path["user"], call.path["name"])
    return Answer(words={"name": bucket.name})


async def remove_buckets(call: Call) -> Answer:
    removed = await call.context.content.buckets.remove(call.identity, call.path["names"].split(","))
    return Answer({"data": [bucket.identifier for bucket in removed]}, {"count": len(removed)})
