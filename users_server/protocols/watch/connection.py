"""One watcher's link: it is sent what happens, and says nothing."""

from __future__ import annotations

import asyncio

import structlog

from users_server.core.connection import Connection
from users_server.core.interfaces import Transport
from users_server.core.node import Node
from users_server.core.subscriptions import Subscribed
from users_server.errors import BackendError, Disconnect, ProtocolViolation, ServerFull, UsersServerError
from users_server.protocols.base import Peer
from users_server.protocols.watch.admission import NAME, WatchRequest
from users_server.protocols.watch.codec import WatchEncoder
from users_server.protocols.watch.errors import CLOSE_CODES

log = structlog.stdlib.get_logger(__name__)


class Watcher:
    """:class:`users_server.protocols.base.Receiver` of a watcher. Raises :class:`ServerFull` where there is no room."""

    __slots__ = ("_connection", "_encoder", "_node", "_subscribing")

    def __init__(self, node: Node, peer: Peer, transport: Transport, encoder: WatchEncoder) -> None:
        request: WatchRequest = peer.admission.details
        self._node = node
        self._encoder = encoder
        self._connection = Connection(
            peer.connection_id,
            peer.identity,
            encoder,
            transport,
            close_transport,
            address=peer.address,
            app=peer.admission.app,
            protocol=NAME,
        )
        node.connect(self._connection)
        # kept, because the loop keeps no task alive by itself
        self._subscribing = asyncio.ensure_future(self._subscribe(request))

    async def _subscribe(self, request: WatchRequest) -> None:
        node, connection, encoder = self._node, self._connection, self._encoder
        try:
            if request.channel is None:
                await node.watch_app(connection)
                node.reply(connection, encoder.encode_subscribed(None))
            else:
                channel = request.channel

                def greet(subscribed: Subscribed) -> bytes:
                    return encoder.encode_subscribed(channel, subscribed)

                hears_presence = node.rules.of(connection.app, channel).presence
                await node.subscribe(connection, channel, greet, since=request.since, hears_presence=hears_presence)
        except Disconnect as reason:
            node.close(connection, reason)
        except BackendError as error:
            node.close(connection, ServerFull(error.message))
        except UsersServerError as error:
            node.close(connection, ProtocolViolation(error.message))
        except Exception:
            log.exception("watching failed", connection=connection.id)
            node.close(connection, Disconnect())

    def receive(self, payload: bytes, is_text: bool) -> None:
        """A watcher has nothing to say."""
        self._connection.messages_in += 1
        self._node.close(self._connection, ProtocolViolation("A watcher sends nothing"))

    def write_changed(self) -> None:
        self._node.hub.write_changed(self._connection)

    def disconnect(self, reason: Disconnect) -> None:
        self._node.close(self._connection, reason)

    def lost(self) -> None:
        self._subscribing.cancel()
        self._connection.is_closing = True
        self._node.disconnect(self._connection)


def close_transport(connection: Connection, reason: Disconnect) -> None:
    """``Connection.on_close`` of this protocol."""
    connection.transport.close(CLOSE_CODES[reason.reason], reason.message)
