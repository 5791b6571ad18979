"""Who may come in, and as whom: the token says it all (relay.md, Connect)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from users_server.core.apps import App
from users_server.core.messages import Identity, StreamPosition
from users_server.errors import AppGone, IdentityRefused, NotFound, OriginRefused, Unauthenticated
from users_server.protocols.base import Admission, Foundation, Visit
from users_server.protocols.relay.codec import read_position
from users_server.protocols.relay.settings import RelaySettings
from users_server.protocols.relay.sizes import data_limit
from users_server.protocols.relay.tokens import Claims, read_token
from users_server.services.credentials import query_value

NAME = "relay"
"""Of this protocol, in the list of those that an app serves."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    How somebody came in.

    Attributes:
        is_main: By the configured path, so to the configured app; the callback is for those alone.
        max_data_bytes: How large the data of a message may be as JSON; 0 for no limit.
        recovers: Whether he asked for positions.
        since: The position that he had when his last connection ended.
    """

    claims: Claims
    is_main: bool
    max_data_bytes: int
    recovers: bool
    since: StreamPosition | None


class Gate:
    """Admits those with a token that the app has signed."""

    def __init__(self, settings: RelaySettings, foundation: Foundation) -> None:
        self._settings = settings
        self._foundation = foundation

    async def admit(self, visit: Visit) -> Admission:
        """
        Raises:
            IdentityRefused: Without a token, for a bad or expired one, and for an app that there is not: who has no
                token learns nothing of apps.
            AppGone: If the app does not serve the relay.
            OriginRefused: If the app names the origins of its pages, and this page's is not among them. Who sends no
                origin is no page, and his token is enough; without such a list, so is everybody's.
            StoreUnavailable: If nobody can say now.
        """
        app_id = visit.parameters.get("app")
        app = await self._app(app_id or self._settings.app)
        try:
            claims = self._claims(app, visit, is_main=app_id is None)
        except Unauthenticated as error:
            raise IdentityRefused(error.message) from None
        if app is None or not app.serves(NAME):
            raise AppGone("The app does not serve the relay")
        origin = visit.headers.get("origin")
        if app.allowed_origins and origin is not None and not self._foundation.approves_origin(app, origin):
            raise OriginRefused
        identity = Identity(username=claims.name, expires_at=claims.expires_at)
        recovers = query_value(visit.query, "recover") == "1"
        since = read_position(query_value(visit.query, "position") or "") if recovers else None
        max_data_bytes = data_limit(app, self._foundation.node)
        return Admission(identity, app.id, Entry(claims, app_id is None, max_data_bytes, recovers, since))

    async def _app(self, app_id: str) -> App | None:
        try:
            return await self._foundation.apps.get(app_id)
        except NotFound:
            return None

    def _claims(self, app: App | None, visit: Visit, *, is_main: bool) -> Claims:
        token = query_value(visit.query, "token")
        if not token:
            raise Unauthenticated("A token is needed: connect with ?token=JWT")
        secrets = () if app is None else self._secrets(app, is_main=is_main)
        return read_token(token, secrets, self._foundation.clock.now_ms() / 1000)

    def _secrets(self, app: App, *, is_main: bool) -> Sequence[str]:
        """The configured secret goes before the app's own, for the configured path alone."""
        if is_main and self._settings.secret:
            return (self._settings.secret,)
        return self._foundation.apps.secrets(app)
