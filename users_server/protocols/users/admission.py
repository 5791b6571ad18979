"""Who may come in, and as whom (users-socket-api.md, Connecting)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from users_server.core.apps import App
from users_server.errors import AppGone, IdentityRefused, OriginRefused, Unauthenticated
from users_server.protocols.base import Admission, Visit
from users_server.services.credentials import Credentials
from users_server.services.identity import IdentityService

NAME = "users"
"""Of this protocol, in the list of those that an app serves."""

ANYBODY = Admission()


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """
    Checks origin and identity.

    Attributes:
        approves_origin: By the patterns of the app that is given, or the configuration's where it has none.
        app: The default app as it is now; this protocol has no other.
    """

    identities: IdentityService
    approves_origin: Callable[[App, str | None], bool]
    app: Callable[[], App]

    def admit(self, visit: Visit) -> Admission | Awaitable[Admission]:
        """
        An anonymous client at once, others when their identity was looked up.

        Raises:
            AppGone: If the default app does not serve this protocol.
            OriginRefused: If the origin is not approved, and no service with the API key sends it.
            IdentityRefused: If the token is not valid; awaiting raises it.
            StoreUnavailable: If the database is away; awaiting raises it.
        """
        app = self.app()
        if not app.serves(NAME):
            raise AppGone("This server does not serve the Users Socket API")
        credentials = Credentials.of_headers(visit.headers, visit.query)
        if not self.approves_origin(app, visit.headers.get("origin")) and not self.identities.is_api_key(
            credentials.api_key
        ):
            raise OriginRefused
        return self._identify(credentials) if credentials else ANYBODY

    async def _identify(self, credentials: Credentials) -> Admission:
        try:
            identity = await self.identities.identify(
                cookie=credentials.cookie, token=credentials.token, api_key=credentials.api_key
            )
        except Unauthenticated as error:
            raise IdentityRefused(error.message) from None
        return Admission(identity)
