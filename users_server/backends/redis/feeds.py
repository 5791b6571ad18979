"""
What comes on one Pub/Sub channel, without gaps and repetitions, whatever happens to the line.

While a feed is interrupted, live messages wait. When its channel is subscribed again, what was missed is read from the
history and handed over first; if it is not there any more, that is told. A channel without a history has nothing to
read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import hiredis
import structlog

from users_server.backends.redis.keys import ChannelKeys
from users_server.backends.redis.link import Link, is_temporary
from users_server.backends.redis.requests import Call, Command, Reply
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.acceptance import Pending
from users_server.core.messages import StreamPosition

log = structlog.stdlib.get_logger(__name__)

PAGE_SIZE = 200
"""Publications that are read in one go."""

MAX_HELD = 1_000
"""Messages that wait while the history is read. Of more, the oldest goes: it is read from the history, too."""

AGAIN_SECONDS = 0.2

LOST_PRESENCE = b'l0 %d %s ["","",null]'
"""Stands for the changes of an epoch in which there were none: nobody leaves."""

MAX_NODES = 256
"""Nodes whose last publication is remembered for a channel."""

_WITHOUT_HISTORY = ord("-")
_WITH_HISTORY = ord("+")


class FeedSink(Protocol):
    """Where a feed brings what came."""

    def publication(self, body: bytes, position: StreamPosition | None) -> None:
        """In order, each once."""

    def presence(self, message: bytes) -> None:
        """As it came."""

    def gap(self, top: StreamPosition) -> None:
        """What came after the last publication and up to ``top`` is lost."""


class Feed:
    """
    Args:
        node: This start of this node.
        is_kept: The channel has a history, even if there is nothing in it yet.
    """

    __slots__ = (
        "_based_on",
        "_epoch",
        "_held",
        "_is_based",
        "_is_kept",
        "_is_live",
        "_link",
        "_node",
        "_offset",
        "_presence",
        "_scripts",
        "_sink",
        "_statistics",
        "_tags",
        "keys",
        "ready",
    )

    def __init__(
        self,
        keys: ChannelKeys,
        sink: FeedSink,
        scripts: Scripts,
        statistics: RedisStatistics,
        node: bytes,
        *,
        is_kept: bool = False,
    ) -> None:
        self.keys = keys
        self._sink = sink
        self._scripts = scripts
        self._statistics = statistics
        self._node = node
        self._is_kept = is_kept
        self._link: Link | None = None
        self._is_live = False
        self._is_based = False
        self._based_on = b""
        self._epoch = b""
        self._offset = 0
        self._presence = (b"", 0)
        self._held: deque[bytes] = deque()
        self._tags: dict[bytes, int] = {}
        self.ready: Pending[None] = Pending()
        """Succeeds when the channel is subscribed and what was missed is handed over; made anew at an interruption."""

    @property
    def is_live(self) -> bool:
        return self._is_live

    def resume(self, link: Link) -> None:
        """The channel is being subscribed on ``link``: read what was missed, or where the channel stands."""
        if self._is_based and self._epoch:
            self._statistics.catch_ups += 1
        self._link = link
        self._is_live = False
        self._read()

    def interrupt(self) -> None:
        """The channel is not subscribed any more. What waits was on the way before, and is in order."""
        self._link = None
        self._is_live = False
        if self.ready.is_done:
            self.ready = Pending()

    def base(self, top: StreamPosition) -> None:
        """``top`` was read from the history on the feed's own line: from now on nothing behind it may be missed."""
        if self._is_live and not self._epoch:
            self._epoch, self._offset = top.epoch.encode(), top.offset

    def handle(self, message: bytes) -> None:
        """A live message came."""
        if self._is_live:
            if not self._take(message):
                self._hold(message)
                self._catch_up()
        elif self._link is not None:
            self._hold(message)

    def _hold(self, message: bytes) -> None:
        self._held.append(message)
        if len(self._held) > MAX_HELD:
            self._held.popleft()

    def _take(self, message: bytes) -> bool:
        """Hand ``message`` over; false if another one is missing before it."""
        kind = message[0] if message else 0
        if kind == _WITHOUT_HISTORY:
            self._sink.publication(message[1:], None)
        elif kind != _WITH_HISTORY:
            self._take_presence(message)
        else:
            try:
                head, epoch, node, counter, body = message.split(b" ", 4)
                offset, number = int(head), int(counter)
            except ValueError:
                log.warning("a message on a channel of Redis is none of ours")
                return True
            if epoch == self._epoch:
                if offset <= self._offset:
                    self._statistics.duplicates += 1
                    return True
                if offset != self._offset + 1:
                    return False
            elif offset != 1:
                return False
            self._hand_over(offset, epoch, node, number, body)
        return True

    def _take_presence(self, message: bytes) -> None:
        try:
            _, version, epoch, _ = message.split(b" ", 3)
            number = int(version)
        except ValueError:
            log.warning("a message on a channel of Redis is none of ours")
            return
        if epoch != self._presence[0] or number > self._presence[1]:
            self._presence = (epoch, number)
            self._sink.presence(message)

    def _compare_presence(self, epoch: bytes, version: int, last: bytes, was_based: bool) -> None:
        """Changes of presence are not kept; by its version, the last one tells whether some were missed."""
        seen, self._presence = self._presence, (epoch, version)
        if not was_based or not epoch or seen == self._presence:
            return
        if epoch == seen[0] and version < seen[1]:
            last, epoch = b"", b"lost"  # Redis has gone back in time
        self._sink.presence(last or LOST_PRESENCE % (version, epoch))

    def _hand_over(self, offset: int, epoch: bytes, node: bytes, counter: int, body: bytes) -> None:
        self._epoch, self._offset = epoch, offset
        if self._tags.get(node, 0) >= counter:
            # published a second time, on a Redis that had lost the first
            self._statistics.duplicates += 1
            return
        if node not in self._tags and len(self._tags) >= MAX_NODES:
            del self._tags[next(iter(self._tags))]
        self._tags[node] = counter
        self._sink.publication(body, StreamPosition(offset, epoch.decode()))

    def _catch_up(self) -> None:
        """A live message says that others are missing."""
        if self._link is not None:
            self._statistics.catch_ups += 1
            self._is_live = False
            self._read()

    def _read(self) -> None:
        link = self._link
        if link is not None:
            link.send(Call(self.keys.slot, self._command, self._answer_on(link), _ignore, is_bound=True))

    def _command(self, server: bytes) -> Command:
        is_same = self._based_on == server
        return self._scripts.read.call(
            (self.keys.meta, self.keys.stream, self.keys.versions),
            server,
            self._node,
            1,
            int(self._is_kept or bool(self._epoch)),
            self._offset if self._is_based else -1,
            self._epoch,
            PAGE_SIZE if self._is_based else 0,
            int(is_same),
            int(bool(self._presence[0])),
        )

    def _answer_on(self, link: Link) -> Callable[[Reply], None]:
        def answered(reply: Reply) -> None:
            if link is not self._link:
                return  # the line was cut meanwhile, or the channel has moved: it is read again
            if isinstance(reply, hiredis.ReplyError):
                self._refused(link, str(reply))
            else:
                self._read_is_done(link, *reply)

        return answered

    def _refused(self, link: Link, error: str) -> None:
        if not is_temporary(error):
            log.error("a channel's history cannot be read", error=error[:200])
            link.abort()
            return

        def again() -> None:
            if link is self._link and not self._is_live:
                self._read()

        # the line looks after the reason; while a Cluster moves the slot, only waiting helps
        asyncio.get_running_loop().call_later(AGAIN_SECONDS, again)

    def _read_is_done(
        self,
        link: Link,
        is_complete: int,
        epoch: bytes,
        top: int,
        messages: list[bytes],
        presence_epoch: bytes,
        presence_version: bytes,
        last: bytes,
    ) -> None:
        was_based = self._is_based
        if not epoch:
            self._base(link)
        elif not self._is_based:
            self._epoch, self._offset = epoch, top
            self._base(link)
        elif not is_complete:
            self._epoch, self._offset = epoch, top
            self._statistics.gaps += 1
            self._sink.gap(StreamPosition(top, epoch.decode()))
            self._base(link)
            self._read()  # what comes after the gap may be kept
            return
        else:
            for message in messages:
                head, of_epoch, node, counter, body = message.split(b" ", 4)
                self._statistics.recovered += 1
                self._hand_over(int(head), of_epoch, node, int(counter), body)
            if not messages:
                self._epoch, self._offset = epoch, top
            elif (self._epoch, self._offset) != (epoch, top):
                self._read()
                return
        self._base(link)
        self._compare_presence(presence_epoch, int(presence_version or 0), last, was_based)
        self._release()

    def _base(self, link: Link) -> None:
        self._is_based, self._based_on = True, link.identity

    def _release(self) -> None:
        """Hand over what came live meanwhile, then go on live."""
        self._is_live = True
        while self._held:
            if not self._take(self._held[0]):
                self._catch_up()
                return
            self._held.popleft()
        self.ready.succeed(None)


def _ignore(_: object) -> None:
    return None
