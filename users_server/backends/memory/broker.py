"""Publications of one process, in the order in which they were published."""

from __future__ import annotations

import secrets

from users_server.core.acceptance import Accepted, Refused
from users_server.core.interfaces import PublicationHandler
from users_server.core.messages import Publication, Revocation, StreamPosition
from users_server.errors import BrokerUnavailable


class MemoryBroker:
    """
    :class:`users_server.core.interfaces.Broker` without a network: the handler is called inline.

    Offsets count all publications of this process; the epoch is new with each start, since nothing survives it.
    """

    def __init__(self) -> None:
        self._handler: PublicationHandler | None = None
        self._epoch = secrets.token_hex(8)
        self._offset = 0

    async def start(self, handler: PublicationHandler) -> None:
        self._handler = handler

    async def stop(self) -> None:
        self._handler = None

    def publish(self, publication: Publication) -> Accepted[StreamPosition] | Refused:
        if self._handler is None:
            return Refused(_not_started())
        self._offset += 1
        self._handler.handle_publication(publication)
        return Accepted(StreamPosition(self._offset, self._epoch))

    def revoke(self, revocation: Revocation) -> Accepted[None] | Refused:
        if self._handler is None:
            return Refused(_not_started())
        self._handler.handle_revocation(revocation)
        return Accepted(None)

    async def check(self) -> None:
        if self._handler is None:
            raise _not_started()


def _not_started() -> BrokerUnavailable:
    return BrokerUnavailable("The broker is not started")
