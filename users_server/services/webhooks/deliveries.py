"""What people ask about deliveries: which wait, which were given up, and that those are tried again."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from users_server.core.accounts import Page
from users_server.core.clock import Clock
from users_server.core.messages import Identity
from users_server.core.outbox import Delivery, OutboxStore
from users_server.services import permissions
from users_server.services.apps import AppService

log = structlog.stdlib.get_logger(__name__)

MAX_PAGE = 1000


class WebhookDeliveryService:
    """Deliveries of apps, for their owners and admins. ``by`` is who asks."""

    def __init__(self, store: OutboxStore, apps: AppService, clock: Clock) -> None:
        self._store = store
        self._apps = apps
        self._clock = clock

    async def list(
        self, by: Identity, app_id: str | None = None, *, is_dead: bool = False, index: int = 0, limit: int = 20
    ) -> Page[Delivery]:
        """
        Those that wait, or those that were given up, the oldest first; of all apps only for admins.

        Raises:
            Unauthenticated, NotFound: As :meth:`AppService.show`.
            PermissionDenied: For somebody who is no admin, without an app.
            StoreUnavailable: The database is away.
        """
        permissions.require_login(by)
        if app_id is not None:
            await self._apps.show(by, app_id)
        else:
            permissions.require_admin(by)
        return await self._store.list_deliveries(
            app=app_id, is_dead=is_dead, index=max(index, 0), limit=min(max(limit, 0), MAX_PAGE)
        )

    async def replay(self, by: Identity, app_id: str, ids: Sequence[str] | None) -> int:
        """
        Owe deliveries again that were given up, all of the app if ``ids`` is :obj:`None`; how many there were.

        They are tried for as long as new ones. Servers that run find them within a second.

        Raises:
            Unauthenticated, NotFound: As :meth:`AppService.show`.
            StoreUnavailable: The database is away.
        """
        app = await self._apps.show(by, app_id)
        left = len(ids) if ids is not None else (await self._store.list_deliveries(app=app.id, is_dead=True)).count
        total = 0
        # only as many as there were: what is given up anew meanwhile must not keep this going
        while left > 0:
            now, limit = self._clock.now_ms(), min(left, MAX_PAGE)
            count = await self._store.replay_deliveries(app.id, ids, now=now, limit=limit)
            total += count
            left = left - count if count == limit else 0
        log.info("web hooks are sent again", app=app.id, deliveries=total, by=by.username)
        return total
