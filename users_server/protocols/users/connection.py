"""One client's link: frame in, table, schema, handler, and what the handler wants done."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import structlog

from users_server.core.acceptance import Accepted, Pending
from users_server.core.clock import Clock
from users_server.core.connection import Connection
from users_server.core.interfaces import Transport
from users_server.core.messages import JSON
from users_server.core.node import Node
from users_server.core.rate_limit import TokenBucket, spend
from users_server.errors import Disconnect, UsersServerError
from users_server.protocols.answers import AnswerQueue
from users_server.protocols.base import Direction, Framing, Peer, Publish, Reply, Result
from users_server.protocols.users import codec, handlers
from users_server.protocols.users.admission import NAME
from users_server.protocols.users.errors import CLOSE_CODES
from users_server.protocols.users.handlers import Context
from users_server.schemas.json_text import decode_object

log = structlog.stdlib.get_logger(__name__)

SERVER = Direction.SERVER


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all receivers of the protocol share."""

    context: Context
    node: Node
    clock: Clock
    messages_per_second: float


class UsersReceiver:
    """:class:`users_server.protocols.base.Receiver` of the Users Socket API."""

    __slots__ = ("_answers", "_bucket", "_connection", "_exchange", "_framing")

    def __init__(
        self,
        exchange: Exchange,
        peer: Peer,
        transport: Transport,
        framing: Framing,
        encoder: codec.PublicationEncoder,
        channels: tuple[str, ...],
    ) -> None:
        self._exchange = exchange
        self._framing = framing
        self._bucket: TokenBucket | None = None
        self._answers: AnswerQueue | None = None
        self._connection = Connection(
            peer.connection_id,
            peer.identity,
            encoder,
            transport,
            close_transport,
            address=peer.address,
            app=peer.admission.app,
            connected_at=exchange.clock.monotonic(),
            protocol=NAME,
        )
        exchange.node.connect(self._connection, channels)

    def receive(self, payload: bytes, is_text: bool) -> Awaitable[None] | None:
        self._connection.messages_in += 1
        received: JSON = None
        name = "unknown"
        exchange = self._exchange
        try:
            if exchange.messages_per_second:
                self._bucket = spend(self._bucket, exchange.messages_per_second, exchange.clock.monotonic())
            message = decode_object(payload)
            received = message.get("eventType")
            event, load = codec.find_event(received)
            name = event.name
            if event.direction is SERVER:
                handlers.require_trust(self._connection)
            result = event.handler(exchange.context, event, self._connection, load(message))
        except Disconnect as reason:
            self._count(name, reason.reason)
            self._exchange.node.close(self._connection, reason)
            return None
        except UsersServerError as error:
            self._refuse(name, error, received)
            return None
        except Exception:
            self._fail(name, received)
            return None
        if type(result) is Reply:
            self._reply(result)
            exchange.node.statistics.messages[name, "ok"] += 1
            return None
        if result is None or isinstance(result, (Reply, Publish)):
            return self._carry_out(name, result, received)
        return self._carry_out_later(name, result, received)

    def write_changed(self) -> None:
        self._exchange.node.hub.write_changed(self._connection)

    def disconnect(self, reason: Disconnect) -> None:
        self._exchange.node.close(self._connection, reason)

    def lost(self) -> None:
        self._connection.is_closing = True
        self._exchange.node.disconnect(self._connection)

    def _carry_out(self, name: str, result: Result, received: JSON) -> Awaitable[None] | None:
        if isinstance(result, Publish):
            connection = self._connection
            accepted = self._exchange.node.publish(
                connection.app, result.channel, result.event, result.data, by=connection.client_info
            )
            if isinstance(accepted, Pending):
                return self._confirm_in_turn(name, accepted, received)
            if not isinstance(accepted, Accepted):
                return self._confirm(name, accepted, received)
        elif result is not None:
            self._reply(result)
        self._count(name, "ok")
        return None

    async def _carry_out_later(self, name: str, pending: Awaitable[Result], received: JSON) -> None:
        try:
            result = await pending
        except Disconnect as reason:
            self._count(name, reason.reason)
            self._exchange.node.close(self._connection, reason)
        except UsersServerError as error:
            self._refuse(name, error, received)
        except Exception:
            self._fail(name, received)
        else:
            unconfirmed = self._carry_out(name, result, received)
            if unconfirmed is not None:
                await unconfirmed

    def _confirm_in_turn(self, name: str, accepted: Pending[Any], received: JSON) -> Awaitable[None] | None:
        """Go on with the client's next message meanwhile; its answer waits for this one."""

        def answer(error: UsersServerError | None) -> None:
            if error is None:
                self._count(name, "ok")
            else:
                self._refuse(name, error, received)

        if self._answers is None:
            self._answers = AnswerQueue()
        return self._answers.follow(accepted, answer)

    async def _confirm(self, name: str, accepted: Awaitable[object], received: JSON) -> None:
        """Wait until the broker has taken the publication, and tell the sender if it did not."""
        try:
            await accepted
        except UsersServerError as error:
            self._refuse(name, error, received)
        else:
            self._count(name, "ok")

    def _reply(self, reply: Reply) -> None:
        frame = self._framing.text(codec.encode_event(reply.event, reply.data))
        if self._answers is None:
            self._exchange.node.reply(self._connection, frame)
        else:
            self._answers.put(lambda: self._exchange.node.reply(self._connection, frame))

    def _refuse(self, name: str, error: UsersServerError, received: JSON) -> None:
        self._count(name, error.reason)
        self._reply(Reply("Error", codec.error_data(error, received)))

    def _fail(self, name: str, received: JSON) -> None:
        """A mistake of ours: it is logged whole and costs the client this one message."""
        log.exception("message failed", connection=self._connection.id, event_name=name)
        self._refuse(name, UsersServerError(), received)

    def _count(self, name: str, result: str) -> None:
        self._exchange.node.statistics.messages[name, result] += 1


def close_transport(connection: Connection, reason: Disconnect) -> None:
    """``Connection.on_close`` of this protocol."""
    connection.transport.close(CLOSE_CODES[reason.reason], reason.message)
