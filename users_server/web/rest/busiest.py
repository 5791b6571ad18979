"""What keeps the server busy, for ``users-server top`` and for admins."""

from __future__ import annotations

from users_server.core.busiest import find_busiest
from users_server.schemas.busiest import busiest_data
from users_server.web.route import Answer, Call


async def list_busiest(call: Call) -> Answer:
    node = call.context.node
    busiest = find_busiest(node.hub, call.query["limit"])
    return Answer(
        {"data": busiest_data(busiest, node.statistics, call.context.clock.monotonic())},
        {"count": node.statistics.connections},
    )
