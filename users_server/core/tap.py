"""
Watching everything that is published in an app, on every node.

Whoever watches subscribes to a channel that has no name for clients, and his node tells all nodes again and again that
the app is watched. Each node then sends a copy of what is published on it to that channel, in the order of its
publishing. Nobody watches most of the time: then a publish costs one look into a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Mapping

from users_server.core.acceptance import Accepted, Refused
from users_server.core.clock import Clock
from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.interfaces import Broker
from users_server.core.messages import JSON, ClientInfo, Notice, Publication, StreamPosition
from users_server.core.subscribing import Subscribing
from users_server.core.tasks import Tasks
from users_server.errors import UsersServerError

log = logging.getLogger(__name__)

TAP_CHANNEL = " tap"
"""The channel of the copies. :func:`users_server.core.channels.check_name` refuses a name with a space at an end."""

TAP_NOTICE = "tap"
RENEW_SECONDS = 5.0
LAST_SECONDS = 15.0
"""For how long an app counts as watched after a node has said so."""

MAX_WAITING_COPIES = 10_000
"""Copies of one app that wait for the outcome of what they are copies of; beyond that copies are dropped."""


class Tap:
    """The copies, their way out and their way in."""

    def __init__(self, broker: Broker, hub: Hub, subscribing: Subscribing, tasks: Tasks, clock: Clock) -> None:
        self._broker = broker
        self._hub = hub
        self._subscribing = subscribing
        self._tasks = tasks
        self._clock = clock
        self.watched: dict[str, float] = {}
        """The apps that somebody watches on some node, and until when that holds."""
        self._renewing: set[str] = set()
        self._waiting: dict[str, deque[tuple[Publication, asyncio.Future[StreamPosition | None]]]] = {}

    async def watch(self, connection: Connection) -> None:
        """
        Begin to bring copies to ``connection``.

        Raises :class:`Conflict`, :class:`LimitExceeded` and :class:`BrokerUnavailable`; then nothing stays.
        """
        await self._subscribing.begin(connection, TAP_CHANNEL, lambda subscribed: None)
        app = connection.app
        try:
            await self._broker.notify(Notice(TAP_NOTICE, {"app": app}))
        except BaseException:
            self._tasks.settle(self._subscribing.end(connection, TAP_CHANNEL), "giving up watching")
            raise
        if app not in self._renewing:
            self._renewing.add(app)
            self._tasks.spawn(self._renew(app))

    def handle_notice(self, data: Mapping[str, JSON]) -> None:
        """A node says that an app is watched."""
        app = data.get("app")
        if isinstance(app, str):
            self.watched[app] = self._clock.monotonic() + LAST_SECONDS

    def copy(
        self, publication: Publication, outcome: Awaitable[StreamPosition | None]
    ) -> Awaitable[StreamPosition | None]:
        """
        Send a copy of what was handed to the broker with ``outcome``, if the app is still watched.

        Returns what to await in the place of ``outcome``.
        """
        app = publication.app
        if self._clock.monotonic() > self.watched[app]:
            del self.watched[app]
            return outcome
        if isinstance(outcome, Refused):
            return outcome
        waiting = self._waiting.get(app)
        if isinstance(outcome, Accepted) and waiting is None:
            self._send(publication, outcome.value)
            return outcome
        future = asyncio.ensure_future(outcome)
        if waiting is None:
            waiting = self._waiting[app] = deque()
            self._tasks.spawn(self._send_waiting(app, waiting))
        if len(waiting) < MAX_WAITING_COPIES:
            waiting.append((publication, future))
        return asyncio.shield(future)

    def handle_publication(self, copy: Publication) -> None:
        """A copy came over the bus: bring what it is a copy of to those who watch here."""
        self._hub.broadcast(_unpack(copy), TAP_CHANNEL)

    async def _renew(self, app: str) -> None:
        try:
            while self._hub.subscriber_count((app, TAP_CHANNEL)):
                await asyncio.sleep(RENEW_SECONDS)
                try:
                    await self._broker.notify(Notice(TAP_NOTICE, {"app": app}))
                except UsersServerError as error:
                    log.info("watching an app could not be renewed: %s", error.message)
        finally:
            self._renewing.discard(app)

    async def _send_waiting(
        self, app: str, waiting: deque[tuple[Publication, asyncio.Future[StreamPosition | None]]]
    ) -> None:
        """Copies go out in the order of publishing, each when its original was accepted."""
        while waiting:
            publication, outcome = waiting.popleft()
            try:
                position = await outcome
            except UsersServerError:
                continue
            self._send(publication, position)
        del self._waiting[app]

    def _send(self, publication: Publication, position: StreamPosition | None) -> None:
        self._tasks.settle(self._broker.publish(_pack(publication, position)), "copying a publication to who watches")


def _pack(publication: Publication, position: StreamPosition | None) -> Publication:
    p = publication
    data = {
        "channel": p.channel,
        "event": p.event,
        "data": p.data,
        "by": None if p.by is None else [p.by.connection_id, p.by.username, p.by.user_id],
        "position": None if position is None else [position.offset, position.epoch],
    }
    return Publication(p.app, TAP_CHANNEL, TAP_NOTICE, data)


def _unpack(copy: Publication) -> Publication:
    data = copy.data
    by, position = data["by"], data["position"]
    return Publication(
        copy.app,
        data["channel"],
        data["event"],
        data["data"],
        None if by is None else ClientInfo(*by),
        None if position is None else StreamPosition(*position),
    )
