"""
One WebSocket after its handshake: frames in and out over an asyncio transport, the close handshake, and the bounds.

Rule 1: nothing waits for the peer. What cannot be sent is buffered up to ``send_queue_bytes``; over that the reader is
slow and is closed.
Rule 2: reading stops while the peer does not read its own answers, and while a message of it is being worked on.
Rule 3: ``Receiver.lost`` is called once, as soon as nothing more can be received or sent for the protocol.
Rule 4: the TCP connection ends only when the peer could have read why, or a time has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import structlog

from users_server.errors import SessionExpired, SlowConsumer, StaleConnection
from users_server.protocols.base import Receiver
from users_server.web.settings import WebSocketSettings
from users_server.web.websocket.frames import Opcode, encode_close, encode_frame
from users_server.web.websocket.parser import FrameError, FrameParser

log = structlog.stdlib.get_logger(__name__)


class LinkOwner(Protocol):
    """Who is told of a link's end."""

    def link_closed(self, link: WebSocketLink) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What all links of a server share."""

    websocket: WebSocketSettings
    loop: asyncio.AbstractEventLoop
    owner: LinkOwner
    pause_reading_bytes: int
    tasks: set[asyncio.Future[None]]
    """The messages that are being worked on, also of links that are gone."""


class WebSocketLink(asyncio.Protocol):
    """
    An :class:`asyncio.Protocol` that speaks RFC 6455 and is a :class:`users_server.core.interfaces.Transport`.

    Args:
        settings: Shared by all links.
        connection_id: For the logs.
        address: The peer's, for the limits.
        greeting: The answer to the handshake; the first bytes that are sent.
        open_receiver: Called once, when the transport is connected: to whom messages go. :obj:`None`: the link was
            refused, and nothing that the peer sends is read but its answer to the close frame.
        first_bytes: What came with the handshake.
        accepts_deflate: permessage-deflate was negotiated.
    """

    __slots__ = (
        "__weakref__",
        "_close_timer",
        "_expiry_timer",
        "_has_sent_close",
        "_is_busy",
        "_opening",
        "_parser",
        "_receiver",
        "_settings",
        "_transport",
        "_write_paused",
        "address",
        "connection_id",
        "is_gone",
        "is_paused",
        "was_heard",
        "write",
    )

    def __init__(
        self,
        settings: LinkSettings,
        connection_id: str,
        address: str,
        *,
        greeting: bytes,
        open_receiver: Callable[[WebSocketLink], Receiver | None],
        first_bytes: bytes = b"",
        accepts_deflate: bool = False,
    ) -> None:
        self._settings = settings
        self.connection_id = connection_id
        self.address = address
        self._parser: FrameParser | None = FrameParser(
            self, settings.websocket.max_message_bytes, accepts_deflate=accepts_deflate
        )
        self._opening: tuple[bytes, Callable[[WebSocketLink], Receiver | None], bytes] | None
        self._opening = (greeting, open_receiver, first_bytes)
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._has_sent_close = False
        self._write_paused = False
        self._is_busy = False
        self.write: Callable[[bytes], None] = _write_nothing
        self.is_paused = False
        self.is_gone = False
        self.was_heard = True

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._settings.pause_reading_bytes)
        assert self._opening is not None  # noqa: S101 - asyncio connects a protocol once
        (greeting, open_receiver, first_bytes), self._opening = self._opening, None
        self._transport.write(greeting)
        self.write = self._transport.write
        receiver = open_receiver(self)
        if receiver is not None and self._has_sent_close:
            receiver.lost()
        else:
            self._receiver = receiver
        if first_bytes:
            self.data_received(first_bytes)

    def data_received(self, data: bytes) -> None:
        self.was_heard = True
        if self._parser is not None:
            try:
                self._parser.feed(data)
            except FrameError as error:
                self._fail(error)

    def eof_received(self) -> None:
        """The peer sends no more; asyncio closes the transport, which sends what is queued first."""

    def connection_lost(self, exc: BaseException | None) -> None:
        self.is_gone = True
        for timer in (self._close_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()
        self._close_timer = self._expiry_timer = None
        self._leave()
        self._parser = None
        self._transport = None
        self._settings.owner.link_closed(self)

    def pause_writing(self) -> None:
        """The peer reads slowly: take no more questions from it, and watch its queue with every write."""
        self._write_paused = True
        self._replace_write(self._write_and_check)
        self._update_reading()
        self._check_queue()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._transport is not None:
            self._replace_write(self._transport.write)
        # not from here: a transport may call this from a write, in the middle of a message
        self._settings.loop.call_soon(self._read_on)

    # What the parser calls

    def on_message(self, payload: bytes, is_text: bool) -> None:
        if self._receiver is None or self._has_sent_close:
            return
        pending = self._receiver.receive(payload, is_text)
        if pending is not None:
            self._wait_for(pending)

    def on_ping(self, payload: bytes) -> None:
        if not self._has_sent_close:
            self.write(encode_frame(Opcode.PONG, payload))

    def on_pong(self, payload: bytes) -> None:
        """Any byte is life already; see :meth:`data_received`."""

    def on_close(self, code: int | None, reason: str) -> None:
        """The peer closes, or answers our close (RFC 6455 section 7.1): answer once, then end the TCP connection."""
        self._parser = None
        self._leave()
        if not self._has_sent_close:
            self._send(encode_frame(Opcode.CLOSE, b"") if code is None else encode_close(code, ""))
            self._has_sent_close = True
        if self._transport is not None:
            self._transport.close()
            self._start_close_timer()

    # users_server.core.interfaces.Transport, whose ``write`` is the asyncio transport's own while all is well

    def close(self, code: int, reason: str) -> None:
        """See :class:`users_server.core.interfaces.Transport`. Messages that come after this are not read."""
        if self._has_sent_close or self._transport is None:
            return
        self._send(encode_close(code, reason))
        self._has_sent_close = True
        self._leave()
        self._start_close_timer()
        self._update_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def queued_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def expire_in(self, seconds: float) -> None:
        """Close the link when the identity that it rests on has ended."""
        self._expiry_timer = self._settings.loop.call_later(max(0.0, seconds), self._expire)

    def _expire(self) -> None:
        if self._receiver is not None:
            self._receiver.disconnect(SessionExpired("The token has expired"))

    # users_server.web.websocket.keep_alive.Pingable

    def ping(self) -> None:
        self.write(encode_frame(Opcode.PING, b""))

    def give_up(self) -> None:
        """The peer has not answered a ping. Most likely it is not there, so nothing more is waited for."""
        if self._receiver is not None:
            self._receiver.disconnect(StaleConnection())
        if self._transport is not None:
            self._transport.close()
            self._start_close_timer()

    def _send(self, frames: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frames)

    def _fail(self, error: FrameError) -> None:
        """RFC 6455 section 7.1.7: say why, and drop the link without reading more."""
        log.info("websocket failed", connection=self.connection_id, code=int(error.code), reason=error.reason)
        self._parser = None
        if not self._has_sent_close:
            self._send(encode_close(error.code, error.reason))
            self._has_sent_close = True
        self._leave()
        self._end()

    def _end(self) -> None:
        """
        End the TCP connection behind what is queued.

        Where the peer may have sent more than was read, closing at once could make its kernel throw away our close
        frame unread; so only our side is shut, the rest is read and thrown away, and the timer sees to an end.
        """
        if self._transport is None:
            return
        self._start_close_timer()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._update_reading()
        else:
            self._transport.close()

    def _leave(self) -> None:
        """Nothing more is written or received for the protocol."""
        self.write = _write_nothing
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost()

    def _start_close_timer(self) -> None:
        if self._close_timer is None:
            seconds = self._settings.websocket.close_timeout_seconds
            self._close_timer = self._settings.loop.call_later(seconds, self.abort)

    def _replace_write(self, write: Callable[[bytes], None]) -> None:
        """Only while the link is open: one that is closed writes nothing, and stays so."""
        if self._receiver is not None and not self._has_sent_close:
            self.write = write
            self._receiver.write_changed()

    def _write_and_check(self, frames: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frames)
            self._check_queue()

    def _check_queue(self) -> None:
        """Close a slow reader, but not from here: the caller may be in the middle of a broadcast."""
        limit = self._settings.websocket.send_queue_bytes
        if self._receiver is not None and self.queued_bytes > limit:
            self._settings.loop.call_soon(self._close_slow)

    def _close_slow(self) -> None:
        if self._receiver is not None:
            self._receiver.disconnect(SlowConsumer())

    def _wait_for(self, pending: Awaitable[None]) -> None:
        """Read nothing more until the answer is there, so that answers keep the order of their questions."""
        self._is_busy = True
        self._update_reading()
        task: asyncio.Future[None] = asyncio.ensure_future(cast(Any, pending))
        self._settings.tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Future[None]) -> None:
        self._settings.tasks.discard(task)
        self._is_busy = False
        if not task.cancelled() and task.exception() is not None:
            log.error("receiver failed", connection=self.connection_id, exc_info=task.exception())
        self._read_on()

    def _read_on(self) -> None:
        """Go on with what was read already, if nothing holds it up any more, and then with the socket."""
        self._update_reading()
        if not self.is_paused:
            self.data_received(b"")

    def _update_reading(self) -> None:
        self.is_paused = (self._is_busy or self._write_paused) and not self._has_sent_close
        if self._transport is None or self._transport.is_closing():
            return
        if self.is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _write_nothing(frames: bytes) -> None:
    """The ``write`` of a link that is not open."""
