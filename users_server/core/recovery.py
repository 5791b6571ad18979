"""
From a page of history and what came meanwhile to one sequence.

A subscription that is under way reads its channel's history while publications keep coming to this node. Some of them
are in the page already, some are not; and the page may hold some that have not come yet. :class:`CatchUp` puts both
together: pure, without any waiting.

Epochs have no order. An epoch that this node had seen before another one was read is the older; otherwise what comes
over the bus is taken for the newer.
"""

from __future__ import annotations

from dataclasses import dataclass

from users_server.core.local_channel import Floor
from users_server.core.messages import Gap, HistoryPage, Publication, StreamPosition


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    What a subscriber has at the moment at which it becomes live.

    Attributes:
        position: The top of the channel for it: everything after this is delivered.
        is_recovered: Whether ``publications`` are all from the position that was asked for up to the top;
            :obj:`None` if none was asked for.
        floor: Set if this node has not seen the top yet.
    """

    position: StreamPosition | None
    is_recovered: bool | None
    publications: tuple[Publication, ...]
    floor: Floor | None


class CatchUp:
    """
    One newcomer's way to the top of its channel.

    Args:
        since: The last position that the client has; :obj:`None` if it asks for nothing.
        seen: The newest position that this node has seen in the channel, if it saw any.
        max_arrivals: How many publications may come before the end; 0 for no limit.
        max_missed: How many may be recovered; 0 for no limit.
    """

    def __init__(
        self, since: StreamPosition | None, seen: StreamPosition | None, *, max_arrivals: int, max_missed: int
    ) -> None:
        self.since = since
        self._seen = seen
        self._max_arrivals = max_arrivals
        self._max_missed = max_missed
        self._arrived: list[Publication] = []
        self._page: HistoryPage | None = None
        self._stale_epoch: str | None = None
        self.arrivals = 0

    @property
    def has_page(self) -> bool:
        """Whether nothing more need be read."""
        return self._page is not None

    def skip_page(self) -> bool:
        """Do without a page where this node knows the top, and the client asks for nothing or has it. True if so."""
        if self._seen is None or self.since not in (None, self._seen):
            return False
        self._page = HistoryPage((), self._seen)
        return True

    def feed(self, publication: Publication) -> bool:
        """A publication with a position came to this node. False if that was one too many."""
        self._seen = publication.position
        self.arrivals += 1
        if self.since is not None:
            self._arrived.append(publication)
            return not self._max_arrivals or len(self._arrived) <= self._max_arrivals
        return True

    def feed_gap(self, gap: Gap) -> None:
        """Publications were lost on their way to this node; the next that comes is after ``gap.top``."""
        self._seen = gap.top
        self.arrivals += 1
        self._arrived.clear()

    def take_page(self, page: HistoryPage, arrivals: int) -> bool:
        """
        The history as it was read; ``arrivals`` had come when it was asked for.

        False if it must be read again, because nobody can say whether it is older or newer than what came meanwhile.
        """
        seen = self._seen
        if seen is not None and seen.epoch != page.top.epoch:
            if arrivals != self.arrivals:
                return False
            self._stale_epoch = seen.epoch
        self._page = page
        return True

    def finish(self) -> Recovery:
        """The subscription becomes live now. Only after a page."""
        page, seen = self._page, self._seen
        assert page is not None  # noqa: S101  # the caller's promise, as the docstring says
        is_ahead = seen is not None and self._is_beyond(seen, page.top)
        position = seen if is_ahead and seen is not None else page.top
        floor = None if seen == position else Floor(position, self._stale_epoch)
        if self.since is None:
            return Recovery(position, None, (), floor)
        publications = self._missed(page, position)
        return Recovery(position, publications is not None, publications or (), floor)

    def _missed(self, page: HistoryPage, position: StreamPosition) -> tuple[Publication, ...] | None:
        """Everything after ``since`` up to ``position``; :obj:`None` if it is not all there."""
        since = self.since
        if since is None or not page.is_complete or position.epoch != since.epoch:
            return None
        count = position.offset - since.offset
        if count < 0 or 0 < self._max_missed < count:
            return None
        late = (p for p in self._arrived if p.position is not None and self._is_beyond(p.position, page.top))
        missed = (*page.publications, *late)
        offsets = [p.position.offset for p in missed if p.position is not None and p.position.epoch == since.epoch]
        return missed if offsets == list(range(since.offset + 1, position.offset + 1)) else None

    def _is_beyond(self, position: StreamPosition, other: StreamPosition) -> bool:
        """Whether ``position`` is newer than ``other``; of two epochs, the one that is not over."""
        if position.epoch == other.epoch:
            return position.offset > other.offset
        return position.epoch != self._stale_epoch
