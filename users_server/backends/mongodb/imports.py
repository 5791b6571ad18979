"""How far imports have come, as documents. The promises are :class:`~users_server.core.imports.ImportStore`'s."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from users_server.backends.mongodb.client import Database
from users_server.core.messages import JSON


async def get(database: Database, name: str) -> dict[str, JSON] | None:
    document = await database["imports"].find_one({"_id": name})
    return None if document is None else orjson.loads(document["state"])


async def put(database: Database, name: str, state: Mapping[str, JSON]) -> None:
    changes = {"$set": {"state": orjson.dumps(dict(state)).decode()}}
    await database["imports"].update_one({"_id": name}, changes, upsert=True)
