"""Connections are free of reference cycles: they go when they are closed, not when the collector comes."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.wire.relay import SECRET, path
from users_server.app import Server
from users_server.config import Config
from users_server.config.settings import DatabaseSettings
from users_server.protocols.relay.settings import RelaySettings
from users_server.services.settings import AdminUser, AppSettings
from users_server.web.settings import HttpSettings, WebSocketSettings

OURS = {
    "WebSocketLink",
    "FrameParser",
    "UsersReceiver",
    "RelayReceiver",
    "Subscription",
    "Connection",
    "HandshakeReader",
    "RawHeaders",
    "StreamTransport",
}


def alive() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in OURS)


def make_server(directory: Path) -> Server:
    return Server(
        Config(
            http=HttpSettings(port=0),
            websocket=WebSocketSettings(port=0, approved_socket_domains=("^http://localhost$",)),
            database=DatabaseSettings(f"sqlite:///{directory}/users.db"),
            admin_user=AdminUser("root", "root@example.com", "a good password"),
            apps=AppSettings(key_file=str(directory / "key")),
            protocols={**Config().protocols, "relay": RelaySettings(secret=SECRET)},
        )
    )


@pytest.mark.gen_test(timeout=30)
async def test_a_closed_connection_leaves_nothing(tmp_path: Path) -> None:
    server = make_server(tmp_path)
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


@pytest.mark.gen_test(timeout=30)
async def test_a_closed_relay_connection_leaves_nothing(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    await server.start()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            url = f"ws://localhost:{server.websocket_port}{path(7, 'Ann', 'chat:1')}"
            client = await websocket_connect(HTTPRequest(url))
            assert await client.read_message() == '{"type":"connected","users":[{"id":7,"name":"Ann"}]}'
            await client.write_message('{"data": {"message": "x", "name": "Ann"}}')
            assert await client.read_message() == '{"type":"sended","ok":true}'
            client.close()
            while await client.read_message() is not None:
                pass
    finally:
        await server.stop()
        after = alive()
        gc.enable()
    assert after - before == Counter()
