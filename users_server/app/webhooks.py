"""Web hooks of a server, as the configuration wants them."""

from __future__ import annotations

from users_server.app.backends import ConfiguredStore
from users_server.app.services import Services
from users_server.config import Config
from users_server.core.clock import Clock
from users_server.services.webhooks import WebhookService
from users_server.web.endpoints import EndpointClient

LAST_CALLS_SECONDS = 3.0
"""How long the last calls may take when the server stops. What is not sent then stays in the store."""


class ServerWebhooks:
    """The service and the HTTP client that it calls with, started and stopped together."""

    def __init__(self, config: Config, store: ConfiguredStore, services: Services, clock: Clock, node_id: str) -> None:
        settings = config.webhooks
        self._client = EndpointClient(
            clock, allows_private=settings.allow_private_addresses, max_idle=settings.max_idle_connections
        )
        self._patience_seconds = min(LAST_CALLS_SECONDS, config.shutdown_seconds)
        self.service = WebhookService(store, services.apps, self._client, settings, clock, node_id)
        services.apps.on_change(self.service.handle_app_change)

    async def start(self) -> None:
        """Begin; what dead servers of this machine left behind is owed then. Raises :class:`StoreUnavailable`."""
        await self.service.start()

    async def stop(self) -> None:
        """End, when no client is connected any more. Idempotent."""
        await self.service.stop(self._patience_seconds)
        self._client.close()
