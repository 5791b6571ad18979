"""Publications, histories, revocations and notices over Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from users_server.backends.redis.feeds import Feed
from users_server.backends.redis.keys import ChannelKeys, Keys
from users_server.backends.redis.payloads import (
    decode_change,
    decode_control,
    decode_message,
    decode_publication,
    encode_notice,
    encode_publication,
    encode_revocation,
)
from users_server.backends.redis.requests import Call, Command, Reply, away, limited
from users_server.backends.redis.scripts import Script, Scripts
from users_server.backends.redis.sender import Question, Sender
from users_server.backends.redis.servers import Servers
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.acceptance import Accepted, Pending, Refused
from users_server.core.interfaces import PublicationHandler
from users_server.core.messages import (
    Gap,
    HistoryPage,
    HistoryRule,
    Notice,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.services.settings import BrokerSettings

CONTROL_HISTORY = HistoryRule(size=10_000, seconds=600.0)
"""A node that is cut off for longer, or misses more, is told to look everything up again."""

CHECK_SECONDS = 1.0

T = TypeVar("T")


class RedisBroker:
    """
    :class:`users_server.core.interfaces.Broker`.

    Args:
        connect: Connects; called at the start. Raises :class:`BrokerUnavailable`.
        disconnect: Ends what ``connect`` began.
    """

    def __init__(
        self,
        servers: Servers,
        sender: Sender,
        keys: Keys,
        scripts: Scripts,
        node: bytes,
        settings: BrokerSettings,
        statistics: RedisStatistics,
        *,
        connect: Callable[[], Awaitable[None]],
        disconnect: Callable[[], Awaitable[None]],
        is_sharded: bool,
    ) -> None:
        self._servers = servers
        self._sender = sender
        self._keys = keys
        self._scripts = scripts
        self._node = node
        self._settings = settings
        self._statistics = statistics
        self._connect = connect
        self._disconnect = disconnect
        self._publish_verb = b"SPUBLISH" if is_sharded else b"PUBLISH"
        self._handler: PublicationHandler | None = None
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._order = _Order(scripts.publish, node)

    async def start(self, handler: PublicationHandler) -> None:
        self._handler = handler
        try:
            await self._connect()
            control = Feed(
                self._keys.control, _ControlSink(handler), self._scripts, self._statistics, self._node, is_kept=True
            )
            self._servers.attach(control)
            await limited(control.ready, self._settings.max_waiting_seconds)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._handler is None:
            return
        self._handler = None
        await self._disconnect()
        self._feeds.clear()

    def subscribe(self, app: str, channel: str) -> Awaitable[None]:
        """As the interface says. A channel whose subscription failed stays wanted until :meth:`unsubscribe`."""
        if self._handler is None:
            return Refused(away("The message broker is not started"))
        feed = self._feeds.get((app, channel))
        if feed is None:
            sink = _ChannelSink(app, channel, self._handler)
            feed = Feed(self._keys.of(app, channel), sink, self._scripts, self._statistics, self._node)
            self._feeds[app, channel] = feed
            self._statistics.subscriptions += 1
            self._servers.attach(feed)
        return Accepted(None) if feed.ready.is_done else limited(feed.ready, self._settings.max_waiting_seconds)

    def unsubscribe(self, app: str, channel: str) -> None:
        feed = self._feeds.pop((app, channel), None)
        if feed is not None:
            self._statistics.subscriptions -= 1
            self._servers.detach(feed)

    def publish(self, publication: Publication, history: HistoryRule | None = None) -> Awaitable[StreamPosition | None]:
        """
        As the interface says.

        If an answer was lost for so long that the publication is not kept any more, the position is :obj:`None`.
        """
        keys = self._keys.of(publication.app, publication.channel)
        body = encode_publication(publication)
        if history is not None:
            return self._keep(keys, body, history, _position)
        command = (self._publish_verb, keys.live, b"-" + body)
        return self._sender.ask(keys.slot, lambda _: command, _nothing, is_repeatable=False)

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        return self._keep(self._keys.control, encode_revocation(revocation), CONTROL_HISTORY, _nothing)

    def notify(self, notice: Notice) -> Awaitable[None]:
        return self._keep(self._keys.control, encode_notice(notice), CONTROL_HISTORY, _nothing)

    async def history(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        keys = self._keys.of(app, channel)
        offset, epoch = (-1, "") if since is None else (max(since.offset, 0), since.epoch)
        most = -1 if limit is None else max(limit, 0)

        def command(server: bytes) -> Command:
            return self._scripts.read.call(
                (keys.meta, keys.stream, keys.versions), server, self._node, 0, 1, offset, epoch, most, 0, 0
            )

        def page(reply: Reply) -> HistoryPage:
            is_complete, of_epoch, top, messages = reply
            found = tuple(decode_message(app, channel, message) for message in messages)
            result = HistoryPage(found, StreamPosition(top, of_epoch.decode()), bool(is_complete))
            feed = self._feeds.get((app, channel))
            if feed is not None:
                feed.base(result.top)
            return result

        return await self._sender.ask(keys.slot, command, page)

    async def check(self) -> None:
        if not self._servers.is_connected:
            raise away()
        outcome: Pending[None] = Pending()
        self._servers.send_bound(
            Call(None, lambda _: ("PING",), lambda _: outcome.succeed(None), outcome.fail, is_bound=True)
        )
        await limited(outcome, CHECK_SECONDS)

    def _keep(self, keys: ChannelKeys, body: bytes, rule: HistoryRule, convert: Callable[[Reply], T]) -> Awaitable[T]:
        """Publish with a history."""
        refusal = self._sender.refusal()
        return refusal or self._sender.send(_Kept(self._sender, self._order, keys, body, rule, convert))


class _Order:
    """Numbers this node's publications with history: none is done twice, or before an earlier one of its channel."""

    __slots__ = ("last", "node", "number", "script", "unanswered")

    def __init__(self, script: Script, node: bytes) -> None:
        self.script = script
        self.node = node
        self.number = 0
        self.unanswered: set[int] = set()
        self.last: dict[bytes, int] = {}
        """The last one that is not answered, of each channel."""


class _Kept(Question[T]):
    """A publication with history."""

    __slots__ = ("_before", "_body", "_keys", "_number", "_order", "_rule")

    def __init__(
        self,
        sender: Sender,
        order: _Order,
        keys: ChannelKeys,
        body: bytes,
        rule: HistoryRule,
        convert: Callable[[Reply], T],
    ) -> None:
        super().__init__(sender, keys.slot, _no_command, convert)
        self._order = order
        self._keys = keys
        self._body = body
        self._rule = rule
        order.number = self._number = order.number + 1
        self._before = order.last.get(keys.live, 0)
        order.last[keys.live] = self._number
        order.unanswered.add(self._number)

    def command(self, server: bytes) -> Command:
        order, keys, rule = self._order, self._keys, self._rule
        return order.script.call(
            (keys.meta, keys.stream),
            server,
            order.node,
            self._number,
            self._before if self._before in order.unanswered else 0,
            max(1, rule.size),
            max(1, round(rule.seconds * 1000)),
            self._body,
            keys.live,
        )

    def ended(self) -> None:
        super().ended()
        order, live = self._order, self._keys.live
        order.unanswered.discard(self._number)
        if order.last.get(live) == self._number:
            del order.last[live]


class _ChannelSink:
    """Brings what comes on one channel to the handler."""

    __slots__ = ("_app", "_channel", "_handler")

    def __init__(self, app: str, channel: str, handler: PublicationHandler) -> None:
        self._app = app
        self._channel = channel
        self._handler = handler

    def publication(self, body: bytes, position: StreamPosition | None) -> None:
        self._handler.handle_publication(decode_publication(self._app, self._channel, body, position))

    def presence(self, message: bytes) -> None:
        self._handler.handle_presence(decode_change(self._app, self._channel, message))

    def gap(self, top: StreamPosition) -> None:
        self._handler.handle_gap(Gap(self._app, self._channel, top))


class _ControlSink:
    """Brings revocations and notices to the handler."""

    __slots__ = ("_handler",)

    def __init__(self, handler: PublicationHandler) -> None:
        self._handler = handler

    def publication(self, body: bytes, position: StreamPosition | None) -> None:
        message = decode_control(body)
        if isinstance(message, Revocation):
            self._handler.handle_revocation(message)
        else:
            self._handler.handle_notice(message)

    def presence(self, message: bytes) -> None:
        raise ValueError("there is no presence on the control channel")

    def gap(self, top: StreamPosition) -> None:
        self._handler.handle_interruption()


def _position(reply: Reply) -> StreamPosition | None:
    return StreamPosition(reply[0], reply[1].decode()) if reply[1] else None


def _nothing(_: Reply) -> None:
    return None


def _no_command(_: bytes) -> Command:
    return ()
