"""Connections are free of reference cycles: they go when they are closed, not when the collector comes."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from users_server.app import Server
from users_server.config import Config
from users_server.config.settings import DatabaseSettings
from users_server.services.settings import AdminUser
from users_server.web.settings import HttpSettings, WebSocketSettings

OURS = {
    "WebSocketLink",
    "FrameParser",
    "UsersReceiver",
    "Connection",
    "HandshakeReader",
    "RawHeaders",
    "StreamTransport",
}


def alive() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in OURS)


@pytest.mark.gen_test(timeout=30)
async def test_a_closed_connection_leaves_nothing(tmp_path: Path) -> None:
    server = Server(
        Config(
            http=HttpSettings(port=0),
            websocket=WebSocketSettings(port=0, approved_socket_domains=("^http://localhost$",)),
            database=DatabaseSettings(f"sqlite:///{tmp_path}/users.db"),
            admin_user=AdminUser("root", "root@example.com", "a good password"),
        )
    )
    await server.start()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            url = f"ws://localhost:{server.websocket_port}/"
            client = await websocket_connect(HTTPRequest(url, headers={"Origin": "http://localhost"}))
            await client.write_message('{"eventType": 10, "message": "x", "broadcast": true}')
            assert await client.read_message() == '{"eventType":10,"message":"x"}'
            client.close()
            assert await client.read_message() is None
    finally:
        await server.stop()
        after = alive()
        gc.enable()
    assert after - before == Counter()
