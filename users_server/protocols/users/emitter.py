"""User events that an internal service sends over HTTP (users-http-api.md, ``POST /events``)."""

from __future__ import annotations

from users_server.core.messages import DEFAULT_APP, JSON, USERS_CHANNEL, Identity
from users_server.core.node import Node
from users_server.errors import PermissionDenied
from users_server.protocols.users import codec, handlers


class EventEmitter:
    """Checks an event as the socket does and publishes it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def emit(self, identity: Identity, message: dict[str, JSON]) -> None:
        """
        Publish one user event, 1 to 8, in the socket's own form. Returns when the broker has it.

        Raises :class:`PermissionDenied`, :class:`UnknownEvent`, :class:`InvalidPayload` or :class:`BrokerUnavailable`.
        """
        if not identity.is_trusted:
            raise PermissionDenied
        event, load = codec.find_event(message.get("eventType"))
        if event.handler is not handlers.emit:
            raise PermissionDenied(f"{event.name} cannot be emitted; the events 1 to 8 can")
        await self._node.publish(DEFAULT_APP, USERS_CHANNEL, event.name, load(message))
