"""Who may watch which app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from users_server.core.apps import App
from users_server.core.messages import ANONYMOUS, DEFAULT_APP, Identity, StreamPosition
from users_server.errors import AppGone, IdentityRefused, NotFound, OriginRefused, ProtocolViolation, Unauthenticated
from users_server.protocols.base import Admission, Visit
from users_server.protocols.watch.codec import read_position
from users_server.protocols.watch.schemas import WatchQuery
from users_server.services.app_key import app_key_of
from users_server.services.apps import AppService
from users_server.services.credentials import Credentials
from users_server.services.identity import IdentityService

NAME = "watch"
PARAMETERS = frozenset(WatchQuery().fields)
REFUSED = "Watching needs the app's API key, the API key of this server or an admin"


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What to watch: one channel, or for :obj:`None` all of the app."""

    channel: str | None
    since: StreamPosition | None


class Gate:
    """Admits those who have the API key of the app that they name, and the operators of this server."""

    def __init__(
        self, apps: AppService, identities: IdentityService, approves_origin: Callable[[App, str | None], bool]
    ) -> None:
        self._apps = apps
        self._identities = identities
        self._approves_origin = approves_origin

    async def admit(self, visit: Visit) -> Admission:
        """Raises :class:`Disconnect` for everybody else, and :class:`BackendError` if nobody can say."""
        app_id, request = read_query(visit.query)
        app = await self._app(app_id)
        app_key = app_key_of(visit.headers, app_id)
        if app_key is not None:
            if app is None or not self._apps.is_api_key(app, app_key):
                raise IdentityRefused(REFUSED)
            identity = ANONYMOUS
        else:
            identity = await self._operator(app, visit)
        if app is None or not app.serves(NAME):
            raise AppGone
        return Admission(identity, app_id, request)

    async def _operator(self, app: App | None, visit: Visit) -> Identity:
        """
        An admin, or who has the API key of this server's own services.

        A token that allows a service to emit user events is no such key: it opens no app.
        """
        credentials = Credentials.of_headers(visit.headers, visit.query)
        if self._identities.is_api_key(credentials.api_key):
            return ANONYMOUS
        try:
            identity = await self._identities.identify(cookie=credentials.cookie, token=credentials.token, api_key=None)
        except Unauthenticated as error:
            raise IdentityRefused(error.message) from None
        if not identity.is_admin:
            raise IdentityRefused(REFUSED)
        origin = visit.headers.get("origin")
        if app is not None and origin is not None and not self._approves_origin(app, origin):
            # a browser sends an admin's cookie for any page; the page must be one of ours
            raise OriginRefused
        return identity

    async def _app(self, app_id: str) -> App | None:
        try:
            return await self._apps.get(app_id)
        except NotFound:
            return None


def read_query(query: str) -> tuple[str, WatchRequest]:
    """The app's id and what to watch there. Raises :class:`ProtocolViolation`."""
    try:
        values = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(PARAMETERS))
    except ValueError:
        raise ProtocolViolation("The query cannot be read") from None
    unknown = sorted(set(values) - PARAMETERS)
    if unknown or any(len(value) > 1 for value in values.values()):
        raise ProtocolViolation("The query has app, channel, since and token, each once at most")
    first = {name: value[0] for name, value in values.items()}
    channel, since = first.get("channel") or None, first.get("since") or None
    if since is not None and channel is None:
        raise ProtocolViolation("since needs a channel")
    return first.get("app") or DEFAULT_APP, WatchRequest(channel, None if since is None else read_position(since))
