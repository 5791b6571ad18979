"""One client's link, with as many channels as it joins."""

from __future__ import annotations

from collections.abc import Awaitable

import structlog

from users_server.core.acceptance import Accepted
from users_server.core.connection import Connection
from users_server.core.interfaces import Transport
from users_server.core.rate_limit import TokenBucket, spend
from users_server.errors import BackendError, Disconnect, LimitExceeded, UsersServerError
from users_server.protocols.base import Peer
from users_server.protocols.jwp.admission import MAX_LOGGED, NAME, Entry
from users_server.protocols.jwp.codec import ClientMessage
from users_server.protocols.jwp.encoder import JWPEncoder
from users_server.protocols.jwp.errors import CLOSE_CODES, refusal
from users_server.protocols.jwp.events import HEARTBEAT, JOIN, LEAVE, PHOENIX_TOPIC
from users_server.protocols.jwp.joining import Joining
from users_server.protocols.jwp.seats import Exchange, Place, Seat

log = structlog.stdlib.get_logger(__name__)


class JWPReceiver:
    """
    :class:`users_server.protocols.base.Receiver` of a Phoenix client. Raises :class:`ServerFull` if there is no room.

    Joins are carried out one after the other, like by Phoenix: until one is answered, what the client sends waits in
    the socket.

    Attributes:
        heard_at: When the client said something last, by the monotonic clock.
    """

    __slots__ = ("_bucket", "_has_pushed", "_place", "heard_at")

    def __init__(self, exchange: Exchange, peer: Peer, transport: Transport, encoder: JWPEncoder) -> None:
        entry: Entry = peer.admission.details
        foundation = exchange.foundation
        self.heard_at = foundation.clock.monotonic()
        self._bucket: TokenBucket | None = None
        self._has_pushed = False
        connection = Connection(
            peer.connection_id,
            peer.identity,
            encoder,
            transport,
            close_transport,
            address=peer.address,
            app=peer.admission.app,
            connected_at=self.heard_at,
            protocol=NAME,
            user_id=entry.socket_id,
        )
        self._place = Place(exchange, connection, encoder)
        foundation.node.connect(connection)
        exchange.idle_watch.watch(self)

    def receive(self, payload: bytes, is_text: bool) -> Awaitable[None] | None:
        place = self._place
        place.connection.messages_in += 1
        self.heard_at = place.exchange.foundation.clock.monotonic()
        try:
            message = place.encoder.serializer.decode(payload, is_text)
            self._take_token(message)
            return self._handle(message)
        except Disconnect as reason:
            place.exchange.count(reason.reason)
            self.disconnect(reason)
        except LimitExceeded as error:
            place.exchange.count(error.reason)
            self._write(place.encoder.reply(message, "error", refusal(error)))
        except Exception:
            log.exception("message failed", connection=place.connection.id)
            place.exchange.count(UsersServerError.reason)
            self.disconnect(Disconnect())
        return None

    def write_changed(self) -> None:
        self._place.exchange.foundation.node.hub.write_changed(self._place.connection)

    def disconnect(self, reason: Disconnect) -> None:
        self._place.exchange.foundation.node.close(self._place.connection, reason)

    def lost(self) -> None:
        place = self._place
        place.connection.is_closing = True
        place.exchange.foundation.node.disconnect(place.connection)
        place.exchange.idle_watch.forget(self)
        while place.seats:
            place.exchange.end(place.seats.popitem()[1])

    def _take_token(self, message: ClientMessage) -> None:
        """
        Raises :class:`LimitExceeded`, and :class:`ProtocolViolation` if that helps nothing.

        phoenix.js does not understand that a heartbeat or a leave could be refused, so that these cost a token, but
        need none.
        """
        exchange = self._place.exchange
        try:
            self._bucket = spend(
                self._bucket, exchange.foundation.messages_per_second, exchange.foundation.clock.monotonic()
            )
        except LimitExceeded:
            if not (_is_heartbeat(message) or message.event == LEAVE.type):
                raise

    def _handle(self, message: ClientMessage) -> Awaitable[None] | None:
        place = self._place
        if message.event == JOIN.type:
            return self._join(message)
        seat = place.seats.get(message.topic)
        if _is_heartbeat(message) or (seat is None and message.event == LEAVE.type):
            self._confirm(message)
        elif seat is None:
            place.exchange.count("unmatched_topic")
            self._write(place.encoder.unmatched(message))
        elif message.join_ref is not None and message.join_ref != seat.join_ref:
            place.exchange.count("stale")
        elif message.event == LEAVE.type:
            return self._leave(message, seat)
        else:
            self._pass_over(message, seat)
        return None

    def _confirm(self, message: ClientMessage) -> None:
        self._write(self._place.encoder.reply(message, "ok", {}))
        self._place.exchange.count("ok")

    async def _join(self, message: ClientMessage) -> None:
        place = self._place
        former = place.seats.get(message.topic)
        if former is not None:
            if place.encoder.serializer.tells_join_refs:
                # others could not tell that it is the former join that is over
                self._write(place.encoder.closed(former.topic, former.join_ref))
            await self._settle(self._give_up(former))
        await Joining(place, message).run()

    def _leave(self, message: ClientMessage, seat: Seat) -> Awaitable[None] | None:
        left = self._give_up(seat)
        self._confirm(message)
        self._write(self._place.encoder.closed(seat.topic, seat.join_ref))
        return None if isinstance(left, Accepted) else self._settle(left)

    def _give_up(self, seat: Seat) -> Awaitable[None]:
        """Leave a channel. Returns what to await until the others know."""
        place = self._place
        del place.seats[seat.topic]
        left = place.exchange.foundation.node.unsubscribe(place.connection, seat.channel)
        place.exchange.end(seat)
        return left

    async def _settle(self, left: Awaitable[None]) -> None:
        try:
            await left
        except BackendError as error:
            log.info("others hear of a leave later", connection=self._place.connection.id, reason=error.reason)

    def _pass_over(self, message: ClientMessage, seat: Seat) -> None:
        """Clients publish nothing; like Phoenix where nobody handles an event, this answers nothing."""
        self._place.exchange.count("unhandled")
        if not self._has_pushed:
            self._has_pushed = True
            connection = self._place.connection
            log.info(
                "a client's event is not handled",
                connection=connection.id,
                app=connection.app,
                channel=seat.channel,
                event_name=message.event[:MAX_LOGGED],
            )

    def _write(self, frames: bytes) -> None:
        if frames:
            self._place.exchange.foundation.node.reply(self._place.connection, frames)


def _is_heartbeat(message: ClientMessage) -> bool:
    return message.topic == PHOENIX_TOPIC and message.event == HEARTBEAT.type


def close_transport(connection: Connection, reason: Disconnect) -> None:
    """``Connection.on_close`` of this protocol."""
    connection.transport.close(CLOSE_CODES[reason.reason], reason.message)
