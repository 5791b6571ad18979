"""Histories in this process's memory; they end with it."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from users_server.core.acceptance import Accepted
from users_server.core.clock import Clock
from users_server.core.messages import HistoryPage, HistoryRule, Publication, StreamPosition
from users_server.schemas.json_text import encode


@dataclass(slots=True)
class _Kept:
    publication: Publication
    expires_at: float
    size_bytes: int


@dataclass(slots=True)
class _Stream:
    epoch: str
    offset: int = 0
    kept: deque[_Kept] = field(default_factory=deque)


class MemoryHistory:
    """
    :class:`users_server.core.interfaces.History` in memory: as durable as the process.

    Args:
        max_channels: Whose history is kept; beyond it, that of the channel that was published to longest ago is
            forgotten whole, so that its clients are told that they cannot recover.
        max_bytes: Of the data of all publications, as JSON; beyond it the same is done.
    """

    def __init__(self, clock: Clock, *, max_channels: int = 10_000, max_bytes: int = 67_108_864) -> None:
        self._clock = clock
        self._max_channels = max_channels
        self._max_bytes = max_bytes
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._bytes = 0
        self._generation = secrets.token_bytes(16)

    async def open(self) -> None:
        pass

    def append(self, publication: Publication, rule: HistoryRule) -> Accepted[StreamPosition]:
        now = self._clock.monotonic()
        key = (publication.app, publication.channel)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(self._epoch(*key))
        self._streams.move_to_end(key)
        stream.offset += 1
        position = StreamPosition(stream.offset, stream.epoch)
        p = publication
        kept = Publication(p.app, p.channel, p.event, p.data, p.by, position, p.to_user, p.except_connection)
        size_bytes = len(encode(p.data))
        stream.kept.append(_Kept(kept, now + rule.seconds, size_bytes))
        self._bytes += size_bytes
        while len(stream.kept) > rule.size:
            self._drop_oldest(stream)
        self._drop_expired(stream, now)
        self._keep_bounds()
        return Accepted(position)

    async def read(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        stream = self._streams.get((app, channel))
        if stream is None:
            top = StreamPosition(0, self._epoch(app, channel))
            return HistoryPage((), top, is_complete=since is None or since == top)
        self._drop_expired(stream, self._clock.monotonic())
        top = StreamPosition(stream.offset, stream.epoch)
        publications = [] if since is None and limit == 0 else [kept.publication for kept in stream.kept]
        if since is None:
            start = 0 if limit is None else max(0, len(publications) - limit)
            return HistoryPage(tuple(publications[start:]), top)
        missed = stream.offset - since.offset
        if since.epoch != stream.epoch or since.offset < 0 or not 0 <= missed <= len(publications):
            return HistoryPage((), top, is_complete=False)
        newest = publications[len(publications) - missed :]
        return HistoryPage(tuple(newest if limit is None else newest[:limit]), top)

    async def expire(self) -> None:
        now = self._clock.monotonic()
        for stream in self._streams.values():
            self._drop_expired(stream, now)

    def _epoch(self, app: str, channel: str) -> str:
        """The epoch of a channel that nothing is known of: a position of another channel must not look like its own."""
        name = f"{app}/{channel}".encode()
        return hashlib.blake2b(name, digest_size=8, key=self._generation).hexdigest()

    def _drop_oldest(self, stream: _Stream) -> None:
        self._bytes -= stream.kept.popleft().size_bytes

    def _drop_expired(self, stream: _Stream, now: float) -> None:
        while stream.kept and stream.kept[0].expires_at <= now:
            self._drop_oldest(stream)

    def _keep_bounds(self) -> None:
        """Forget the channels that rested longest, but never the one that was just published to."""
        while len(self._streams) > self._max_channels or (self._bytes > self._max_bytes and len(self._streams) > 1):
            _, stream = self._streams.popitem(last=False)
            while stream.kept:
                self._drop_oldest(stream)
            # the channel's offsets begin again at 1 when it comes back, which must not look like the same epoch
            self._generation = secrets.token_bytes(16)
        if self._bytes > self._max_bytes:
            (newest,) = self._streams.values()
            while self._bytes > self._max_bytes and len(newest.kept) > 1:
                self._drop_oldest(newest)
