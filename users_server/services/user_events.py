"""What the user service announces: events 1 to 4 of users-socket-api.md."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

import structlog

from users_server.core.messages import DEFAULT_APP, JSON, USERS_CHANNEL, Revocation
from users_server.errors import BackendError

log = structlog.stdlib.get_logger(__name__)


class PublishesEvents(Protocol):
    """The part of the core's node that the services use."""

    def publish(self, app: str, channel: str, event: str, data: Mapping[str, JSON]) -> Awaitable[object]:
        """Publish to a channel, on all nodes. Awaiting raises :class:`BrokerUnavailable` if nothing was published."""

    def revoke(self, revocation: Revocation) -> Awaitable[object]:
        """Close the sockets that ``revocation`` matches, on all nodes. Awaiting raises :class:`BrokerUnavailable`."""


class UserEventPublisher:
    """
    Publishes to the channel of the user service.

    An event follows something that has happened already, so a broker that is away is logged and nothing is raised.
    """

    def __init__(self, node: PublishesEvents) -> None:
        self._node = node

    async def login(self, username: str) -> None:
        await self._publish("Login", username)

    async def logout(self, username: str) -> None:
        await self._publish("Logout", username)

    async def activated(self, username: str) -> None:
        await self._publish("Activated", username)

    async def removed(self, username: str) -> None:
        await self._publish("Removed", username)

    async def _publish(self, event: str, username: str) -> None:
        try:
            await self._node.publish(DEFAULT_APP, USERS_CHANNEL, event, {"username": username})
        except BackendError as error:
            log.warning("event not published", published_event=event, username=username, reason=error.reason)
