"""
Publishing and reading by a server, not by a client: HTTP with an app's API key, and the command line.

Rule: everything of a request is checked before anything of it is published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from users_server.core.acceptance import Refused
from users_server.core.apps import App
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules, check_name, is_system_channel
from users_server.core.messages import (
    JSON,
    HistoryPage,
    Member,
    PresenceState,
    StreamPosition,
)
from users_server.core.surveys import ChannelSurvey
from users_server.errors import InvalidValue, PayloadTooLarge, PermissionDenied, UsersServerError

MAX_EVENT_LENGTH = 200
MAX_ID_LENGTH = 200
MAX_USER_ID_LENGTH = 255
MAX_PUBLICATIONS = 1000
"""Of one request: a publication is handed over without a pause, and the others must have their turn."""

SYSTEM_CHANNEL = "This channel belongs to the server"
APP_OFF = "The app is turned off"


class ChannelNode(Protocol):
    """The part of the core's node that this service uses; the promises are :class:`users_server.core.node.Node`'s."""

    def publish(
        self,
        app: str,
        channel: str,
        event: str,
        data: JSON,
        *,
        to_user: str | None = None,
        except_connection: str | None = None,
        is_counted: bool = False,
    ) -> Awaitable[StreamPosition | None]: ...

    def count_publications(self, app: str, count: int) -> None: ...

    async def history(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage: ...

    async def members(self, app: str, channel: str) -> PresenceState: ...

    def subscriber_count(self, app: str, channel: str) -> int: ...

    async def survey_channels(
        self, app: str, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> ChannelSurvey: ...

    async def survey_channel(self, app: str, channel: str) -> ChannelSurvey: ...

    def disconnect_user(self, app: str, user_id: str) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """
    One event for one channel or for several.

    Attributes:
        to_user: If set, only this user of the app gets it.
        except_connection: If set, the connection that does not get it, such as the one that made the server publish.
    """

    channels: Sequence[str]
    event: str
    data: JSON
    to_user: str | None = None
    except_connection: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of an event in one channel; no ``position`` in a channel without history."""

    channel: str
    position: StreamPosition | None


@dataclass(frozen=True, slots=True)
class ChannelState:
    """
    A channel, seen from this node.

    Attributes:
        subscribers: Connections of this node.
        position: The newest publication's; :obj:`None` without history.
        members: Connections of all nodes that are listed; :obj:`None` without presence.
        users: How many users these are.
    """

    rule: ChannelRule
    subscribers: int
    position: StreamPosition | None
    members: int | None
    users: int | None


@dataclass(frozen=True, slots=True)
class Occupancy:
    """
    Who is in a channel, on all nodes.

    Attributes:
        subscribers: Connections.
        members: Those that are listed.
        is_complete: Whether ``subscribers`` counts those of every node.
    """

    subscribers: int
    members: Sequence[Member]
    is_complete: bool


class PublishingService:
    """What can be done with the channels of an app by somebody whom :class:`AppService` has admitted to it."""

    def __init__(self, node: ChannelNode, rules: ChannelRules, limits: ChannelLimits) -> None:
        self._node = node
        self._rules = rules
        self._limits = limits

    async def publish(
        self, app: App, events: Sequence[ChannelEvent], *, is_whole: bool = False
    ) -> list[list[Published]]:
        """
        Publish in the order of ``events``, and of the channels of each; where each of them stands now.

        Delivery is at most once. If a limit refuses one, those before it are published and none behind it. If the
        broker fails, nobody knows of the others.

        Args:
            is_whole: A limit refuses all or none.

        Raises:
            PermissionDenied: For a channel of the server's own, or an app that is turned off. Nothing was published,
                nor for the next two.
            InvalidValue: For the name of a channel or an event, or data that is no JSON; with ``is_whole`` also for
                more than the app may ever publish at once.
            PayloadTooLarge: If data is longer than the app, or the server, allows.
            LimitExceeded: If the app publishes too much.
            BrokerUnavailable, Overloaded: As :meth:`Node.publish` does.
        """
        self._check(app, events)
        published: list[list[Published]] = [[] for _ in events]
        failure: UsersServerError | None = None
        if is_whole:
            self._node.count_publications(app.id, sum(len(event.channels) for event in events))
        for index, channel, result in list(self._hand_over_all(app, events, is_counted=is_whole)):
            try:
                published[index].append(Published(channel, await result))
            except UsersServerError as error:
                failure = failure or _placed(error, index, len(events))
        if failure is not None:
            raise failure
        return published

    async def history(
        self, app: App, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        """
        As :meth:`Node.history`; a channel that keeps none is empty.

        Raises:
            PermissionDenied, InvalidValue: For a channel that is not the app's, or cannot be one.
            BrokerUnavailable, StoreUnavailable: If it cannot be read now.
        """
        self._check_channel(app, channel)
        if self._rules.of(app.id, channel).history is None:
            is_complete = since is None or since.offset == 0
            return HistoryPage((), StreamPosition(0, "" if since is None else since.epoch), is_complete=is_complete)
        return await self._node.history(app.id, channel, since=since, limit=limit)

    async def members(self, app: App, channel: str) -> PresenceState:
        """Who is there, on all nodes; nobody in a channel without presence. Raises as :meth:`history` does."""
        self._check_channel(app, channel)
        if not self._rules.of(app.id, channel).presence:
            return PresenceState((), 0, "")
        return await self._node.members(app.id, channel)

    async def state(self, app: App, channel: str) -> ChannelState:
        """The channel's options and numbers. A channel need not be in use. Raises as :meth:`history` does."""
        self._check_channel(app, channel)
        rule = self._rules.of(app.id, channel)
        page = await self._node.history(app.id, channel, limit=0) if rule.history else None
        presence = await self._node.members(app.id, channel) if rule.presence else None
        return ChannelState(
            rule=rule,
            subscribers=self._node.subscriber_count(app.id, channel),
            position=page.top if page else None,
            members=len(presence.members) if presence else None,
            users=len({member.user_id for member in presence.members}) if presence else None,
        )

    async def list_occupied(self, app: App, *, prefix: str, after: str, limit: int) -> ChannelSurvey:
        """
        As :meth:`Node.survey_channels`. It costs what a publication costs, and counts as one.

        Raises:
            LimitExceeded: If the app has used up its publications a second.
            BrokerUnavailable, Overloaded: As :meth:`Node.survey_channels` does.
        """
        self._node.count_publications(app.id, 1)
        return await self._node.survey_channels(app.id, prefix=prefix, after=after, limit=limit)

    async def occupancy(self, app: App, channel: str) -> Occupancy:
        """Who is in one channel. Counts as one publication; raises as :meth:`list_occupied` and :meth:`history` do."""
        self._check_channel(app, channel)
        self._node.count_publications(app.id, 1)
        survey, presence = await asyncio.gather(
            self._node.survey_channel(app.id, channel), self._node.members(app.id, channel)
        )
        subscribers = sum(count for name, count in survey.channels if name == channel)
        return Occupancy(subscribers, presence.members, survey.is_complete)

    async def disconnect_user(self, app: App, user_id: str) -> None:
        """
        Close the connections of a user of the app, on all nodes. Counts as one publication.

        Raises:
            InvalidValue: For what can be nobody's id.
            LimitExceeded: If the app has used up its publications a second.
            BrokerUnavailable, Overloaded: If the other nodes cannot be told.
        """
        if not 1 <= len(user_id) <= MAX_USER_ID_LENGTH:
            raise InvalidValue(f"The id of a user has 1 to {MAX_USER_ID_LENGTH} characters")
        self._node.count_publications(app.id, 1)
        await self._node.disconnect_user(app.id, user_id)

    def _hand_over_all(
        self, app: App, events: Sequence[ChannelEvent], *, is_counted: bool
    ) -> Iterator[tuple[int, str, Awaitable[StreamPosition | None]]]:
        """Up to the first that is refused at once, so that a broker can send them together."""
        for index, event in enumerate(events):
            for channel in event.channels:
                result = self._node.publish(
                    app.id,
                    channel,
                    event.event,
                    event.data,
                    to_user=event.to_user,
                    except_connection=event.except_connection,
                    is_counted=is_counted,
                )
                yield index, channel, result
                if isinstance(result, Refused):
                    return

    def _check(self, app: App, events: Sequence[ChannelEvent]) -> None:
        if not app.is_enabled:
            raise PermissionDenied(APP_OFF)
        if sum(len(event.channels) for event in events) > MAX_PUBLICATIONS:
            raise InvalidValue(f"At most {MAX_PUBLICATIONS} publications are allowed in one request")
        for index, event in enumerate(events):
            try:
                self._check_event(app, event)
            except UsersServerError as error:
                raise _placed(error, index, len(events)) from None

    def _check_event(self, app: App, event: ChannelEvent) -> None:
        for channel in event.channels:
            self._check_channel(app, channel)
        name = event.event
        if not 1 <= len(name) <= MAX_EVENT_LENGTH or not name.isprintable():
            raise InvalidValue(f"The name of an event has 1 to {MAX_EVENT_LENGTH} printable characters")
        for text in (event.to_user, event.except_connection):
            if text is not None and not 1 <= len(text) <= MAX_ID_LENGTH:
                raise InvalidValue(f"The id of a user or a connection has 1 to {MAX_ID_LENGTH} characters")
        limit = app.limits.message_bytes or self._limits.data_bytes
        if _size(event.data) > limit > 0:
            raise PayloadTooLarge(f"The data of an event is larger than {limit} bytes")

    def _check_channel(self, app: App, channel: str) -> None:
        check_name(channel, self._limits)
        if is_system_channel(app.id, channel):
            raise PermissionDenied(SYSTEM_CHANNEL)


def _size(data: JSON) -> int:
    try:
        return len(orjson.dumps(data))
    except orjson.JSONEncodeError:
        raise InvalidValue("The data of an event cannot be written as JSON") from None


def _placed(error: UsersServerError, index: int, count: int) -> UsersServerError:
    """``error``, which says of which event it is where there are several."""
    if count > 1:
        error.message = f"Event {index} was refused: {error.message}"
    return error
