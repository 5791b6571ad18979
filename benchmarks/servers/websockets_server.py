"""The Python package websockets, on uvloop, broadcasting with its own broadcast(). Usage: websockets_server.py PORT"""

from __future__ import annotations

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

connections: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    connections.add(connection)
    try:
        async for message in connection:
            assert isinstance(message, str)
            if '"broadcast":true' in message:
                broadcast(connections, message)
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass  # the load client resets its connections
    finally:
        connections.remove(connection)


async def main(port: int) -> None:
    async with serve(handle, "127.0.0.1", port, compression=None, backlog=4096) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
