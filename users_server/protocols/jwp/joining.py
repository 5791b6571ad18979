"""
One join, from the message to the reply.

Rule: what was announced to web hooks is ended if the client was told that it has joined, and retracted if it was not,
whatever ends the join or the link meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import structlog

from users_server.core.apps import App
from users_server.core.channels import check_name, is_system_channel
from users_server.core.messages import JSON, Member, StreamPosition
from users_server.core.subscriptions import Subscribed
from users_server.errors import (
    Conflict,
    LimitExceeded,
    PermissionDenied,
    Unauthenticated,
    UsersServerError,
)
from users_server.protocols.jwp.admission import explain
from users_server.protocols.jwp.codec import ClientMessage
from users_server.protocols.jwp.encoder import Greeting, topic_of
from users_server.protocols.jwp.errors import TooManyChannels, Unrecoverable, refusal
from users_server.protocols.jwp.join_request import Wishes, position_of, read_data, signature_of
from users_server.protocols.jwp.presence import UNSAFE_KEYS
from users_server.protocols.jwp.seats import Place, Seat
from users_server.protocols.jwp.tokens import channel_text, check_signature
from users_server.schemas.json_text import encode

log = structlog.stdlib.get_logger(__name__)

REF_BYTES = 12
"""Random bytes of a ``phx_ref``: 16 characters, as Phoenix' own."""


class Joining:
    """Carries out one ``phx_join`` of a topic in which the link has no seat."""

    def __init__(self, place: Place, message: ClientMessage) -> None:
        self._place = place
        self._message = message
        self._foundation = place.exchange.foundation
        self._node = self._foundation.node

    async def run(self) -> None:
        """The client is told what came of it. Raises nothing of ours."""
        place = self._place
        try:
            await self._join()
        except UsersServerError as error:
            self._refuse(error)
        except Exception:
            log.exception("joining failed", connection=place.connection.id)
            self._refuse(UsersServerError())
        else:
            place.exchange.count("ok")

    def _refuse(self, error: UsersServerError) -> None:
        self._place.exchange.count(error.reason)
        frames = self._place.encoder.reply(self._message, "error", refusal(error))
        self._node.reply(self._place.connection, frames)

    async def _join(self) -> None:
        place = self._place
        app = await self._foundation.apps.get(place.connection.app)
        channel = self._channel(app)
        wishes = self._wishes(app, channel)
        since = self._since(channel)
        if place.connection.is_closing:
            raise Conflict
        announcement = await self._announce(app, channel, wishes)
        seat = Seat(self._message.topic, channel, self._message.join_ref, announcement)
        try:
            await self._take(seat, wishes, since)
        except BaseException:
            if not seat.was_live:
                place.exchange.retract(announcement)
            elif place.seats.get(seat.topic) is seat:
                del place.seats[seat.topic]
                place.exchange.end(seat)
            raise

    # What is asked for, and whether it may be

    def _channel(self, app: App) -> str:
        """The short name in the topic. Raises :class:`ClientError` if it cannot be joined."""
        prefix, topic = topic_of(app.id, ""), self._message.topic
        if not topic.startswith(prefix):
            raise PermissionDenied
        channel = topic.removeprefix(prefix)
        most = self._node.limits.per_connection
        if 0 < most <= len(self._place.seats):
            raise TooManyChannels
        if is_system_channel(app.id, channel):
            raise PermissionDenied
        check_name(channel, self._node.limits)
        return channel

    def _wishes(self, app: App, channel: str) -> Wishes:
        """What the signed data says. Raises :class:`ClientError`."""
        auth, data = signature_of(self._message.payload)
        text = channel_text(self._place.connection.user_id or "", channel, data)
        try:
            check_signature(text, auth, self._foundation.apps.secrets(app))
        except Unauthenticated as error:
            explain(app, "channel", text, error)
            raise
        return read_data(data)

    def _since(self, channel: str) -> StreamPosition | None:
        since = position_of(self._message.payload)
        if since is not None and self._node.rules.of(self._place.connection.app, channel).history is None:
            raise Unrecoverable("This channel keeps no messages. Join without last_message_id")
        return since

    # Web hooks

    async def _announce(self, app: App, channel: str, wishes: Wishes) -> str | None:
        options = wishes.options
        if not app.webhook_endpoint or not (options.notify_joins or options.notify_leaves):
            return None
        now = self._hook(channel, "join") if options.notify_joins else None
        at_end = self._hook(channel, "leave") if options.notify_leaves else None
        return await self._foundation.webhooks.announce(app, channel, now, at_end)

    def _hook(self, channel: str, event: str) -> Mapping[str, JSON]:
        return {"channel": channel, "event": event, "socket_id": self._place.connection.user_id}

    # The channel itself

    async def _take(self, seat: Seat, wishes: Wishes, since: StreamPosition | None) -> None:
        """Subscribe: listed, if that is asked for and can be, or else without."""
        problem = self._obstacle(wishes)
        if wishes.options.presence_track and not problem:
            connection = self._place.connection
            ref = secrets.token_urlsafe(REF_BYTES)
            member = Member(connection.id, connection.user_id or "", wishes.meta, ref)
            try:
                await self._subscribe(seat, wishes, since, member)
            except LimitExceeded as error:
                problem = error.message
            else:
                return
        await self._subscribe(seat, wishes, since, None, problem)

    def _obstacle(self, wishes: Wishes) -> str:
        """Why the client cannot be listed although it is to be; empty if it can or need not."""
        if not wishes.options.presence_track:
            return ""
        if self._place.connection.user_id in UNSAFE_KEYS:
            return "The socket_id is a name that JavaScript keeps for itself, so it cannot be listed in the presence"
        most = self._place.exchange.settings.max_meta_bytes
        if len(encode(wishes.meta)) > most:
            return f"The meta has more than {most} bytes, so it cannot be listed in the presence"
        return ""

    async def _subscribe(
        self, seat: Seat, wishes: Wishes, since: StreamPosition | None, member: Member | None, problem: str = ""
    ) -> None:
        place, hears = self._place, wishes.options.presence_diffs
        greeting = Greeting(self._message, since, hears, member, problem)

        def greet(subscribed: Subscribed) -> bytes:
            if since is not None and not subscribed.is_recovered:
                raise Unrecoverable
            frames = place.encoder.greet(greeting, subscribed)
            place.seats[seat.topic] = seat
            seat.was_live = True
            return frames

        await self._node.subscribe(
            place.connection, seat.channel, greet, since=since, member=member, hears_presence=hears
        )
