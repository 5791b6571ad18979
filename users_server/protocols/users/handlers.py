"""What a client's events do. A handler returns what shall happen and never writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from users_server.core.connection import Connection
from users_server.core.messages import ECHO_CHANNEL, USERS_CHANNEL
from users_server.errors import PermissionDenied, Unauthenticated, UsersServerError
from users_server.protocols.base import Event, Publish, Reply
from users_server.services.users import UserService

META_REFUSED = "You do not have permission to make this request"
"""users-socket-api.md, Events: the wording of the socket differs from the HTTP API's."""


@dataclass(frozen=True, slots=True)
class Context:
    """The services that handlers call."""

    users: UserService


def require_trust(connection: Connection) -> None:
    """Before the fields of a server's event are looked at. Raises :class:`PermissionDenied`."""
    if not connection.identity.is_trusted:
        raise PermissionDenied("Only the server and trusted connections send this event")


def echo(context: Context, event: Event, connection: Connection, message: dict[str, Any]) -> Reply | Publish:
    """Answer the sender, or with ``broadcast`` every approved connection."""
    data = {"message": message["message"]}
    if message.get("broadcast"):
        return Publish(ECHO_CHANNEL, event.name, data)
    return Reply(event.name, data)


def emit(context: Context, event: Event, connection: Connection, message: dict[str, Any]) -> Publish:
    """Broadcast a user event for an internal service; see :func:`require_trust`."""
    return Publish(USERS_CHANNEL, event.name, message)


def refuse(context: Context, event: Event, connection: Connection, message: dict[str, Any]) -> None:
    """Only the server sends this event."""
    raise PermissionDenied("Only the server sends this event")


async def meta(context: Context, event: Event, connection: Connection, message: dict[str, Any]) -> Reply:
    """Get or set meta data: one value or all of it, one's own or, for admins and trusted connections, another's."""
    asked: dict[str, Any] = {key: message[key] for key in ("username", "property") if key in message}
    try:
        value = await _meta_value(context.users, connection, message)
    except (PermissionDenied, Unauthenticated):
        return Reply(event.name, {**asked, "error": META_REFUSED})
    except UsersServerError as error:
        return Reply(event.name, {**asked, "error": error.message})
    return Reply(event.name, {**asked, "val": value})


async def _meta_value(users: UserService, connection: Connection, message: dict[str, Any]) -> Any:
    identity, username = connection.identity, message.get("username")
    if "property" in message:
        if "val" not in message:
            return await users.get_meta_property(identity, username, message["property"])
        return await users.set_meta_property(
            identity, username, message["property"], message["val"], owner_may_write=True
        )
    if "val" not in message:
        return await users.get_meta(identity, username)
    return await users.set_meta(identity, username, message["val"], owner_may_write=True)
