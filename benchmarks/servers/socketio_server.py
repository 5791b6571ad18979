"""The Python package python-socketio, as an ASGI application on uvicorn. Usage: socketio_server.py PORT"""

from __future__ import annotations

import sys
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], cors_allowed_origins="*")


@server.on("message")  # type: ignore[untyped-decorator]
async def take(sid: str, event: dict[str, Any]) -> None:
    await server.emit("message", event, to=None if event.get("broadcast") else sid)


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        backlog=4096,
        log_level="warning",
        ws="websockets-sansio",  # the cheapest of the three that uvicorn has
        ws_per_message_deflate=False,
    )
