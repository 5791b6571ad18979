"""The HTTP API of an app's back end: pushes, occupancy, and the end of a client's connections."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from users_server.core.apps import App
from users_server.core.messages import ANONYMOUS, JSON
from users_server.errors import InvalidValue, Unauthenticated
from users_server.protocols.base import Foundation
from users_server.protocols.http import HTTPAnswer, HTTPCall, HTTPRoute, HTTPService, HTTPTable
from users_server.protocols.jwp.admission import NAME
from users_server.protocols.jwp.encoder import BINARY_KEY, bytes_of
from users_server.protocols.jwp.events import is_reserved
from users_server.protocols.jwp.http_errors import refuse
from users_server.protocols.jwp.http_schemas import (
    ApiRefusal,
    ChannelFound,
    ChannelsFound,
    ChannelsQuery,
    DisconnectDone,
    PushDone,
    PushInput,
)
from users_server.protocols.jwp.presence import presence_of
from users_server.schemas.json_text import encode
from users_server.services.app_key import basic_credentials
from users_server.services.apps import AppService
from users_server.services.credentials import ReadsHeaders
from users_server.services.idempotency import IdempotentRequests
from users_server.services.publishing import ChannelEvent, PublishingService

KEY_HEADER = "Idempotency-Key"

TOPIC_PREFIX = "jwp:"
A_TOPIC = "A channel is named by its short name, such as lobby, not by a topic such as jwp:app:lobby"
RESERVED = "Events that begin with phx_, and presence_state, presence_diff and jwp_system, are the server's own"
NOT_BASE64 = "A binary payload is an object with base64 text in $binary, and with nothing else"

_COMMON: Mapping[int, str] = {
    401: "The app's id or its API key is not right, or the app is turned off or not served by this protocol",
    500: "Something went wrong in the server; it has been logged",
    503: "A backend is away, or the server is busy; `Retry-After` says when to come back",
}
_NAMED: Mapping[int, str] = {
    400: "The name of a channel can be none, or is a topic",
    403: "The channel belongs to the server",
}
_COUNTED: Mapping[int, str] = {429: "The app is over its publications a second; `Retry-After` says when to come back"}
_SENT: Mapping[int, str] = {
    403: "A page of another origin sent it, or the channel belongs to the server",
    413: "The body, or the payload, is too large",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers work with."""

    apps: AppService
    publishing: PublishingService
    idempotency: IdempotentRequests


async def admit(desk: Desk, headers: ReadsHeaders) -> App:
    """
    The app whose id and API key are sent with HTTP Basic.

    Raises:
        Unauthenticated: For whatever is wrong with them or the app; the answer does not tell.
        StoreUnavailable, Overloaded: If the app cannot be looked up now.
    """
    app_id, api_key = basic_credentials(headers) or ("", "")
    app = await desk.apps.admit(app_id, by=ANONYMOUS, api_key=api_key)
    if not app.serves(NAME):
        raise Unauthenticated
    return app


async def push(desk: Desk, call: HTTPCall) -> HTTPAnswer:
    """Publish to one channel or several; with an idempotency key once, however often it is sent."""
    event = _event_of(call.body)

    async def publish() -> str:
        await desk.publishing.publish(call.app, [event], is_whole=True)
        return _ok({}).decode()

    key = call.headers.get(KEY_HEADER.lower())
    if key is None:
        return HTTPAnswer(201, (await publish()).encode())
    fingerprint = hashlib.sha256(call.content).hexdigest()
    answer = await desk.idempotency.once(f"push:{call.app.id}", key, fingerprint, publish)
    return HTTPAnswer(201, answer.encode())


async def list_occupied(desk: Desk, call: HTTPCall) -> HTTPAnswer:
    """The channels of the app in which anybody is."""
    query = call.query
    survey = await desk.publishing.list_occupied(
        call.app, prefix=query["prefix"], after=query["after"], limit=query["limit"]
    )
    found: list[JSON] = [{"channel": name, "subscribers": count} for name, count in survey.channels]
    return HTTPAnswer(200, _ok({"channels": found, "has_more": survey.has_more, "complete": survey.is_complete}))


async def show_channel(desk: Desk, call: HTTPCall) -> HTTPAnswer:
    """How many are in a channel, and who is listed there."""
    channel = call.path["name"]
    _check_short_name(channel)
    occupancy = await desk.publishing.occupancy(call.app, channel)
    return HTTPAnswer(
        200,
        _ok(
            {
                "channel": channel,
                "occupied": occupancy.subscribers > 0,
                "subscribers": occupancy.subscribers,
                "complete": occupancy.is_complete,
                "presence": presence_of(occupancy.members),
            }
        ),
    )


async def disconnect_socket(desk: Desk, call: HTTPCall) -> HTTPAnswer:
    """Close the connections of a socket id, on all nodes."""
    await desk.publishing.disconnect_user(call.app, call.path["socket_id"])
    return HTTPAnswer(200, _ok({}))


def http_service(foundation: Foundation, port: int) -> HTTPService:
    """The API at work; ``port`` as in :class:`HTTPService`."""
    desk = Desk(foundation.apps, foundation.publishing, foundation.idempotency)
    return HTTPService(HTTP_TABLE, desk, port)


def _event_of(body: Mapping[str, JSON]) -> ChannelEvent:
    """What :class:`PushInput` accepted. Raises :class:`InvalidValue` for what this protocol does not push."""
    channels: list[str] = body["channels"] if "channels" in body else [body["channel"]]
    event: str = body["event"]
    for channel in channels:
        _check_short_name(channel)
    if is_reserved(event):
        raise InvalidValue(RESERVED)
    payload = body["payload"]
    if isinstance(payload, dict) and payload.keys() == {BINARY_KEY} and bytes_of(payload) is None:
        raise InvalidValue(NOT_BASE64)
    return ChannelEvent(channels, event, payload)


def _check_short_name(channel: str) -> None:
    if channel.startswith(TOPIC_PREFIX):
        raise InvalidValue(A_TOPIC)


def _ok(data: dict[str, JSON]) -> bytes:
    return encode({"status": "ok", "data": data})


HTTP_TABLE = HTTPTable(
    tag=NAME,
    routes=(
        HTTPRoute(
            "POST",
            "/api/v1/push",
            push,
            summary="Push an event to a channel, or to up to 100",
            status=201,
            request=PushInput,
            answer=PushDone,
            headers={
                KEY_HEADER: "1 to 255 printable ASCII characters: the same body with the same key is pushed once, "
                "within a day"
            },
            refusals={
                **_COMMON,
                **_SENT,
                **_COUNTED,
                400: "`Missing data`: a field is absent; else what is wrong",
                409: "A request with this idempotency key is being made; send it again a moment later",
                422: "The idempotency key was sent before, with another body",
            },
        ),
        HTTPRoute(
            "GET",
            "/api/v1/channels",
            list_occupied,
            summary="List the channels in which anybody is, on all nodes",
            query=ChannelsQuery,
            answer=ChannelsFound,
            refusals={**_COMMON, **_COUNTED, 400: "A parameter makes no sense"},
        ),
        HTTPRoute(
            "GET",
            "/api/v1/channels/:name",
            show_channel,
            summary="Tell how many are in a channel, and who is listed there",
            answer=ChannelFound,
            refusals={**_COMMON, **_COUNTED, **_NAMED},
        ),
        HTTPRoute(
            "POST",
            "/api/v1/sockets/:socket_id/disconnect",
            disconnect_socket,
            summary="Close the connections of a socket id, on all nodes",
            description="The answer does not tell whether there are any. A client may connect again at once.",
            answer=DisconnectDone,
            refusals={**_COMMON, **_SENT, **_COUNTED, 400: "There can be no such socket id"},
        ),
    ),
    admit=admit,
    security="appBasic",
    refuse=refuse,
    refusal=ApiRefusal,
    parameters={"name": "A channel's short name", "socket_id": "As the client's token has it"},
)
"""The API at ``/api/v1``."""
