"""One client's link: it is in one channel from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import structlog

from users_server.core.acceptance import Accepted, Pending
from users_server.core.clock import Clock
from users_server.core.connection import Connection
from users_server.core.interfaces import Transport
from users_server.core.messages import Member, StreamPosition
from users_server.core.node import Node
from users_server.core.rate_limit import TokenBucket, spend
from users_server.core.subscriptions import Subscribed
from users_server.errors import (
    BackendError,
    Disconnect,
    LimitExceeded,
    ProtocolViolation,
    ServerFull,
    UsersServerError,
)
from users_server.protocols.answers import AnswerQueue
from users_server.protocols.base import Peer, Publish
from users_server.protocols.relay import codec
from users_server.protocols.relay.admission import NAME, Entry
from users_server.protocols.relay.errors import CLOSE_CODES
from users_server.protocols.relay.events import MESSAGE
from users_server.protocols.relay.handlers import Place
from users_server.protocols.relay.sizes import check_size

log = structlog.stdlib.get_logger(__name__)

COUNTED_AS = "relay message"
"""What its messages are called in the metrics."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all receivers of the protocol share."""

    node: Node
    clock: Clock
    messages_per_second: float


class RelayReceiver:
    """
    :class:`users_server.protocols.base.Receiver` of the relay. Raises :class:`ServerFull` where there is no room.

    Until its channel is joined, which may take a trip to the broker, what the client sends waits in the socket.
    """

    __slots__ = ("_answers", "_bucket", "_connection", "_encoder", "_exchange", "_joining", "_place")

    def __init__(
        self, exchange: Exchange, peer: Peer, transport: Transport, encoder: codec.RelayEncoder, place: Place
    ) -> None:
        entry: Entry = peer.admission.details
        self._exchange = exchange
        self._encoder = encoder
        self._place = place
        self._bucket: TokenBucket | None = None
        self._answers: AnswerQueue | None = None
        self._joining: asyncio.Task[None] | None = None
        self._connection = Connection(
            peer.connection_id,
            peer.identity,
            encoder,
            transport,
            close_transport,
            address=peer.address,
            app=place.app,
            connected_at=exchange.clock.monotonic(),
            protocol=NAME,
            user_id=str(place.claims.user_id),
            username=place.claims.name,
        )
        exchange.node.connect(self._connection)
        self._join(entry.since)

    def _join(self, since: StreamPosition | None) -> None:
        connection, encoder, claims = self._connection, self._encoder, self._place.claims
        has_presence = self._place.rule.announces_presence
        member = Member(connection.id, str(claims.user_id), {"name": claims.name}) if has_presence else None

        def greet(subscribed: Subscribed) -> bytes:
            return encoder.encode_subscribed(subscribed, since=since, announces_presence=has_presence)

        joined = self._exchange.node.subscribe(connection, claims.channel, greet, since=since, member=member)
        if not isinstance(joined, Accepted):
            self._joining = asyncio.ensure_future(_settle(self._exchange.node, connection, joined))

    def receive(self, payload: bytes, is_text: bool) -> Awaitable[None] | None:
        self._connection.messages_in += 1
        if self._joining is not None and not self._joining.done():
            return self._receive_when_joined(payload)
        return self._receive(payload)

    async def _receive_when_joined(self, payload: bytes) -> None:
        if self._joining is not None:
            await asyncio.wait({self._joining})
        pending = None if self._connection.is_closing else self._receive(payload)
        if pending is not None:
            await pending

    def _receive(self, payload: bytes) -> Awaitable[None] | None:
        exchange = self._exchange
        try:
            self._bucket = spend(self._bucket, exchange.messages_per_second, exchange.clock.monotonic())
            data = codec.decode_send(payload)
            check_size(data, self._place.max_data_bytes, at_most=len(payload))
            result = MESSAGE.handler(MESSAGE, self._place, data)
        except Exception as error:
            self._refuse(error)
            return None
        if isinstance(result, Publish):
            accepted = self._publish(result)
            if isinstance(accepted, Accepted):
                self._confirm()
                return None
            if isinstance(accepted, Pending):
                return self._confirm_in_turn(accepted)
            return self._confirm_later(accepted)
        return self._publish_later(result)

    def write_changed(self) -> None:
        self._exchange.node.hub.write_changed(self._connection)

    def disconnect(self, reason: Disconnect) -> None:
        self._exchange.node.close(self._connection, reason)

    def lost(self) -> None:
        self._connection.is_closing = True
        self._exchange.node.disconnect(self._connection)

    def _publish(self, result: Publish) -> Awaitable[object]:
        connection = self._connection
        return self._exchange.node.publish(
            connection.app,
            result.channel,
            result.event,
            result.data,
            by=connection.client_info,
            to_user=result.to_user,
        )

    async def _publish_later(self, pending: Awaitable[Publish]) -> None:
        try:
            result = await pending
            check_size(result.data, self._place.max_data_bytes)
            accepted = self._publish(result)
        except Exception as error:
            self._refuse(error)
        else:
            await self._confirm_later(accepted)

    def _confirm_in_turn(self, accepted: Pending[Any]) -> Awaitable[None] | None:
        """Go on with the client's next message meanwhile; its answer waits for this one."""
        if self._answers is None:
            self._answers = AnswerQueue()
        return self._answers.follow(accepted, lambda error: self._confirm() if error is None else self._refuse(error))

    async def _confirm_later(self, accepted: Awaitable[object]) -> None:
        """Wait until the broker has taken the publication."""
        try:
            await accepted
        except Exception as error:
            self._refuse(error)
        else:
            self._confirm()

    def _confirm(self) -> None:
        """Tell the sender at once, before the message itself comes with the flush."""
        self._answer(codec.SENT)
        self._count("ok")

    def _refuse(self, error: Exception) -> None:
        """Answer, or close the link; a mistake of ours is logged whole and costs the client this one message."""
        if isinstance(error, Disconnect):
            self._count(error.reason)
            self._exchange.node.close(self._connection, error)
            return
        if not isinstance(error, UsersServerError):
            log.error("message failed", connection=self._connection.id, exc_info=error)
            error = UsersServerError()
        self._count(error.reason)
        self._answer(codec.encode_refusal(error))

    def _answer(self, payload: bytes) -> None:
        frame = self._encoder.frame(payload)
        if self._answers is None:
            self._connection.transport.write(frame)
        else:
            self._answers.put(lambda: self._connection.transport.write(frame))

    def _count(self, result: str) -> None:
        self._exchange.node.statistics.messages[COUNTED_AS, result] += 1


async def _settle(node: Node, connection: Connection, joined: Awaitable[None]) -> None:
    """Wait until the channel is joined; a client that cannot be in its one channel is told why and closed."""
    try:
        await joined
    except Disconnect as reason:
        node.close(connection, reason)
    except (BackendError, LimitExceeded) as error:
        node.close(connection, ServerFull(error.message))
    except UsersServerError as error:
        node.close(connection, ProtocolViolation(error.message))
    except Exception:
        log.exception("joining failed", connection=connection.id)
        node.close(connection, Disconnect())


def close_transport(connection: Connection, reason: Disconnect) -> None:
    """``Connection.on_close`` of this protocol."""
    connection.transport.close(CLOSE_CODES[reason.reason], reason.message)
