"""Connections are free of reference cycles: they go when they are closed, not when the collector comes."""

from __future__ import annotations

import gc
import json
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.wire.jwp import Game
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
    "JWPReceiver",
    "Place",
    "Seat",
    "Joining",
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


@pytest.mark.gen_test(timeout=30)
async def test_a_closed_phoenix_connection_leaves_nothing(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    await server.start()
    assert server.new_app is not None
    game = Game("default", server.new_app.secret, "")
    data = json.dumps({"options": {"presence_track": True, "presence_diffs": True}})
    joined = {"auth": game.channel_token("ann", "lobby", data), "data": data}
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            auth = quote(game.socket_token("ann"))
            url = f"ws://localhost:{server.websocket_port}/socket/websocket?vsn=2.0.0&app_id=default&auth={auth}"
            client = await websocket_connect(HTTPRequest(url))
            for ref in ("1", "2"):
                await client.write_message(json.dumps([ref, ref, game.topic("lobby"), "phx_join", joined]))
            events = [json.loads(await client.read_message() or "")[3] for _ in range(7)]
            greeting = ["phx_reply", "presence_state", "presence_diff"]
            assert events == [*greeting, "phx_close", *greeting]
            client.close()
            while await client.read_message() is not None:
                pass
    finally:
        await server.stop()
        after = alive()
        gc.enable()
    assert after - before == Counter()
