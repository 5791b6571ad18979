"""Who may connect: the socket token says it (jwp.md, Connecting and joining)."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from users_server.core.apps import App
from users_server.core.messages import ANONYMOUS
from users_server.errors import AppGone, IdentityRefused, NotFound, OriginRefused, Unauthenticated
from users_server.protocols.base import Admission, Foundation, Visit
from users_server.protocols.jwp.codec import Serializer, find_serializer
from users_server.protocols.jwp.tokens import SocketToken, offered_token
from users_server.services.credentials import query_value

log = structlog.stdlib.get_logger(__name__)

NAME = "jwp"
"""Of this protocol, in the list of those that an app serves."""

MAX_LOGGED = 500
"""Characters of a client's own text in one record of the log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Who came in, and how he speaks."""

    socket_id: str
    serializer: Serializer


class Gate:
    """Admits those with a token that the app has signed."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def admit(self, visit: Visit) -> Admission:
        """
        Raises:
            ProtocolViolation: For a version that is not spoken.
            IdentityRefused: Without a good token of an app, also for an app that there is not.
            AppGone: If the app does not serve this protocol.
            OriginRefused: If the app names the origins of its pages, and this page's is not among them.
            StoreUnavailable: If nobody can say now.
        """
        serializer = find_serializer(query_value(visit.query, "vsn"))
        app = await self._app(query_value(visit.query, "app_id") or "")
        token = query_value(visit.query, "auth") or offered_token(visit.headers.get("sec-websocket-protocol"))
        socket_id = self._socket_id(app, token)
        if app is None or not app.serves(NAME):
            raise AppGone("The app does not serve this protocol")
        origin = visit.headers.get("origin")
        if app.allowed_origins and origin is not None and not self._foundation.approves_origin(app, origin):
            raise OriginRefused
        return Admission(ANONYMOUS, app.id, Entry(socket_id, serializer))

    async def _app(self, app_id: str) -> App | None:
        try:
            return await self._foundation.apps.get(app_id)
        except NotFound:
            return None

    def _socket_id(self, app: App | None, text: str) -> str:
        foundation = self._foundation
        signed = text.rpartition(":")[0]
        try:
            token = SocketToken.read(text)
            token.check(() if app is None else foundation.apps.secrets(app), foundation.clock.now_ms() // 1000)
        except Unauthenticated as error:
            if app is not None:
                explain(app, "socket", signed, error)
            raise IdentityRefused from None
        return token.socket_id


def explain(app: App, what: str, signed: str, error: Unauthenticated) -> None:
    """
    For an app that asks for it: log what should have been signed.

    Neither a secret nor a signature is logged: one that comes too early may be good a minute later.
    """
    if app.debug_signatures:
        log.info("jwp signature refused", app=app.id, token=what, signed=signed[:MAX_LOGGED], why=error.message)
