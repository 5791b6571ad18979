"""The node: what protocols and services call. It knows the local hub and the broker that joins it to other nodes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from users_server.core.acceptance import Refused
from users_server.core.apps import App
from users_server.core.channels import ChannelLimits, ChannelRules, Publishers, check_name, is_system_channel
from users_server.core.clock import Clock
from users_server.core.connection import Connection
from users_server.core.hub import Hub, OccupancyObserver
from users_server.core.interfaces import Broker, PresenceManager
from users_server.core.messages import (
    DEFAULT_APP,
    JSON,
    SYSTEM_CHANNELS,
    ClientInfo,
    Gap,
    HistoryPage,
    Member,
    Notice,
    PresenceChange,
    PresenceState,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.core.neighbours import Neighbours
from users_server.core.subscribing import Subscribing
from users_server.core.subscriptions import Greet
from users_server.core.surveys import Surveys
from users_server.core.tap import TAP_CHANNEL, TAP_NOTICE, Tap
from users_server.core.tasks import Tasks
from users_server.core.usage import Usage
from users_server.errors import (
    AppGone,
    ClientError,
    Disconnect,
    DisconnectedByApp,
    PermissionDenied,
    SessionExpired,
)

log = logging.getLogger(__name__)

NoticeHandler: TypeAlias = Callable[[Mapping[str, JSON]], None]

DISCONNECT_NOTICE = "disconnect_user"


class Node:
    """
    This process in a cluster. :class:`users_server.core.interfaces.PublicationHandler` for its broker.

    :meth:`publish` is the only way in and the ``handle_`` methods are the only way out, on one node too, so that every
    node sees one order in a channel.

    Args:
        node_id: Unique in the cluster.
        lease_seconds: Of the presence manager's claims: for how long after a loss of its data nobody is taken for gone.
    """

    def __init__(
        self,
        broker: Broker,
        presence: PresenceManager,
        hub: Hub,
        clock: Clock,
        *,
        rules: ChannelRules | None = None,
        limits: ChannelLimits | None = None,
        node_id: str | None = None,
        lease_seconds: float = 10.0,
    ) -> None:
        self.id = node_id or secrets.token_hex(8)
        self.hub = hub
        self.statistics = hub.statistics
        self.rules = rules or ChannelRules()
        self.limits = limits or ChannelLimits()
        self.reply = hub.write
        """Write to one client, behind what that client has published: :meth:`users_server.core.hub.Hub.write`."""
        self._broker = broker
        self._presence = presence
        self._clock = clock
        self._tasks = Tasks()
        self._usage = Usage()
        self._subscribing = Subscribing(
            broker,
            presence,
            hub,
            self._tasks,
            usage=self._usage,
            rules=self.rules,
            limits=self.limits,
            lease_seconds=lease_seconds,
        )
        self._tap = Tap(broker, hub, self._subscribing, self._tasks, clock)
        self._neighbours = Neighbours(broker, clock)
        surveys = Surveys(self._neighbours, hub, self.limits)
        self.survey_channels = surveys.channels
        """The app's occupied channels on all nodes: :meth:`users_server.core.surveys.Surveys.channels`."""
        self.survey_channel = surveys.channel
        """One of them: :meth:`users_server.core.surveys.Surveys.channel`."""
        self._notice_handlers: dict[str, list[NoticeHandler]] = {
            TAP_NOTICE: [self._tap.handle_notice],
            DISCONNECT_NOTICE: [self._handle_disconnect_user],
        }
        self._interruption_handlers: list[Callable[[], None]] = [self._subscribing.replicas.refresh_all]

    async def start(self) -> None:
        """Begin to receive what happens. Raises :class:`BrokerUnavailable`."""
        await self._broker.start(self)
        for channel in sorted(SYSTEM_CHANNELS):
            await self._broker.subscribe(DEFAULT_APP, channel)
        await self._neighbours.start()

    async def stop(self) -> None:
        """Receive no more. Idempotent."""
        await self._neighbours.stop()
        await self._broker.stop()
        await self._tasks.close()

    async def check(self) -> None:
        """Return if the broker works, else raise :class:`BrokerUnavailable`."""
        await self._broker.check()

    def use_app(self, app: App) -> None:
        """Keep to the app's limits from now on, and close the connections that it does not serve any more."""
        usage = self._usage.use(app, self._clock.monotonic())
        if usage.connections and (not app.is_enabled or app.protocols):
            self._close_app(app.id, lambda connection: not usage.serves(connection.protocol))

    def forget_app(self, app_id: str) -> None:
        """The app was removed: close all its connections."""
        self._usage.forget(app_id)
        self._close_app(app_id, lambda connection: True)

    def _close_app(self, app_id: str, is_meant: Callable[[Connection], bool]) -> None:
        for connection in self.hub.connections():
            if connection.app == app_id and is_meant(connection):
                self.close(connection, AppGone())

    def connect(self, connection: Connection, channels: tuple[str, ...] = ()) -> None:
        """
        Register a connection. ``channels``, which it keeps for its life, may be system channels only.

        Raises :class:`ServerFull` if its app has no room for it, and :class:`AppGone` if that does not serve it.
        """
        self._usage.enter(connection)
        self.hub.add(connection)
        if channels:
            self.hub.pin(connection, channels)

    def subscribe(
        self,
        connection: Connection,
        channel: str,
        greet: Greet,
        *,
        since: StreamPosition | None = None,
        member: Member | None = None,
        hears_presence: bool | None = None,
    ) -> Awaitable[None]:
        """
        Subscribe to a channel of the connection's app.

        ``greet`` is called once, at the moment at which the subscription becomes live. The frames that it returns are
        written before everything of the channel that comes later, and what came before is in what it is called with:
        nothing is missing, and nothing comes twice. Await the result at once; it is
        :class:`users_server.core.acceptance.Accepted` where there was no need to wait. If it raises or is cancelled,
        nothing stays.

        Args:
            since: The last position that the client has, to get what it missed.
            member: What to list the connection as in the channel's presence.
            hears_presence: Whether to be told of the others' presence; by default if it is listed itself. If false,
                ``Subscribed.members`` is empty, too.

        Raises:
            InvalidValue: If the name can be none of a channel's.
            PermissionDenied: If it is a system channel.
            Conflict: If it is subscribed already, or ended meanwhile.
            LimitExceeded: If a limit is reached, or too much came while joining.
            BrokerUnavailable: If the broker or the history is away.
        """
        return self._subscribing.subscribe(
            connection, channel, greet, since=since, member=member, hears_presence=hears_presence
        )

    def unsubscribe(self, connection: Connection, channel: str) -> Awaitable[None]:
        """
        End a subscription, also one that is under way. From now on nothing of the channel is delivered. Idempotent.

        Await the result to know that a member has left. Awaiting raises :class:`BrokerUnavailable`; the leave is done
        later then.
        """
        return self._subscribing.end(connection, channel)

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection: from now on it gets nothing, and is listed nowhere. Idempotent."""
        if self.hub.has(connection):
            self._subscribing.end_all(connection)
            self.hub.remove(connection)
            self._usage.leave(connection)

    def watch_app(self, connection: Connection) -> Awaitable[None]:
        """
        Bring every publication of the connection's app, on every node, to the connection.

        They come in the order of each channel as far as they were published on one node, and also those that are for
        one user. At best effort: some may be missing. Awaiting raises as :meth:`subscribe`.
        """
        return self._tap.watch(connection)

    def publish(
        self,
        app: str,
        channel: str,
        event: str,
        data: JSON,
        *,
        by: ClientInfo | None = None,
        to_user: str | None = None,
        except_connection: str | None = None,
        is_counted: bool = False,
    ) -> Awaitable[StreamPosition | None]:
        """
        Publish to every subscriber of ``channel``, on all nodes.

        The hand-over to the broker is complete when this returns; await the result to know that it was accepted, and
        its position if the channel has a history. That may be before any subscriber has it. Delivery is at most once,
        in one order on every node.

        Args:
            by: The publisher; :obj:`None` for a publication by the server or a service.
            to_user: If set, only the connections of this user of the app get it.
            except_connection: If set, the connection that does not get it.
            is_counted: Whether :meth:`count_publications` has counted it already.

        Raises, when awaited:
            InvalidValue: If the name can be none of a channel's.
            PermissionDenied: If clients may not publish in the channel.
            LimitExceeded: If the app publishes too fast.
            BackendError: If the broker is away or overloaded; nothing was published.
        """
        publication = Publication(app, channel, event, data, by, None, to_user, except_connection)
        if is_system_channel(app, channel):
            return self._broker.publish(publication)
        try:
            check_name(channel, self.limits)
            rule = self.rules.of(app, channel)
            if by is not None and rule.publishers is Publishers.SERVER:
                raise PermissionDenied("Clients may not publish in this channel")
            if not is_counted:
                self._usage.take_publish(app, self._clock.monotonic())
        except ClientError as error:
            return Refused(error)
        outcome = self._broker.publish(publication, rule.history)
        return self._tap.copy(publication, outcome) if app in self._tap.watched else outcome

    def count_publications(self, app: str, count: int) -> None:
        """
        Count, all or none, what is about to be published or costs as much, towards what the app may do in a second.

        Raises:
            LimitExceeded: If that is too much now.
            InvalidValue: If it will always be.
        """
        self._usage.take_publish(app, self._clock.monotonic(), count)

    async def history(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        """What was published after ``since``: :meth:`users_server.core.interfaces.Broker.history`."""
        check_name(channel, self.limits)
        return await self._broker.history(app, channel, since=since, limit=limit)

    async def members(self, app: str, channel: str) -> PresenceState:
        """Everybody who is listed in the channel now, on all nodes. Raises :class:`BrokerUnavailable`."""
        check_name(channel, self.limits)
        return await self._presence.state(app, channel)

    def subscriber_count(self, app: str, channel: str) -> int:
        """How many connections of this node are subscribed."""
        return self.hub.subscriber_count((app, channel))

    def observe_occupancy(self, observer: OccupancyObserver) -> None:
        """Call ``observer(app, channel, is_occupied)`` at a channel's first subscriber here and after its last."""

        def observe(app: str, channel: str, is_occupied: bool) -> None:
            if channel != TAP_CHANNEL:
                observer(app, channel, is_occupied)

        self.hub.observe_occupancy(observe)

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        """Close the sockets that ``revocation`` matches, on all nodes. Awaiting raises :class:`BrokerUnavailable`."""
        return self._broker.revoke(revocation)

    def disconnect_user(self, app: str, user_id: str) -> Awaitable[None]:
        """
        Close all connections of a user of the app, on all nodes, for :class:`DisconnectedByApp`.

        ``user_id`` is an id within the app. A node that is cut off does it when it is back, unless it was away for too
        long to hear of it. Awaiting raises :class:`BrokerUnavailable`.
        """
        return self._broker.notify(Notice(DISCONNECT_NOTICE, {"app": app, "user": user_id}))

    def notify(self, notice: Notice) -> Awaitable[None]:
        """Tell all nodes, this one included. Awaiting raises :class:`BrokerUnavailable`."""
        return self._broker.notify(notice)

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        """Call ``handler`` with the data of each notice of this kind. It must not block or raise."""
        self._notice_handlers.setdefault(kind, []).append(handler)

    def on_interruption(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` when revocations or notices may have been lost. It must not block or raise."""
        self._interruption_handlers.append(handler)

    def handle_publication(self, publication: Publication) -> None:
        """From the broker: deliver to local subscribers."""
        try:
            if not publication.channel.startswith(" "):
                self.hub.broadcast(publication)
            elif publication.channel == TAP_CHANNEL:
                self._tap.handle_publication(publication)
            else:
                self._neighbours.handle_publication(publication)
        except Exception:
            # a codec that stumbles must not stop what else is on the bus
            log.exception("a publication could not be delivered")

    def handle_presence(self, change: PresenceChange) -> None:
        """From the broker: tell local subscribers, and let the member itself become live."""
        try:
            self._subscribing.replicas.handle(change)
        except Exception:
            log.exception("a change of presence could not be told")

    def handle_gap(self, gap: Gap) -> None:
        """From the broker: tell local subscribers that they have not everything."""
        self.hub.tell_gap(gap)

    def handle_revocation(self, revocation: Revocation) -> None:
        """From the broker: close local sockets."""
        for connection in self.hub.matching(revocation):
            self.close(connection, SessionExpired(revocation.message))

    def handle_notice(self, notice: Notice) -> None:
        """From the broker: call those who asked for the kind."""
        for handler in self._notice_handlers.get(notice.kind, ()):
            try:
                handler(notice.data)
            except Exception:
                log.exception("a handler of notices failed")

    def handle_interruption(self) -> None:
        """From the broker: look again at everything that rests on having heard of each change."""
        self.statistics.interruptions += 1
        for handler in self._interruption_handlers:
            try:
                handler()
            except Exception:
                log.exception("a handler of interruptions failed")

    def _handle_disconnect_user(self, data: Mapping[str, JSON]) -> None:
        for connection in self.hub.of_user(str(data.get("app")), str(data.get("user"))):
            self.close(connection, DisconnectedByApp())

    def close(self, connection: Connection, reason: Disconnect) -> None:
        """Close one connection for ``reason``; it gets nothing from now on but the close itself."""
        if connection.is_closing:
            return
        if self.hub.has_pending:
            self.hub.flush()
        self.statistics.closed[reason.reason] += 1
        self.disconnect(connection)
        connection.close(reason)

    def close_all(self, reason: Disconnect) -> None:
        """Close every connection of this node."""
        for connection in self.hub.connections():
            self.close(connection, reason)
