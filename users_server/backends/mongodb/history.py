"""
Histories of channels as documents.

A channel's counter is a document of ``streams``: its epoch, the offset of its newest publication (``top``) and the
offset up to which publications are lost (``floor``). What is readable lies between the two without a gap. A publication
is written behind the top first and becomes a part of the stream when the top moves: whatever fails, none is half there.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from users_server.backends.mongodb.client import Client, Database
from users_server.backends.mongodb.paging import bounds
from users_server.backends.records import dump_publication, load_publication
from users_server.core.clock import Clock
from users_server.core.messages import HistoryPage, HistoryRule, Publication, StreamPosition
from users_server.errors import StoreUnavailable

COUNTER_MS = 24 * 60 * 60 * 1000
"""How long a channel's counter outlives its last publication; after that, positions in it are not complete any more."""

EXPIRE_BATCH = 100
TRIM_EVERY = 32
"""What a stream's size does not allow any more is dropped once in so many publications; it is not readable before."""

MAX_TRIES = 5


class MongoHistory:
    """
    A :class:`~users_server.core.interfaces.History` beside the store's other data. It is as durable as these are.

    It is opened and closed with its store. One process appends to a channel: the broker without a network, which it is
    for, joins no processes.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tasks: set[asyncio.Task[StreamPosition]] = set()

    async def open(self) -> None:
        """Nothing: the store is opened before."""

    def append(self, publication: Publication, rule: HistoryRule) -> Awaitable[StreamPosition]:
        # A task, so that the turns are in the order of the calls although nothing was awaited.
        task = asyncio.create_task(self._append(publication, rule, self._clock.now_ms()), name="history")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def read(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        return await self._client.run_in_turn(
            _turn(stream_id(app, channel)), read, app, channel, since=since, limit=limit, now=self._clock.now_ms()
        )

    async def expire(self) -> None:
        now = self._clock.now_ms()
        while old := await self._client.run(find_old, now=now, limit=EXPIRE_BATCH):
            for (stream, epoch), offset in old.items():
                await self._client.run_in_turn(_turn(stream), drop_old, stream, epoch, offset)
        while unused := await self._client.run(find_unused, now=now, limit=EXPIRE_BATCH):
            for stream in unused:
                await self._client.run_in_turn(_turn(stream), drop_unused, stream, now=now)

    async def _append(self, publication: Publication, rule: HistoryRule, now: int) -> StreamPosition:
        turn = _turn(stream_id(publication.app, publication.channel))
        return await self._client.run_in_turn(turn, append, publication, rule, now=now)


def stream_id(app: str, channel: str) -> str:
    """No app's id has a slash, so no two channels share one."""
    return f"{app}/{channel}"


async def append(database: Database, publication: Publication, rule: HistoryRule, *, now: int) -> StreamPosition:
    stream_key = stream_id(publication.app, publication.channel)
    lifetime_ms = round(rule.seconds * 1000)
    for _ in range(MAX_TRIES):
        stream = await begin(database, stream_key, now=now)
        epoch, top = stream["epoch"], int(stream["top"]) + 1
        floor = max(int(stream["floor"]), top - max(rule.size, 0))
        document = {
            "stream": stream_key,
            "epoch": epoch,
            "offset": top,
            "expires_at": now + lifetime_ms,
            "record": dump_publication(publication),
        }
        await database["history"].replace_one({"_id": f"{epoch}:{top}"}, document, upsert=True)
        expires_at = max(int(stream["expires_at"]), now + lifetime_ms + COUNTER_MS)
        moved = await database["streams"].update_one(
            {"_id": stream_key, "epoch": epoch, "top": top - 1},
            {"$set": {"top": top, "floor": floor, "expires_at": expires_at}},
        )
        if moved.matched_count == 1:
            if floor and top % TRIM_EVERY == 0:
                await _delete_up_to(database, stream_key, epoch, floor)
            return StreamPosition(top, epoch)
    raise StoreUnavailable("The channel's history is being written by another process")


async def begin(database: Database, stream_key: str, *, now: int) -> dict[str, Any]:
    """The channel's counter, a new one if there is none."""
    found = await database["streams"].find_one({"_id": stream_key})
    if found is not None:
        return found
    stream = {"_id": stream_key, "epoch": secrets.token_hex(8), "top": 0, "floor": 0, "expires_at": now + COUNTER_MS}
    try:
        await database["streams"].insert_one(stream)
    except DuplicateKeyError:
        return await begin(database, stream_key, now=now)
    return stream


async def read(
    database: Database, app: str, channel: str, *, since: StreamPosition | None, limit: int | None, now: int
) -> HistoryPage:
    stream_key = stream_id(app, channel)
    # An empty channel has a position too: whoever is there before the first publication comes back with it.
    stream = await begin(database, stream_key, now=now)
    top = StreamPosition(int(stream["top"]), stream["epoch"])
    own = {"stream": stream_key, "epoch": top.epoch}
    expired = await _greatest_offset(database, {**own, "offset": {"$lte": top.offset}, "expires_at": {"$lte": now}})
    floor = max(int(stream["floor"]), expired)
    if since is not None and not (since.epoch == top.epoch and floor <= since.offset <= top.offset):
        return HistoryPage((), top, is_complete=False)
    _, most = bounds(0, top.offset if limit is None else limit)
    if not most:
        return HistoryPage((), top)
    after = floor if since is None else since.offset
    documents = (
        await database["history"]
        .find({**own, "offset": {"$gt": after, "$lte": top.offset}})
        .sort("offset", DESCENDING if since is None else ASCENDING)
        .limit(most)
        .to_list(length=None)
    )
    if since is None:
        documents.reverse()
    publications = (
        load_publication(app, channel, StreamPosition(int(each["offset"]), top.epoch), each["record"])
        for each in documents
    )
    return HistoryPage(tuple(publications), top)


async def find_old(database: Database, *, now: int, limit: int) -> dict[tuple[str, str], int]:
    """Streams, with their epochs, and an offset up to which their publications are too old."""
    criteria = {"expires_at": {"$lte": now}}
    documents = await database["history"].find(criteria, {"record": 0}).limit(limit).to_list(length=None)
    old: dict[tuple[str, str], int] = {}
    for document in documents:
        key = (document["stream"], document["epoch"])
        old[key] = max(old.get(key, 0), int(document["offset"]))
    return old


async def drop_old(database: Database, stream_key: str, epoch: str, offset: int) -> None:
    """Drop the publications of one stream up to ``offset``. They are unreadable before they are gone."""
    stream = await database["streams"].find_one({"_id": stream_key, "epoch": epoch})
    if stream is not None:
        floor = max(int(stream["floor"]), min(offset, int(stream["top"])))
        await database["streams"].update_one({"_id": stream_key, "epoch": epoch}, {"$set": {"floor": floor}})
    await _delete_up_to(database, stream_key, epoch, offset)


async def find_unused(database: Database, *, now: int, limit: int) -> list[str]:
    """Streams to which nothing was published for so long that their counters may go."""
    documents = await database["streams"].find({"expires_at": {"$lte": now}}).limit(limit).to_list(length=None)
    return [document["_id"] for document in documents]


async def drop_unused(database: Database, stream_key: str, *, now: int) -> None:
    await database["streams"].delete_one({"_id": stream_key, "expires_at": {"$lte": now}})


async def _greatest_offset(database: Database, criteria: dict[str, Any]) -> int:
    """0 if there is none."""
    found = (
        await database["history"].find(criteria, {"offset": 1}).sort("offset", DESCENDING).limit(1).to_list(length=1)
    )
    return int(found[0]["offset"]) if found else 0


async def _delete_up_to(database: Database, stream_key: str, epoch: str, offset: int) -> None:
    await database["history"].delete_many({"stream": stream_key, "epoch": epoch, "offset": {"$lte": offset}})


def _turn(stream_key: str) -> str:
    return f"history {stream_key}"
