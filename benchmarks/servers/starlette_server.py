"""
Starlette on uvicorn: one text for everybody, and send_text in a loop. Usage: starlette_server.py PORT

A reader that stalls holds up the loop, and so everybody: the package has no broadcast that would not.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

connections: set[WebSocket] = set()


async def broadcast(text: str) -> None:
    for connection in tuple(connections):
        try:
            await connection.send_text(text)
        except (WebSocketDisconnect, RuntimeError):
            connections.discard(connection)  # it went away while others were being served


async def handle(connection: WebSocket) -> None:
    await connection.accept()
    connections.add(connection)
    try:
        while True:
            text = await connection.receive_text()
            if '"broadcast":true' in text:
                await broadcast(text)
            else:
                await connection.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        connections.discard(connection)


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/", handle)]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        backlog=4096,
        log_level="warning",
        ws="websockets-sansio",  # the cheapest of the three that uvicorn has
        ws_per_message_deflate=False,
    )
