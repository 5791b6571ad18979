"""What the user service announces: events 1 to 8 of users-socket-api.md."""

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

    async def files_uploaded(self, username: str, files: list[JSON]) -> None:
        """``files`` are entries (:mod:`users_server.services.content_entries`), as in the three below."""
        await self._publish("FilesUploaded", username, {"files": files})

    async def files_removed(self, username: str, files: list[JSON]) -> None:
        await self._announce("FilesRemoved", username, {"files": files})

    async def bucket_uploaded(self, username: str, bucket: JSON) -> None:
        await self._publish("BucketUploaded", username, {"bucket": bucket})

    async def bucket_removed(self, username: str, bucket: JSON) -> None:
        await self._announce("BucketRemoved", username, {"bucket": bucket})

    async def _publish(self, event: str, username: str, data: Mapping[str, JSON] | None = None) -> None:
        await self._announce(event, username, {"username": username, **(data or {})})

    async def _announce(self, event: str, username: str, data: Mapping[str, JSON]) -> None:
        try:
            await self._node.publish(DEFAULT_APP, USERS_CHANNEL, event, data)
        except BackendError as error:
            log.warning("event not published", published_event=event, username=username, reason=error.reason)
